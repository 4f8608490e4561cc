"""A finished model is run for one step; what gives no numbers, or does not run at all, is refused."""

from pathlib import Path

import numpy as np
import pytest

import tiny
import tiny_speech
from quartet.conversion import trial_run
from quartet.conversion.convert import convert_folder
from quartet.conversion.trial_run import run_once
from quartet.errors import CheckpointError
from quartet.spec import Manifest

PARTS = {  # a file with weights that are spoilt, and where it shows first
    "encoder": "last_hidden_state of its encoder",
    "cache_initializer": "of its cache_initializer",
    "decoder": "of its decoder",
    "embed_and_lm_head": "embed_matrix of its embed_and_lm_head",
}


def made(folder: Path, variant: str, precision: str = "fp32") -> Manifest:
    make = tiny_speech.make if variant in tiny_speech.VARIANTS else tiny.make
    return convert_folder(make(folder / "checkpoint", variant), folder / "out", precision=precision)


@pytest.mark.parametrize("file", PARTS)
@pytest.mark.parametrize("variant", ["m2m100-base", "marian-base", "t5-v1.1"])
def test_what_is_not_finite_is_told_by_its_file(variant: str, file: str, tmp_path: Path) -> None:
    manifest = made(tmp_path, variant)
    data = tmp_path / "out" / f"{file}.onnx.data"
    data.write_bytes(np.full(data.stat().st_size // 4, np.nan, np.float32).tobytes())
    with pytest.raises(CheckpointError, match=rf"does not work: .*{PARTS[file]} is not finite"):
        run_once(tmp_path / "out", manifest)


def test_a_speech_model_hears_noise(tmp_path: Path) -> None:
    manifest = made(tmp_path, "base")
    data = tmp_path / "out" / "encoder.onnx.data"
    data.write_bytes(np.full(data.stat().st_size // 4, np.nan, np.float32).tobytes())
    with pytest.raises(CheckpointError, match="last_hidden_state of its encoder is not finite"):
        run_once(tmp_path / "out", manifest)


def test_a_file_that_does_not_run(tmp_path: Path) -> None:
    manifest = made(tmp_path, "marian-base")
    (tmp_path / "out" / "decoder.onnx").write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match=r"does not run \(decoder: .*\)") as caught:
        run_once(tmp_path / "out", manifest)
    assert "\n" not in str(caught.value)


def test_a_large_model_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversion takes less memory than the model; a model of which all is mapped does not."""
    manifest = made(tmp_path, "marian-base")
    monkeypatch.setattr(trial_run, "MOST_BYTES", 1000)
    monkeypatch.setattr(trial_run, "_run", lambda *_: pytest.fail("it is run"))
    run_once(tmp_path / "out", manifest)


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
@pytest.mark.parametrize("variant", ["m2m100-short", "marian-separate-sizes", "madlad", "english"])
def test_random_models_pass(variant: str, precision: str, tmp_path: Path) -> None:
    """And where they do not, their conversion fails."""
    run_once(tmp_path / "out", made(tmp_path, variant, precision))


def test_a_head_that_would_take_much_memory_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, ran, run = made(tmp_path, "marian-base"), [], trial_run._run

    def noted(folder, file, feeds, wanted=()):
        ran.append(wanted)
        return run(folder, file, feeds, wanted)

    monkeypatch.setattr(trial_run, "_run", noted)
    run_once(tmp_path / "out", manifest)
    assert ("logits",) in ran
    ran.clear()
    monkeypatch.setattr(trial_run, "MOST_UNPACKED", 1)
    run_once(tmp_path / "out", manifest)
    assert ran
    assert ("logits",) not in ran
