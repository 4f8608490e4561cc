"""The code in the documentation runs, and does what the page says."""

import csv
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import tiny
import tiny_speech
from demo_model import CONFIG
from quartet.conversion.convert import convert_folder
from quartet.provision import ready
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions, generate_batch
from quartet.runtime.speech import DecodingOptions, decode_windows, encode_audio
from quartet.spec import FILES

DOCS = Path(__file__).parents[1] / "docs"
RUN_ANYWHERE = DOCS / "run-anywhere.md"


@pytest.fixture(scope="module")
def blocks() -> list[str]:
    """The blocks of Python on the page, in order."""
    return re.findall(r"^```python\n(.*?)^```", RUN_ANYWHERE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def reference(blocks: list[str]) -> dict[str, Any]:
    """The names that the page's code defines."""
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(RUN_ANYWHERE), "exec"), names)
    return names


@pytest.fixture(scope="module")
def demo() -> Path:
    return ready("demo", "int8")


def expected(folder: Path, source: list[int], prompt: list[int]) -> list[int]:
    (hypotheses,) = generate_batch(open_engine(folder, 1).model(), [source], [prompt], SearchOptions())
    return list(hypotheses[0].tokens)


@pytest.mark.parametrize("variant", ["m2m100-base", "m2m100-short", "marian-base", "marian-separate-sizes"])
def test_the_reference_generates_what_the_library_does(variant: str, reference: dict[str, Any], tmp_path: Path) -> None:
    manifest = convert_folder(tiny.make(tmp_path / "checkpoint", variant), tmp_path / "quartet")
    language = tiny.forced_bos(variant)
    prompt = [manifest.tokens.decoder_start, *([] if language is None else [language])]
    generated = [reference["generate"](tmp_path / "quartet", source, prompt) for source in tiny.inputs(variant)]
    assert generated == [expected(tmp_path / "quartet", source, prompt) for source in tiny.inputs(variant)]
    assert len({tuple(tokens) for tokens in generated}) > 1


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_reference_hears_what_the_library_does(precision: str, reference: dict[str, Any], tmp_path: Path) -> None:
    convert_folder(tiny_speech.make(tmp_path / "checkpoint", "128-mels"), tmp_path / "quartet", precision=precision)
    model = open_engine(tmp_path / "quartet", threads=1).model()
    prompt = [*tiny_speech.VARIANTS["128-mels"].prompt, tiny_speech.NO_TIMESTAMPS]
    for features in tiny_speech.features("128-mels")[:, None]:
        options = DecodingOptions(timestamps=False)
        (found,) = decode_windows(model, encode_audio(model, features), [prompt], options)
        assert reference["hear"](tmp_path / "quartet", features, prompt) == list(found.tokens)


def test_the_page_names_the_variables_of_speech(tmp_path: Path) -> None:
    from quartet.inspection import inspect_folder

    convert_folder(tiny_speech.make(tmp_path / "checkpoint", "base"), tmp_path / "quartet")
    page = RUN_ANYWHERE.read_text("utf-8").partition("\n## Speech\n")[2]
    variables = [v for graph in inspect_folder(tmp_path / "quartet").graphs for v in (*graph.inputs, *graph.outputs)]
    only_here = [v for v in variables if v.name.startswith(("input_features", "queries"))]
    assert len(only_here) == 2
    for variable in only_here:
        shape = ", ".join("mels" if dim == 8 else "d" if dim == 32 else str(dim) for dim in variable.shape)
        name = variable.name.replace("{0..1}", "{i}")
        assert f"`{name}` [{shape}]" in page


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("Where is the train station?", "eng_Latn", "fra_Latn"),
        ("Je ne sais pas où elle habite.", "fra_Latn", "eng_Latn"),
        ("She said “多谢” and left.", "eng_Latn", "fra_Latn"),
    ],
)
def test_the_reference_translates_as_the_library_does(
    text: str, source: str, target: str, reference: dict[str, Any], demo: Path
) -> None:
    from quartet import Translator

    with Translator(demo, threads=1) as translator:
        expected = translator.translate(text, target, source, split="none", raw=True).text
    assert reference["translate"](demo, text, source, target) == expected


