"""Words that a fine-tune added: ids and text are those of the transformers that saved the tokeniser.

`golden/saved` holds the files that two versions saved, `golden/make_saved.py` makes them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import tiny
from checkpoint_files import write_safetensors
from quartet.checkpoint import open_checkpoint
from quartet.conversion.convert import convert_folder
from quartet.errors import CheckpointError
from quartet.families import find, tokenizers
from quartet.families.description import Description
from quartet.spec import Language
from quartet.text.tokenizer import Tokenizer, load_tokenizer

SAVED = Path(__file__).parents[1] / "golden" / "saved"
VERSIONS = ("4", "5")
FAMILIES = ("nllb", "m2m100", "marian", "t5", "madlad")
WORDS = ("Zyxwv", "Gène", "noon")
ROWS = 400  # more than any of these tokenisers has ids


def shape_of(family: str) -> tiny.Variant:
    variant = {"nllb": "m2m100-base", "m2m100": "m2m100-base", "marian": "marian-base", "t5": "t5-v1.0"}
    return tiny.replace(tiny.VARIANTS[variant.get(family, family)], vocab_size=ROWS)


def checkpoint(folder: Path, version: str, family: str, *, without: tuple[str, ...] = ()) -> Path:
    """A tiny model with the saved tokeniser."""
    shutil.copytree(SAVED / f"{version}-{family}", folder)
    for name in without:
        (folder / name).unlink()
    shape = shape_of(family)
    (folder / "config.json").write_text(json.dumps(tiny.config(shape)))
    write_safetensors(folder / "model.safetensors", tiny.tensors(shape))
    return folder


def opened(folder: Path, family: str) -> tuple[Description, Tokenizer]:
    """What is said of a checkpoint, and its tokeniser as the quartet has it, its files beside the checkpoint's."""
    found = open_checkpoint(folder)
    description = find(found.config).describe(found)
    assert description.tokenizer is not None
    out = folder.with_name(f"{folder.name}-tokenizer")
    out.mkdir()
    for name in description.tokenizer_files:
        shutil.copy(folder / name, out)
    for name, content in description.made_files.items():
        (out / name).write_bytes(content)
    return description, load_tokenizer(out, description.tokenizer)


def golden(version: str, family: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SAVED / f"{version}.json").read_text("utf-8"))[family]
    return content


def compare(description: Description, tokenizer: Tokenizer, expected: dict[str, Any]) -> None:
    """Ids of texts, and text of ids. Where spaces before words are no pieces, transformers 5 forgets them."""
    apart = description.tokenizer is not None and description.tokenizer.words_apart
    for case in expected["cases"]:
        assert tokenizer.encode(case["text"]) == case["ids"], case["text"]
        found, wanted = tokenizer.decode(case["ids"]), case["decoded"].strip()
        assert found == wanted or (apart and found.replace(" ", "") == wanted.replace(" ", ""))
    known = {language.token_id for language in description.languages}
    for text, i in expected["ids"].items():
        assert i in known or tokenizer.encode(text) == [i]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("version", VERSIONS)
def test_words_are_those_of_transformers(version: str, family: str, tmp_path: Path) -> None:
    compare(*opened(checkpoint(tmp_path / "checkpoint", version, family), family), golden(version, family))


@pytest.mark.parametrize("family", ["m2m100", "marian"])
def test_transformers_4_keeps_the_spaces_too(family: str, tmp_path: Path) -> None:
    _, tokenizer = opened(checkpoint(tmp_path / "checkpoint", "4", family), family)
    for case in golden("4", family)["cases"]:
        assert tokenizer.decode(case["ids"]) == case["decoded"].strip()


@pytest.mark.parametrize(("family", "without"), [("nllb", "tokenizer.json"), ("t5", "tokenizer.json")])
def test_words_are_found_without_a_tokenizer_json(family: str, without: str, tmp_path: Path) -> None:
    """As slow tokenisers were saved, and as people put files together."""
    folder = checkpoint(tmp_path / "checkpoint", "4", family, without=(without,))
    compare(*opened(folder, family), golden("4", family))


@pytest.mark.parametrize("family", FAMILIES)
def test_names_and_ids_alone_are_enough(family: str, tmp_path: Path) -> None:
    """`added_tokens.json`, and a list of the special ones."""
    without = tuple(name for name in ("tokenizer.json",) if (SAVED / f"4-{family}" / name).exists())
    folder = checkpoint(tmp_path / "checkpoint", "4", family, without=without)
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    del config["added_tokens_decoder"]
    listed = [*(config.get("additional_special_tokens") or []), "<ent>"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"additional_special_tokens": listed}))
    _, tokenizer = opened(folder, family)
    expected = golden("4", family)
    for word in (*WORDS, "<ent>"):
        assert tokenizer.encode(word) == [expected["ids"][word]]
    assert tokenizer.decode(tokenizer.encode("the <ent> Zyxwv train")) == "the Zyxwv train"


