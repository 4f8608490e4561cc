"""Bad input: one clear line on stderr that names what is wrong, a fitting exit code, and no traceback."""

import io
import json
import os
import pickle
import re
import shlex
import shutil
import signal
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny
from checkpoint_files import write_safetensors, write_torch_zip_raw
from ctranslate2_models import variables, write_model, write_model_bin
from optimum_exports import unpacked, with_external_data
from quartet.conversion.convert import convert_folder
from quartet.spec import MANIFEST_NAME
from tiny_text import errors

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, disks and messages of POSIX")

FULL_DISK = Path("/dev/full")
WEIGHTS = "model.safetensors"
MODEL_BIN = "model.bin"
LAYER = "model.encoder.layers.0"


def copy_with(source: Path, target: Path, **config: object) -> Path:
    """A copy of a checkpoint, with other values in its config."""
    shutil.copytree(source, target)
    path = target / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return target


def change_weights(folder: Path) -> None:
    """One tensor missing, one left over, one misshapen."""
    tensors = tiny.tensors(tiny.VARIANTS["m2m100-base"])
    del tensors[f"{LAYER}.fc1.bias"]
    tensors[f"{LAYER}.adapter.weight"] = tensors[f"{LAYER}.fc2.bias"]
    tensors[f"{LAYER}.fc2.bias"] = tensors[f"{LAYER}.fc2.bias"][:-1].copy()
    write_safetensors(folder / WEIGHTS, tensors)


