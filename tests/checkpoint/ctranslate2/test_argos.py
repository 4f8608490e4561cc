"""Argos packages, packed and unpacked: converted, and run with text."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from ctranslate2_models import variables, write_model_bin
from demo_model import DEMO
from quartet import Translator, catalog, provision
from quartet.checkpoint import is_checkpoint, opened
from quartet.errors import CheckpointError, ModelNotFoundError, UnsupportedModelError
from quartet.provision import convert

PIECES = DEMO / "sentencepiece.bpe.model"
METADATA = {"package_version": "1.0", "from_code": "en", "from_name": "English", "to_code": "fr", "to_name": "French"}


def make(folder: Path, metadata: dict | None = None) -> Path:
    """An unpacked package with a real SentencePiece model over random embeddings; its head likes every token alike."""
    model = folder / "model"
    model.mkdir(parents=True)
    pieces = SentencePieceProcessor(model_file=str(PIECES))
    tokens = ["<blank>", "__fr__", *(pieces.id_to_piece(i) for i in range(len(pieces)))]
    embedding = np.random.default_rng(1).normal(size=(len(tokens), 4)).astype(np.float32)
    head = {f"{m}/weight": embedding for m in ("encoder/embeddings_0", "decoder/embeddings", "decoder/projection")}
    write_model_bin(model / "model.bin", variables(len(tokens)) | head)
    (model / "shared_vocabulary.json").write_text(json.dumps(tokens))
    (model / "config.json").write_text(json.dumps({"add_source_eos": False}))
    (folder / "metadata.json").write_text(json.dumps(metadata or METADATA))
    (folder / "README.md").write_text("# English to French\n")
    shutil.copyfile(PIECES, folder / "sentencepiece.model")
    (folder / "stanza").mkdir()
    (folder / "stanza" / "resources.json").write_text("{}")
    return folder


def packed(folder: Path, package: Path) -> Path:
    """The zip file of a package, compressed, as Argos offers them for download."""
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return package


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("argos") / "translate-en_fr-1_0")


@pytest.fixture(scope="module")
def package(folder):
    return packed(folder, folder.with_name("translate-en_fr-1_0.argosmodel"))


def test_a_package_and_its_folder_give_the_same_quartet(folder, package, tmp_path):
    made = [convert(source, tmp_path / source.name, precision="fp32") for source in (folder, package)]
    assert made[0].files == made[1].files
    manifest = made[1]
    assert manifest.name == "translate-en_fr-1_0"
    assert [(x.code, x.source, x.target) for x in manifest.languages] == [("en", True, False), ("fr", False, True)]
    assert manifest.source_prompt == ("text",)
    assert manifest.target_prompt == ("decoder_start",)
    assert manifest.generation.length_penalty == 0.2
    assert manifest.tokenizer.source_model == "sentencepiece.model"


def test_a_package_is_a_model_by_its_name(package):
    """Text in, text out: the ids are those of the vocabulary, and not those of the SentencePiece model."""
    with Translator(package, precision="fp32", threads=1) as translator:
        found = translator.translate("Where is the train station?", max_length=6)
        assert (found.source, found.target) == ("en", "fr")
        pieces = SentencePieceProcessor(model_file=str(PIECES))
        encoded = translator._planner.tokenizer.encode("the train")
        assert encoded == [i + 2 for i in pieces.encode("the train")]
        assert translator._planner.tokenizer.decode(encoded) == "the train"
    assert provision.ready(str(package), "fp32") == provision.ready(str(package), "fp32")


def test_a_target_prefix_is_the_targets_language(tmp_path):
    source = make(tmp_path / "many", METADATA | {"target_prefix": "__fr__"})
    manifest = convert(source, tmp_path / "out", precision="fp32")
    assert manifest.target_prompt == ("decoder_start", "target")
    assert [(x.code, x.token_id) for x in manifest.languages] == [("en", None), ("fr", 1)]


def refused(source: Path, message: str, error: type = CheckpointError) -> None:
    assert is_checkpoint(source)
    with pytest.raises(error, match=message), opened(source):
        pass


def test_a_package_for_something_else(folder, tmp_path):
    source = shutil.copytree(folder, tmp_path / "sbd")
    (source / "metadata.json").write_text('{"type": "sbd"}')
    refused(source, "is a package of type 'sbd'", UnsupportedModelError)


def test_a_package_with_moses_and_bpe(folder, tmp_path):
    source = shutil.copytree(folder, tmp_path / "bpe")
    (source / "sentencepiece.model").rename(source / "bpe.model")
    refused(source, r"cuts text by Moses and BPE \(bpe\.model\)", UnsupportedModelError)


def test_a_prefix_that_is_no_token(folder, tmp_path):
    source = shutil.copytree(folder, tmp_path / "prefix")
    (source / "metadata.json").write_text(json.dumps(METADATA | {"target_prefix": ">>fra<<"}))
    refused(source, "target_prefix '>>fra<<' .*is not in the vocabulary")


@pytest.mark.parametrize("length", [0, 30, 5000, -200])
def test_a_package_cut_short(package, tmp_path, length):
    short = tmp_path / "short.argosmodel"
    short.write_bytes(package.read_bytes()[:length])
    refused(short, "truncated, damaged, or no Argos package")


def test_a_package_damaged_inside(package, tmp_path):
    data = bytearray(package.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged = tmp_path / "damaged.argosmodel"
    damaged.write_bytes(data)
    refused(damaged, "truncated, damaged, or no Argos package")


@pytest.mark.parametrize("names", [["a.txt"], ["x/metadata.json"], ["../metadata.json", "../model/model.bin"]])
def test_a_zip_file_of_other_things(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "other.argosmodel", "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    refused(tmp_path / "other.argosmodel", "no folder with metadata.json and model/model.bin")
    assert not (tmp_path.parent / "metadata.json").exists()


def test_no_such_package(tmp_path):
    with pytest.raises(ModelNotFoundError, match="no such folder"):
        catalog.resolve(str(tmp_path / "missing.argosmodel"))
