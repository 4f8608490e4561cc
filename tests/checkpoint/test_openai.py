"""OpenAI's `.pt` files: the same model as in the layout of transformers."""

import pickle

import numpy as np
import pytest

import tiny_speech
from checkpoint_files import write_torch_zip, write_torch_zip_raw
from quartet import catalog, provision
from quartet.checkpoint import open_checkpoint, openai
from quartet.conversion.convert import convert_folder
from quartet.errors import CheckpointError, ModelNotFoundError
from quartet.families.whisper import openai_name
from quartet.provision import convert
from quartet.spec import FILES, Manifest

SHAPE = tiny_speech.VARIANTS["turbo"]
DIMS = {
    "n_mels": SHAPE.mel_bins,
    "n_vocab": tiny_speech.VOCABULARY,
    "n_audio_ctx": tiny_speech.POSITIONS,
    "n_audio_state": SHAPE.d_model,
    "n_audio_head": SHAPE.heads,
    "n_audio_layer": SHAPE.encoder_layers,
    "n_text_ctx": tiny_speech.TARGET_POSITIONS,
    "n_text_state": SHAPE.d_model,
    "n_text_head": SHAPE.heads,
    "n_text_layer": SHAPE.decoder_layers,
}


@pytest.fixture
def wide(monkeypatch):
    """Feed-forward blocks four times as wide as the model, as OpenAI's are without saying so."""
    monkeypatch.setattr(tiny_speech, "VOCABULARY", 51_865)  # the config goes by its size
    monkeypatch.setitem(tiny_speech.VARIANTS, "turbo", tiny_speech.replace(SHAPE, ffn_dim=4 * SHAPE.d_model))
    return tiny_speech.VARIANTS["turbo"]


def sizes():
    return DIMS | {"n_vocab": tiny_speech.VOCABULARY}


def write(path, shape, dims=None):
    tensors = {openai_name(n.removeprefix("model.")): t for n, t in tiny_speech.tensors(shape).items()}
    write_torch_zip(path, tensors, dtype="float16", under="model_state_dict", dims=dims or sizes())
    return path


def test_the_weights_are_those_of_the_other_layout(wide, tmp_path):
    convert_folder(tiny_speech.make(tmp_path / "theirs", "turbo"), tmp_path / "a", precision="fp32")
    manifest = convert(write(tmp_path / "turbo.pt", wide), tmp_path / "b", precision="fp32")
    assert manifest.name == "turbo"
    assert manifest.shapes.max_target_length == tiny_speech.TARGET_POSITIONS
    for file in FILES:
        assert (tmp_path / "a" / f"{file}.onnx.data").read_bytes() == (
            tmp_path / "b" / f"{file}.onnx.data"
        ).read_bytes()


def test_sizes_become_a_config():
    config = openai.config_of(DIMS | {"n_vocab": 51864, "n_audio_state": 384})
    assert (config["eos_token_id"], config["decoder_start_token_id"]) == (50256, 50257)
    assert config["encoder_ffn_dim"] == 1536
    assert openai.config_of(DIMS | {"n_vocab": 51866})["eos_token_id"] == 50257


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    write_torch_zip(tmp_path / "x.pt", {"w": np.zeros(3, np.float32)})
    with pytest.raises(CheckpointError, match=r"x\.pt is no checkpoint of OpenAI's Whisper: it holds no dims"):
        open_checkpoint(tmp_path / "x.pt")


def test_missing_sizes_are_refused(wide, tmp_path):
    path = write(tmp_path / "x.pt", wide, {"n_mels": 80})
    with pytest.raises(CheckpointError, match="holds no dims with n_mels, n_audio_ctx"):
        open_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"hello, this is text", pickle.dumps({"dims": 3})])
def test_other_files_with_that_name_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        convert(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert "x.pt" in str(caught.value)


def test_a_pickle_that_runs_something_is_refused(tmp_path):
    write_torch_zip_raw(tmp_path / "x.pt", b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR.", {})
    with pytest.raises(CheckpointError, match=r"asks to run os\.system: refused"):
        open_checkpoint(tmp_path / "x.pt")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no model .*gone\.pt"):
        catalog.resolve(str(tmp_path / "gone.pt"))


def test_it_is_converted_once_into_the_cache_and_again_when_it_changes(wide, tmp_path):
    path = write(tmp_path / "mine.pt", wide)
    first = provision.ready(str(path), "fp32")
    assert provision.ready(str(path), "fp32") == first
    path.write_bytes(path.read_bytes() + b"")
    write(path, tiny_speech.replace(wide, seed=99))
    assert provision.ready(str(path), "fp32") != first


def test_it_has_8_bits_where_nobody_says_otherwise(wide, tmp_path):
    assert Manifest.load(provision.ready(str(write(tmp_path / "mine.pt", wide)))).precision == "int8"