def bend_header(path: Path) -> None:
    """Give the first tensor more bytes than its shape has, in a header of the same length."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    name = next(name for name in header if name != "__metadata__")
    header[name]["shape"][0] -= 1
    path.write_bytes(data[:8] + json.dumps(header).encode().ljust(length)[:length] + data[8 + length :])


class Malicious:
    """What a pickle can do when it is loaded without care."""

    def __reduce__(self):
        return os.system, ("touch owned",)


def bad_exports(root: Path) -> None:
    """What Optimum wrote, and then something happened to it."""
    for name in ("half_onnx", "other_onnx", "mixed_onnx", "no_onnx", "cut_onnx", "lacks_data_onnx", "cut_data_onnx"):
        unpacked("m2m100-base", root / name, "two")
    (root / "half_onnx" / "encoder_model.onnx").unlink()
    for path in (root / "mixed_onnx").glob("decoder_model*.onnx"):
        path.rename(path.with_stem(f"{path.stem}_q4"))
    shutil.copy(unpacked("marian-base", root / "marian_onnx") / "encoder_model.onnx", root / "other_onnx")
    (root / "no_onnx" / "decoder_model.onnx").write_bytes(b"<html>Not found</html>")
    with (root / "cut_onnx" / "decoder_model.onnx").open("r+b") as file:
        file.truncate(20_000)
    with_external_data(root / "lacks_data_onnx" / "decoder_model.onnx").unlink()
    with with_external_data(root / "cut_data_onnx" / "decoder_model.onnx").open("r+b") as file:
        file.truncate(1000)


@pytest.fixture(scope="module")
def places(tmp_path_factory, checkpoint, model) -> dict[str, Path]:
    """Everything bad that the table names, and what is good."""
    root = tmp_path_factory.mktemp("bad")
    plain = tiny.make(root / "plain", "m2m100-base")
    made = {"root": root, "plain": plain, "checkpoint": checkpoint, "model": model, "out": root / "out"}
    for name in ("empty", "occupied", "pickle", "no_weights"):
        (root / name).mkdir()
    (root / "occupied" / "thesis.txt").write_text("mine")
    (root / "link").symlink_to("occupied", target_is_directory=True)
    for name in ("pickle", "no_weights"):
        shutil.copy(plain / "config.json", root / name)
    write_torch_zip_raw(root / "pickle" / "pytorch_model.bin", pickle.dumps({"w": Malicious()}, 2), {})
    (root / "no_weights" / "tf_model.h5").write_bytes(b"")
    for name in ("truncated", "corrupt", "misfit", "no_json"):
        shutil.copytree(plain, root / name)
    with (root / "truncated" / WEIGHTS).open("r+b") as file:
        file.truncate(5000)
    bend_header(root / "corrupt" / WEIGHTS)
    change_weights(root / "misfit")
    (root / "no_json" / "config.json").write_text("{")
    copy_with(plain, root / "moe", model_type="nllb-moe")
    copy_with(plain, root / "bert", model_type="bert")
    copy_with(plain, root / "glu", activation_function="glu")
    copy_with(plain, root / "odd_heads", encoder_attention_heads=5)
    for name in ("shorter", "flipped", "newer", "no_manifest_json", "lacks_a_file", "replaced"):
        shutil.copytree(model, root / name)
    with (root / "shorter" / "decoder.onnx.data").open("r+b") as file:
        file.truncate(100)
    with (root / "flipped" / "encoder.onnx.data").open("r+b") as file:
        file.write(b"\xff")
    (root / "lacks_a_file" / "encoder.onnx").unlink()
    manifest = json.loads((model / MANIFEST_NAME).read_text())
    (root / "newer" / MANIFEST_NAME).write_text(json.dumps(manifest | {"format_version": "3.1"}))
    (root / "no_manifest_json" / MANIFEST_NAME).write_text("{}")
    convert_folder(plain, root / "ids_only")
    for name in ("cut_ct2", "older_ct2", "llm_ct2", "rotary_ct2", "wordless_ct2", "later_ct2"):
        write_model(root / name)
    with (root / "cut_ct2" / MODEL_BIN).open("r+b") as file:
        file.truncate(1500)
    write_model_bin(root / "older_ct2" / MODEL_BIN, variables(), version=4)
    write_model_bin(root / "llm_ct2" / MODEL_BIN, variables(), kind="TransformerDecoderModelSpec", revision=8)
    rotary = {"decoder/layer_0/self_attention/rotary_dim": np.int32(2)}
    write_model_bin(root / "rotary_ct2" / MODEL_BIN, variables() | rotary)
    (root / "wordless_ct2" / "shared_vocabulary.json").unlink()
    write_model_bin(root / "later_ct2" / MODEL_BIN, variables(), revision=99)
    (root / "cut.argosmodel").write_bytes(b"PK")
    bad_exports(root)
    (root / "latin1.txt").write_bytes("Good.\nCaf\u00e9.\n".encode("latin-1"))
    (root / "hello.txt").write_text("Hello.\n")
    return made | {path.name.removesuffix(".txt"): path for path in root.iterdir()}


TRANSLATE = "translate --model {model} --to fr --from en"

# what is typed, exit code, what the line has to say
TABLE = [
    # models
    ("translate --model nllb-200-distiled-600M --to fr Hi", 2, "no model.*did you mean nllb-200-distilled"),
    ("translate --model {root}/nowhere --to fr Hi", 2, "{root}/nowhere.*no such folder"),
    ("translate --model {empty} --to fr Hi", 2, "{empty} is no model: it has neither quartet.json nor config.json"),
    ("translate --model {hello} --to fr Hi", 2, "{hello}.*it is a file; name the folder"),
    ("translate --model demo --revision v1 --to fr Hi", 2, "demo has no revision 'v1'"),
    ("translate --model {shorter} --to fr Hi", 1, r"decoder\.onnx\.data has 100 bytes.*convert the model again"),
    ("translate --model {lacks_a_file} --to fr Hi", 1, r"encoder\.onnx is missing"),
    ("translate --model {flipped} --verify --to fr Hi", 1, r"encoder\.onnx\.data is damaged.*SHA-256"),
    ("translate --model {newer} --to fr Hi", 1, r"format version 3\.1.*reads 2\.\d+.*Upgrade"),
    ("translate --model {no_manifest_json} --to fr Hi", 1, r"quartet\.json: field format_version is missing"),
    ("translate --model {misfit} --to fr Hi", 1, "fc1.bias: missing"),
    ("translate --model {ids_only} --to fr Hi", 2, "plain has no tokeniser: generate"),
    # languages
    ("translate --model {model} --to frx --from en Hi", 2, "unknown language 'frx'.*English, French"),
    ("translate --model {model} --to frnch --from en Hi", 2, "'frnch'.*did you mean French = fra_Latn"),
    ("translate --model {model} --to de Hi", 2, r"no German \(deu_Latn\); it has: English, French"),
    ("translate --model {model} --to fr --from klingon Hi", 2, "'klingon'.*English, French"),
    ("translate --model {model} --to fr --from French Hi", 2, "source and target are both French"),
    ("translate --model {model} --to fr --from fr", 2, "source and target are both French"),
    ("translate --model {model} Hi", 2, "name the target language with --to"),
    ("translate --model {model} --to fr 'Добрый день, как у вас дела?'", 2, "Добрый день.*Russian.*--from"),
    # options
    (f"{TRANSLATE} --beam-size 0 Hi", 2, "--beam-size is 0; expected an integer from 1 to 64"),
    (f"{TRANSLATE} --beam-size two Hi", 2, "--beam-size.*'two'"),
    (f"{TRANSLATE} --batch-size 0 Hi", 2, "--batch-size is 0; expected an integer from 1 to"),
    (f"{TRANSLATE} --threads 0 Hi", 2, "--threads is 0; expected an integer from 1 to"),
    (f"{TRANSLATE} --max-length 0 Hi", 2, "--max-length is 0; expected an integer from 1 to"),
    (f"{TRANSLATE} --split words Hi", 2, "--split is 'words'; expected auto, sentences or none"),
    (f"{TRANSLATE} --precision int8 Hi", 2, "{model} is converted at precision int4; for int8"),
    (f"{TRANSLATE} --beam-size -1 Hi", 2, "--beam-size is -1; expected an integer from 1 to 64"),
    (f"{TRANSLATE} --beam-size 5000 Hi", 2, "--beam-size is 5000; expected an integer from 1 to 64"),
    (f"{TRANSLATE} --threads 5000 Hi", 2, r"--threads is 5000; expected an integer from 1 to \d+ \(four for each core"),
    (f"{TRANSLATE} --max-length 500 Hi", 2, r"--max-length is 500; expected an integer from 1 to 62 tokens \(the mod"),
    (
        "translate --model {checkpoint} --to fr --precision int3 Hi",
        2,
        "--precision is 'int3'; expected fp32, int8 or int4",
    ),
    ("convert {plain} {out} --precision int3", 2, "--precision is 'int3'; expected fp32, int8 or int4"),
    ("convert {checkpoint} {out} --languages en,klingon", 2, "unknown language 'klingon'; the model has: English, Fre"),
    ("convert {checkpoint} {out} --languages en,de", 2, r"no German \(deu_Latn\); it has: English, French"),
    ("convert {checkpoint} {out} --languages fr", 2, "fr: nothing to translate between"),
    ("convert {checkpoint} {out} --languages en,", 2, "languages 'en,': one of them has no name"),
    ("convert {checkpoint} {out} --languages en,fr --text {latin1}", 2, "{latin1} is not UTF-8"),
    ("convert {checkpoint} {out} --languages en,fr --text {empty}", 2, "{empty} cannot be read: Is a directory"),
    ("convert {checkpoint} {out} --text {hello}", 2, r"text \({hello}.*\) is for the vocabulary of some languages"),
    ("convert {plain} {out} --languages en,fr", 2, "{plain} has no tokeniser files"),
    (
        "convert {checkpoint} {out} --precision int4 --method awq",
        2,
        "--method is 'awq'; expected rtn, mse or gptq",
    ),
    (
        "convert {checkpoint} {out} --precision int4 --block-size 48",
        2,
        "--block-size is 48; expected 16, 32, 64, 128 or 256",
    ),
    ("convert {checkpoint} {out} --precision int4 --block-size x", 2, "--block-size.*'x'"),
    ("convert {checkpoint} {out} --precision int4 --embedding-bits 5", 2, "--embedding-bits is 5; expected 4 or 8"),
    (
        "convert {checkpoint} {out} --precision fp32 --method gptq",
        2,
        "precision fp32 quantises nothing: method.* are for int8 and int4",
    ),
    ("convert {checkpoint} {out} --precision fp32 --embedding-bits 8", 2, "precision fp32 quantises nothing"),
    (
        "convert {checkpoint} {out} --precision fp32 --report",
        2,
        "precision fp32 is float32 itself: a report is for int8 and int4",
    ),
    (
        "convert {checkpoint} {out} --precision int4 --method mse --calibration-text {hello}",
        2,
        r"\({hello}\) is for method gptq and for",
    ),
    (
        "convert {checkpoint} {out} --precision int4 --report --calibration-text {root}/no",
        2,
        "{root}/no cannot be read: No",
    ),
    ("convert {checkpoint} {out} --precision int4 --report --calibration-text {latin1}", 2, "{latin1} is not UTF-8"),
    ("convert {root}/nowhere {out} --precision int4 --method awq", 2, "--method is 'awq'"),
    (f"{TRANSLATE} --split none {'word ' * 80!r}", 2, "tokens is longer than the model's"),
    # files
    (f"{TRANSLATE} --input {{root}}/nothing.txt", 2, "--input {root}/nothing.txt: no such file"),
    (f"{TRANSLATE} --input {{empty}}", 2, "--input {empty} is a folder"),
    (f"{TRANSLATE} --input {{hello}} Hi", 2, "both TEXT and --input {hello}"),
    (f"{TRANSLATE} --input {{hello}} --output {{hello}}", 2, "--output {hello} is the input itself"),
    (f"{TRANSLATE} --input {{latin1}}", 2, "{latin1}, line 2: byte 0xe9 is not UTF-8"),
    ("translate --model {model} --to xx --output {root}/new.txt Hi", 2, "unknown language 'xx'"),
    (f"{TRANSLATE} --output {{empty}} Hi", 1, "--output {empty}: Is a directory"),
    (f"{TRANSLATE} --output {{hello}}/out.txt Hi", 1, "--output {hello}/out.txt: Not a directory"),
    *([(f"{TRANSLATE} --output {FULL_DISK} Hi", 1, f"--output {FULL_DISK}: No space")] if FULL_DISK.exists() else []),
    # conversion
    ("convert {root}/nowhere {out}", 2, "{root}/nowhere.*no such folder"),
    ("convert {empty} {out}", 2, "{empty} is no model"),
    ("convert {model} {out}", 1, "{model} is a quartet already"),
    ("convert {no_json} {out}", 1, r"config\.json"),
    (
        "convert {no_weights} {out}",
        1,
        r"no weights that are read: model\.safetensors.*not tf_model\.h5, weights of another framework",
    ),
    ("convert {truncated} {out}", 1, r"{truncated}/model\.safetensors is truncated"),
    ("convert {corrupt} {out}", 1, r"{corrupt}/model\.safetensors has a corrupt header"),
    ("convert {pickle} {out}", 1, r"{pickle}/pytorch_model\.bin.*(posix|nt|os)\.system"),
    (
        "convert {misfit} {out}",
        1,
        rf"{LAYER}\.fc1\.bias: missing; .*{LAYER}\.fc2\.bias: shape \[31\], expected \[32\].*"
        rf"{LAYER}\.adapter\.weight: left over",
    ),
    ("convert {moe} {out}", 1, "'nllb-moe' is not supported: a mixture of experts"),
    ("convert {bert} {out}", 1, "'bert' is not supported; supported are m2m_100, marian"),
    ("convert {glu} {out}", 1, "activation 'glu' is not supported; supported are relu"),
    ("convert {odd_heads} {out}", 1, "d_model 32 is no multiple of 5"),
    ("convert {cut_ct2} {out}", 1, r"{cut_ct2}/model\.bin is truncated"),
    ("convert {older_ct2} {out}", 1, r"{older_ct2}/model\.bin has binary version 4.*version 6 is read"),
    (
        "convert {llm_ct2} {out}",
        1,
        r"model\.bin is a TransformerDecoderModelSpec; read are TransformerSpec, WhisperSpec",
    ),
    ("convert {rotary_ct2} {out}", 1, "with rotary positions: quartet does not convert these"),
    ("convert {wordless_ct2} {out}", 1, r"{wordless_ct2} is incomplete: it has neither shared_vocabulary\.json"),
    (
        "convert {later_ct2} {out}",
        1,
        r"{later_ct2}/model\.bin has revision 99 of TransformerSpec; revisions \d+ to \d+ are",
    ),
    ("convert {half_onnx} {out}", 1, r"{half_onnx} is half an export: it has .*, but no encoder_model\.onnx"),
    ("convert {mixed_onnx} {out}", 1, r"{mixed_onnx} has decoder_model_q4\.onnx \(weights of 4 bits\).*is not read"),
    (
        "convert {other_onnx} {out}",
        1,
        r"{other_onnx}: .*tied; model\.encoder\.layer_norm\.weight: missing",
    ),
    ("convert {no_onnx} {out}", 1, r"{no_onnx}/decoder_model\.onnx is truncated or no ONNX file"),
    ("convert {cut_onnx} {out}", 1, r"{cut_onnx}/decoder_model\.onnx is truncated or no ONNX file"),
    ("convert {lacks_data_onnx} {out}", 1, r"{lacks_data_onnx}/decoder_model\.onnx_data is missing: it holds '"),
    ("convert {cut_data_onnx} {out}", 1, r"decoder_model\.onnx_data is truncated: '.*' ends at byte \d+ of 1000"),
    ("convert {plain} {out} --layout phone", 2, "--layout is 'phone'; expected quartet or rtranslator"),
    ("convert {root}/cut.argosmodel {out}", 1, r"cut\.argosmodel is truncated, damaged, or no Argos package"),
    ("convert {plain} {model}", 1, "{model} holds a quartet already; use --force"),
    ("convert {plain} {occupied}", 1, "{occupied} holds other files"),
    ("convert {plain} {occupied} --force", 1, "{occupied} holds other files"),
    ("convert {plain} {hello}", 1, "{hello} is a file; name a folder"),
    ("convert {plain} {hello}/below", 1, "{hello}.*: (File exists|Not a directory)"),
    ("convert {plain} {root}/link", 1, "{root}/link holds other files"),
    ("convert {plain} .", 1, "the folder that you are in; name another one"),
    ("convert {truncated} {replaced} --force", 1, "truncated"),
    # glossaries
    (
        f"{TRANSLATE} --glossary {{root}}/nowhere.tsv Hi",
        2,
        "the glossary {root}/nowhere.tsv cannot be read: No such file",
    ),
    (f"{TRANSLATE} --glossary {{plain}} Hi", 2, "the glossary {plain} cannot be read"),
    (f"{TRANSLATE} --glossary {{hello}} Hi", 2, "{hello}, line 1: 'Hello.'; expected a term, a tab, and what it becom"),
    (f"{TRANSLATE} --glossary {{hello}} --raw Hi", 2, "--glossary and --raw"),
    # the rest
    ("inspect {root}/nowhere", 2, "{root}/nowhere: no such folder; name a quartet or"),
    ("inspect {occupied}", 1, "{occupied} has no ONNX files"),
    (f"{TRANSLATE} -Hi", 2, "unrecognized arguments: -Hi"),
    ("inspect {hello}", 2, "{hello}"),
    ("languages --model nope", 2, "no model 'nope'"),
    ("cache clear dmeo", 2, "the cache has no model 'dmeo'"),
    ("trnslate Hi", 2, "'trnslate'.*'translate'"),
    ("translate --tp fr Hi", 2, "--tp"),
    ("convert {plain}", 2, "OUT_DIR"),
    ("inspect", 2, "DIR"),
    ("inspect a b c", 2, "3 folders; one or two can be looked at"),
    ("cache", 2, "ACTION"),
]


def words(line: str, places: dict[str, Path]) -> list[str]:
    """What the shell makes of a line."""
    return [word.format(**places) for word in shlex.split(line)]


def listing(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize(("line", "code", "message"), TABLE, ids=[line[:60] for line, _, _ in TABLE])
def test_bad_input(line, code, message, places, run, monkeypatch):
    monkeypatch.chdir(places["root"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    before = listing(places["root"])
    result = run(*words(line, places))
    expected = re.sub(r"\{(\w+)\}", lambda found: re.escape(str(places[found[1]])), message)
    assert result.out == ""
    (message,) = errors(result.err)
    assert message.startswith("quartet")
    assert result.err.endswith("\n")
    assert re.search(expected, message)
    assert "Traceback" not in result.err
    assert result.code == code
    assert listing(places["root"]) == before, "something was written"


# ---- texts that are odd, but no errors ----


@pytest.mark.parametrize("text", ["", " ", "\t \u00a0", "\u200f", "\ufeff"])
def test_text_without_content_comes_back_as_it_is(text, model, run):
    assert run("translate", "--model", model, "--to", "fr", "--from", "en", text).out == text + "\n"


@pytest.mark.parametrize("text", ["12345", "\U0001f600 \U0001f44d\U0001f3fd", "-- 3.14 --", "\u200f42", "\0"])
def test_text_without_letters_needs_no_language(text, model, run):
    """One line of numbers must not end the translation of a file."""
    result = run("translate", "--model", model, "--to", "fr", text)
    assert (result.code, result.out, result.err) == (0, text + "\n", "")


@pytest.mark.parametrize(
    "text",
    [
        "before\0after",
        "lone \ud800 surrogate",
        "bytes \udcff of another encoding",
        "\U0001f600 smile \U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u200f\u202bright to left\u202c\u200e",
        "a" * 100_000,
        "\u6f22" * 100_000,
        "e\u0301\u0302\u0303" * 10_000,
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_odd_text_is_translated(text, model, run):
    result = run("translate", "--model", model, "--to", "fr", "--from", "en", "--max-length", 2, text)
    assert result.code == 0
    assert errors(result.err) == []
    assert result.out.strip()
    assert result.out.count("\n") == 1


def test_an_argument_that_is_not_utf8(model, start):
    child = start("translate", "--model", model, "--to", "fr", "--from", "en", "--max-length", 3, b"caf\xe9")
    out, err = child.communicate(timeout=60)
    assert (child.returncode, errors(err)) == (0, [])
    assert out.decode().strip()


# ---- disks and signals ----

CONVERT_SLOWLY = """
import sys, time
from quartet.cli import main
from quartet.graph import writer