def test_the_reference_is_short_and_needs_only_numpy_and_onnxruntime(blocks: list[str]) -> None:
    assert sum(1 for line in blocks[0].splitlines() if line.strip()) <= 60
    assert re.findall(r"^(?:import|from) (\w+)", blocks[0], re.MULTILINE) == ["json", "pathlib", "numpy", "onnxruntime"]


def test_the_page_names_every_file_and_variable(demo: Path) -> None:
    from quartet.inspection import inspect_folder

    page = RUN_ANYWHERE.read_text("utf-8")
    for graph in inspect_folder(demo).graphs:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{Path(graph.file).stem}`"))
        for variable in (*graph.inputs, *graph.outputs):
            name = re.sub(r"\.\{0\.\.\d+\}\.", ".{i}.", variable.name)
            assert f"`{name.removesuffix('.value')}" in row
            letters = {CONFIG["d_model"]: "d", CONFIG["vocab_size"]: "v"}
            shape = ", ".join(letters.get(dim, str(dim)) for dim in variable.shape)
            assert name.startswith(("past", "present")) or f"[{shape}]" in row


def test_the_picture_names_the_four_files_and_follows_dark_mode() -> None:
    text = (DOCS / "files.svg").read_text("utf-8")
    ET.fromstring(text)
    assert "prefers-color-scheme: dark" in text
    for name in FILES:
        assert f">{name}<" in text


RANK = DOCS / "rank.md"
RANK_COMMANDS = [line.partition("   #")[0].strip() for line in RANK.read_text("utf-8").splitlines()]
RANK_COMMANDS = [line for line in RANK_COMMANDS if line.startswith("quartet ")]
NEEDS_NETWORK_OR_FILES = ("opus-mt", "nllb", "flores", "my.tsv")


@pytest.mark.parametrize("command", RANK_COMMANDS)
def test_commands_of_the_page_on_ranking(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from quartet import cli
    from quartet.cli.parser import parser

    words = shlex.split(command)[1:]
    parser().parse_args(words)
    if any(word in command for word in NEEDS_NETWORK_OR_FILES):
        return
    monkeypatch.chdir(tmp_path)
    timed = [] if words[0] == "bench" else ["--timed", "2"]
    shortened = ["--sentences", "10", "--threads", "1", *timed]
    assert cli.main([*words, *shortened]) == 0
    assert capsys.readouterr().out.strip()
    assert "--report" not in words or (tmp_path / "out" / "index.html").is_file()


def test_the_page_on_ranking_links_what_is_there() -> None:
    links = re.findall(r"\]\(([^):]+)\)", RANK.read_text("utf-8"))
    assert {"ranking/ranking.md", "ranking/index.html", "ranking/page.png"} <= set(links)
    assert all((DOCS / link).exists() for link in links)


def test_the_ranking_in_the_repository_is_that_of_the_command() -> None:
    command = next(command for command in RANK_COMMANDS if "docs/ranking" in command)
    rows = list(csv.DictReader((DOCS / "ranking" / "ranking.csv").read_text("utf-8").splitlines()))
    played = {(row["model"], row["program"], row["precision"]) for row in rows}
    models, precisions = (re.search(rf"--{name} ([^-]\S*(?: [^-]\S*)*)", command) for name in ("models", "precision"))
    assert models is not None
    assert precisions is not None
    for model in models[1].split():
        assert {(model, "quartet", precision) for precision in precisions[1].split()} <= played
        assert {(model, "ctranslate2", "int8"), (model, "transformers", "float32")} <= played
    assert f"{re.search('--sentences ([0-9]+)', command)[1]} sentences" in (DOCS / "ranking" / "ranking.md").read_text()
