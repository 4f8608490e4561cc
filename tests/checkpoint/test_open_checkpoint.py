import json
import subprocess
import sys

import numpy as np
import pytest

from checkpoint_files import write_safetensors, write_torch_legacy, write_torch_zip
from quartet.checkpoint import is_checkpoint, open_checkpoint, read
from quartet.errors import CheckpointError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "marian"}')
    return tmp_path


def weights(value):
    return {"w": np.full(3, value, np.float32)}


def test_configs_and_weights(folder):
    (folder / "generation_config.json").write_text('{"max_length": 5}')
    write_safetensors(folder / "model.safetensors", weights(1))
    checkpoint = open_checkpoint(folder)
    assert checkpoint.folder == folder
    assert checkpoint.config == {"model_type": "marian"}
    assert checkpoint.generation_config == {"max_length": 5}
    assert read(checkpoint.tensors["w"]).tolist() == [1, 1, 1]


def test_no_generation_config_is_an_empty_one(folder):
    write_safetensors(folder / "model.safetensors", weights(1))
    assert open_checkpoint(folder).generation_config == {}


def test_safetensors_go_before_shards_and_these_before_torch_files(folder):
    index = {"weight_map": {"w": "shard"}}
    write_torch_zip(folder / "shard-of-bin", weights(4))
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"w": "shard-of-bin"}}))
    assert read(open_checkpoint(folder).tensors["w"])[0] == 4
    write_torch_legacy(folder / "pytorch_model.bin", weights(3))
    assert read(open_checkpoint(folder).tensors["w"])[0] == 3
    write_safetensors(folder / "shard", weights(2))
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert read(open_checkpoint(folder).tensors["w"])[0] == 2
    write_safetensors(folder / "model.safetensors", weights(1))
    assert read(open_checkpoint(folder).tensors["w"])[0] == 1


def test_no_folder(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere is not a folder"):
        open_checkpoint(tmp_path / "nowhere")


def test_a_folder_without_config(tmp_path):
    assert not is_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: it has no config\.json"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a": 1, "a": 2}', '{"\udcff": 1}'])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_broken_config(folder, name, text):
    write_safetensors(folder / "model.safetensors", weights(1))
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert is_checkpoint(folder)
    with pytest.raises(CheckpointError, match=rf"{name} is not a JSON object"):
        open_checkpoint(folder)


def test_no_weights_names_what_is_looked_for(folder):
    with pytest.raises(CheckpointError, match=r"model\.safetensors, .*decoder_model_merged\.onnx are, and none"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack", "rust_model.ot", "model.Q4_K.gguf"])
def test_weights_of_other_kinds_are_named(folder, name):
    (folder / name).touch()
    with pytest.raises(CheckpointError, match=rf"decoder_model_merged\.onnx are, {name} not"):
        open_checkpoint(folder)


def test_reading_imports_no_framework(folder):
    write_torch_zip(folder / "pytorch_model.bin", weights(1))
    program = (
        "import sys, pathlib, quartet.checkpoint as c; c.open_checkpoint(pathlib.Path(sys.argv[1])); "
        "print(sorted({'torch', 'safetensors', 'transformers', 'onnx_ir'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