original = writer.write

def write(builder, *rest):
    written = original(builder, *rest)
    print(builder.name, flush=True)
    time.sleep(60)
    return written

writer.write = write
sys.exit(main())
"""


def small_files_only() -> None:
    """No file of this process may grow beyond 20 kB: to the one that writes, as good as a full disk."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.mark.skipif(not FULL_DISK.exists(), reason=f"needs {FULL_DISK}")
def test_standard_output_on_a_full_disk(model, start):
    with FULL_DISK.open("wb") as full:
        child = start("translate", "--model", model, "--to", "fr", "--from", "en", "Hi", stdout=full)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert errors(err) == ["quartet: standard output: No space left on device"]


def test_conversion_to_a_full_disk(checkpoint, tmp_path, start):
    child = start("convert", checkpoint, tmp_path / "out", preexec_fn=small_files_only)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert out == b""
    assert re.fullmatch(rf"quartet: cannot write {tmp_path}/out: File too large\n", err.decode())
    assert list(tmp_path.iterdir()) == []


def test_first_use_with_a_full_cache_disk(checkpoint, tmp_path, start, monkeypatch):
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path))
    child = start("translate", "--model", checkpoint, "--to", "fr", "Hi", preexec_fn=small_files_only)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (1, b"")
    assert re.fullmatch(r"quartet: cannot write .*: File too large\n", err.decode())
    assert not list(tmp_path.rglob(MANIFEST_NAME))


