"""The list of the files of a source is what conversion reads: a cached model is made again where one changes."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ctranslate2_models
import optimum_exports
import tiny
import tiny_speech_text
import tiny_text
import tiny_tokenizers
from quartet.catalog import Source
from quartet.checkpoint import hub
from quartet.checkpoint.source_files import OTHER_FILES, WEIGHTS, is_read, source_files
from quartet.conversion.convert import convert_checkpoint
from quartet.conversion.request import ConversionRequest
from quartet.provision import fetch

_watching: list[set[Path]] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watching and isinstance(arguments[0], str | bytes):
        _watching[-1].add(Path(str(arguments[0], "utf-8") if isinstance(arguments[0], bytes) else arguments[0]))


sys.addaudithook(_watch)  # for the life of the process; no hook can be removed


def export(folder: Path) -> Path:
    """As repositories for JavaScript have them: configs and tokeniser above, graphs in a folder of their own."""
    optimum_exports.unpacked("m2m100-base", folder)
    (folder / "onnx").mkdir()
    for path in folder.glob("*.onnx"):
        path.rename(folder / "onnx" / path.name)
        optimum_exports.with_external_data(folder / "onnx" / path.name)
    return folder


SOURCES: dict[str, Callable[[Path], Path]] = {
    "nllb": tiny_text.make,
    "marian": lambda folder: tiny_tokenizers.make(folder, "marian-separate"),
    "madlad": lambda folder: tiny_tokenizers.make(folder, "madlad"),
    "whisper": tiny_speech_text.make,
    "shards": lambda folder: tiny.make(folder, "m2m100-base", weights="sharded"),
    "torch": lambda folder: tiny.make(folder, "m2m100-base", weights="torch-zip"),
    "export": export,
    "ctranslate2": lambda folder: ctranslate2_models.unpack(folder, "marian-base") / "float32",
    "ctranslate2-whisper": lambda folder: ctranslate2_models.unpack(folder, "whisper") / "float32",
}


@pytest.mark.parametrize("kind", SOURCES)
def test_what_conversion_reads_is_in_the_list(tmp_path: Path, kind: str) -> None:
    source = SOURCES[kind](tmp_path / "source")
    _watching.append(set())
    try:
        folder, origin = fetch(Source("checkpoint", "source", source))
        convert_checkpoint(folder, tmp_path / "out", ConversionRequest(precision="fp32"), origin)
    finally:
        opened = {path for path in _watching.pop() if source in path.parents}
    assert any(path.exists() for path in opened)
    assert [path for path in opened if not is_read(path.name)] == [], "what is looked for, be it there or not"
    used = {path for path in source.rglob("*") if path.is_file()}  # libraries in C++ open some where nobody sees it
    assert sorted(used | {path for path in opened if path.is_file()}) == source_files(source)


def test_what_is_downloaded_is_in_the_list() -> None:
    assert all(map(is_read, (*OTHER_FILES, *WEIGHTS, *hub.TOKENIZERS)))


@pytest.mark.parametrize("name", ["notes.txt", "train.py", "LICENSE", "README.de.md", "image.png", ".gitattributes"])
def test_what_is_no_part_of_a_model_is_not(name: str) -> None:
    assert not is_read(name)


def test_a_file_counts_with_the_tokeniser_beside_it(tmp_path: Path) -> None:
    for name in ("base.pt", "tokenizer.json", "notes.txt"):
        (tmp_path / name).touch()
    assert {path.name for path in source_files(tmp_path / "base.pt")} == {"base.pt", "tokenizer.json"}


def test_a_package_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "en_fr.argosmodel").touch()
    (tmp_path / "config.json").touch()
    assert source_files(tmp_path / "en_fr.argosmodel") == [tmp_path / "en_fr.argosmodel"]