@pytest.mark.parametrize(
    ("family", "language"),
    [("nllb", "xyz_Latn"), ("m2m100", "xx"), ("marian", "deu"), ("madlad", "de")],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_an_added_language_is_a_target(family: str, language: str, version: str, tmp_path: Path) -> None:
    description, tokenizer = opened(checkpoint(tmp_path / "checkpoint", version, family), family)
    (found,) = [one for one in description.languages if one.code == language]
    text = list(golden(version, family)["ids"])[-1]
    assert (found.target, found.token_id) == (True, golden(version, family)["ids"][text])
    assert found.token_id not in tokenizer.encode(f"the {text} train")  # typed, it is text
    assert tokenizer.decode([*tokenizer.encode("the train"), found.token_id]) == "the train"


def test_a_pair_of_marian_keeps_its_target_beside_an_added_one(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "checkpoint", "4", "marian")
    vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
    (folder / "vocab.json").write_text(json.dumps({t.replace(">>fra<<", "▁fra"): i for t, i in vocab.items()}))
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8")) | {"target_lang": "fr"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    found = tokenizers.marian(folder, {})
    assert found is not None
    assert found.languages == (
        Language("en", None, target=False),
        Language("fr", None, source=False),
        Language("deu", 95, source=False),
    )


@pytest.mark.parametrize("family", ["nllb", "m2m100", "marian", "madlad"])
@pytest.mark.parametrize("version", VERSIONS)
def test_words_stay_where_the_vocabulary_is_cut(family: str, version: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "checkpoint", version, family)
    kept = {"nllb": ["eng_Latn", "fra_Latn"]}.get(family, ["en", "fr"])
    whole = convert_folder(folder, tmp_path / "whole", precision="fp32")
    less = convert_folder(folder, tmp_path / "less", precision="fp32", languages=kept)
    assert less.shapes.vocab_size < whole.shapes.vocab_size
    before, after = (
        load_tokenizer(tmp_path / "whole", whole.tokenizer),
        load_tokenizer(tmp_path / "less", less.tokenizer),
    )
    assert {word.text for word in less.tokenizer.added_words} == {*WORDS, "<ent>"}
    for case in golden(version, family)["cases"]:
        ids = after.encode(case["text"])
        assert max(ids) < less.shapes.vocab_size
        assert len(ids) == len(case["ids"])
        assert after.decode(ids) == before.decode(case["ids"])


def test_words_without_a_row_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CheckpointError, match="language tokens do not fit the embedding of 93 rows"):
        tokenizers.m2m100(SAVED / "4-m2m100", {"vocab_size": 93})
    found = tokenizers.t5(SAVED / "4-t5", {"vocab_size": 70})
    assert found is not None
    assert [word.text for word in found.spec.added_words] == ["Zyxwv", "Gène"]
    assert "no row in the embedding of 70 rows and are text like any other: 'noon', '<ent>'" in caplog.text


# ---- a tokenizer.json alone, or beside a SentencePiece model ----


def test_a_sentencepiece_model_put_back_changes_nothing(tmp_path: Path) -> None:
    """The languages are those of `tokenizer.json`, where `<mask>` comes before them."""
    alone, _ = opened(checkpoint(tmp_path / "alone", "5", "nllb"), "nllb")
    folder = checkpoint(tmp_path / "both", "5", "nllb")
    shutil.copy(SAVED / "4-nllb" / "sentencepiece.bpe.model", folder)
    both, tokenizer = opened(folder, "nllb")
    assert both.languages == alone.languages
    assert {one.code: one.token_id for one in both.languages}["xyz_Latn"] == 99
    assert both.tokenizer == alone.tokenizer
    compare(both, tokenizer, golden("5", "nllb"))


def test_a_sentencepiece_model_of_another_tokeniser_is_not_read(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "both", "5", "nllb")
    shutil.copy(SAVED / "4-madlad" / "spiece.model", folder / "sentencepiece.bpe.model")  # it has more pieces
    description, tokenizer = opened(folder, "nllb")
    compare(description, tokenizer, golden("5", "nllb"))


def test_what_sentencepiece_cannot_say_is_left_to_the_library(tmp_path: Path) -> None:
    """Words too: the special one is taken out before the library sees the text."""
    folder = checkpoint(tmp_path / "checkpoint", "5", "t5")
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    content["normalizer"] = {"type": "Lowercase"}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    description, tokenizer = opened(folder, "t5")
    assert description.tokenizer.kind == "tokenizers"
    assert tokenizer.encode("THE TRAIN") == tokenizer.encode("the train")
    assert tokenizer.encode("the <ent> noon") == [*tokenizer.encode("the"), 71, 70]
    assert tokenizer.decode(tokenizer.encode("the <ent> noon")) == "thenoon"  # as the library has it


def test_merges_out_of_order_are_left_to_the_library(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "checkpoint", "5", "nllb")
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    del content["model"]["merges"][7]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    description, _ = opened(folder, "nllb")
    assert description.tokenizer.kind == "tokenizers"


# ---- --tokenizer ----


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokeniser_from_elsewhere_is_read(family: str, version: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    shape = shape_of(family)
    (folder / "config.json").write_text(json.dumps(tiny.config(shape)))
    write_safetensors(folder / "model.safetensors", tiny.tensors(shape))
    assert convert_folder(folder, tmp_path / "without", precision="fp32").tokenizer is None
    manifest = convert_folder(folder, tmp_path / "out", precision="fp32", tokenizer=SAVED / f"{version}-{family}")
    assert manifest.tokenizer is not None
    case = golden(version, family)["cases"][0]
    assert load_tokenizer(tmp_path / "out", manifest.tokenizer).encode(case["text"]) == case["ids"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        CheckpointError, match=r"empty has no tokeniser for a model of the family \w+, which is read from"
    ):
        convert_folder(folder, tmp_path / "other", precision="fp32", tokenizer=tmp_path / "empty")