def test_a_cache_folder_that_cannot_be_made(checkpoint, tmp_path, run, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "file" / "cache"))
    result = run("translate", "--model", checkpoint, "--to", "fr", "Hi")
    assert (result.code, result.out) == (1, "")
    assert re.fullmatch(r"quartet: the cache folder .*file/cache cannot be written .*QUARTET_HOME.*\n", result.err)


def test_interrupt_while_waiting_for_a_line(model, start):
    child = start("translate", "--model", model, "--to", "fr", "--from", "en", "--max-length", 3)
    child.stdin.write(b"Hello.\n")
    child.stdin.flush()
    assert child.stdout.readline().strip()
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=120) == 130
    assert (child.stdout.read(), errors(child.stderr.read())) == (b"", ["quartet: interrupted"])


def test_interrupt_during_translation(model, tmp_path, start):
    (tmp_path / "long.txt").write_text("A line of some words, and more of them.\n" * 20_000)
    child = start("translate", "--model", model, "--to", "fr", "--from", "en", "--input", tmp_path / "long.txt")
    first = child.stdout.readline()
    child.send_signal(signal.SIGINT)
    assert set(child.stdout.readlines()) <= {first}, "lines are written whole"
    assert errors(child.stderr.read()) == ["quartet: interrupted"]
    assert child.wait(timeout=120) == 130


@pytest.mark.parametrize("command", ["convert {checkpoint} {out}/model", "translate --model {checkpoint} --to fr Hi"])
def test_interrupt_during_conversion(command, checkpoint, tmp_path, start, monkeypatch):
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "home"))
    argv = words(command, {"checkpoint": checkpoint, "out": tmp_path})
    child = start(*argv, script=CONVERT_SLOWLY)
    assert child.stdout.readline() == b"embed_and_lm_head\n"
    child.send_signal(signal.SIGINT)
    assert (child.stdout.read(), errors(child.stderr.read())) == (b"", ["quartet: interrupted"])
    assert child.wait(timeout=120) == 130
    assert not list(tmp_path.rglob("*.onnx*"))
    assert not list(tmp_path.rglob(MANIFEST_NAME))
