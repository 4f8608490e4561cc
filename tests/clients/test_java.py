"""The Java of docs/run-anywhere.md: it compiles against the library's API, and says what Python says.

The library is `QUARTET_TEST_JAR`, which `java_library.py` makes; without it signatures that `java/` declares stand for
it, and nothing is run. It is ONNX Runtime 1.17, which plays float32.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import tiny
from demo_model import ENGLISH, FRENCH
from quartet.conversion.convert import convert_folder
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions, generate_batch
from quartet.spec import Manifest
from quartet.text.tokenizer import load_tokenizer

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "run-anywhere.md"
TEXTS = ["Where is the train station?", "I do not know.", "It is very cold today."]


def compiled(folder: Path, *options: object) -> Path:
    """The classes of the page, and of the program that plays it; they compile without a warning."""
    compiler = shutil.which("javac")
    if compiler is None:
        pytest.skip("needs a Java compiler: apt-get install default-jdk-headless")
    (code,) = re.findall(r"^```java\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (folder / "Quartet.java").write_text(code, "utf-8")
    command = [compiler, "-d", folder / "out", *options, folder / "Quartet.java", HERE / "java" / "Main.java"]
    printed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (printed.returncode, printed.stderr) == (0, "")
    return folder / "out"


def test_the_java_of_the_page_compiles(tmp_path):
    assert (compiled(tmp_path, "-sourcepath", HERE / "java") / "Quartet.class").is_file()


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """Tokens of rows (source, prompt), by the class of the page; files: what comes before the names of the four."""
    jar = Path(os.environ.get("QUARTET_TEST_JAR", ""))
    if not jar.is_file():
        pytest.skip("needs QUARTET_TEST_JAR, a jar of ONNX Runtime: `python tests/clients/java_library.py` makes one")
    classes = compiled(tmp_path_factory.mktemp("java"), "-classpath", jar)

    def run(files: str, manifest: Manifest, rows: list, most: int) -> list[list[int]]:
        shapes = manifest.shapes
        sizes = (shapes.decoder_layers, shapes.decoder_heads, shapes.head_size, shapes.d_model)
        command = ["java", "-cp", f"{jar}{os.pathsep}{classes}", "Main", files, *sizes, manifest.tokens.eos, most]
        lines = [" ".join(map(str, source)) + "|" + " ".join(map(str, prompt)) for source, prompt in rows]
        given = "\n".join(lines)
        printed = subprocess.run(list(map(str, command)), input=given, capture_output=True, text=True, check=False)
        assert (printed.returncode, printed.stderr) == (0, "")
        return [list(map(int, line.split())) for line in printed.stdout.splitlines()]

    return run


def ours(folder: Path, rows: list, most: int) -> list[list[int]]:
    """Likewise by our runtime; prompt and tokens are at most so many."""
    model = open_engine(folder, 1).model()
    found = [generate_batch(model, [source], [prompt], SearchOptions())[0][0].tokens for source, prompt in rows]
    return [list(tokens)[: most - len(prompt)] for tokens, (_, prompt) in zip(found, rows, strict=True)]


@pytest.mark.parametrize(("layout", "before"), [("quartet", "/"), ("rtranslator", "/NLLB_")])
def test_java_says_what_python_says(layout, before, demo_checkpoint, play, tmp_path):
    manifest = convert_folder(demo_checkpoint, tmp_path / "quartet", precision="fp32")
    if layout != "quartet":
        convert_folder(demo_checkpoint, tmp_path / layout, precision="fp32", layout=layout)
    tokenizer = load_tokenizer(tmp_path / "quartet", manifest.tokenizer)
    rows = [([ENGLISH, *tokenizer.encode(text), 2], [2, FRENCH]) for text in TEXTS]
    said = play(f"{tmp_path / layout}{before}", manifest, rows, 40)
    assert said == ours(tmp_path / "quartet", rows, 40)
    assert tokenizer.decode(said[0]) == "Où est la gare ?"


@pytest.mark.parametrize("variant", ["marian-base", "marian-separate-sizes", "t5-v1.0", "madlad"])
def test_other_families(variant, play, tmp_path):
    """Each with the prompt that it has; what they say is cut where the program is told to stop."""
    manifest = convert_folder(tiny.make(tmp_path / "checkpoint", variant), tmp_path / "out", precision="fp32")
    rows = [(source, [manifest.tokens.decoder_start]) for source in tiny.inputs(variant, 3)]
    assert play(f"{tmp_path / 'out'}/", manifest, rows, 9) == ours(tmp_path / "out", rows, 9)
