import json
import re
import subprocess
import sys

import numpy as np
import pytest

from checkpoint_files import write_safetensors, write_torch_legacy, write_torch_zip
from quartet import catalog
from quartet.checkpoint import is_checkpoint, open_checkpoint, read
from quartet.errors import CheckpointError, ModelNotFoundError, UnsupportedModelError


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


FOREIGN = [
    ("tf_model.h5", "weights of another framework: load it with transformers"),
    ("flax_model.msgpack", "weights of another framework: load it with transformers"),
    ("rust_model.ot", "weights of another framework: load it with transformers"),
    ("model.Q4_K.gguf", "llama.cpp's .*: take the model that it was made from"),
    ("ggml-base.bin", "whisper.cpp's format: take the model that it was made from"),
    ("epoch=3.ckpt", "a checkpoint of a training script: "),
    ("checkpoint_best.pt", "fairseq's or a training script's: "),
    ("model.npz", "Marian's own weights: convert them with convert_marian_to_pytorch"),
    ("model.enfr.intgemm.alphas.bin", "a model of Firefox's translator: "),
    ("onnx/model.onnx", "no export of a whole model by Optimum: export it with optimum-cli"),
    ("adapter_model.safetensors", r"an adapter \(PEFT\): merge it into its base model"),
]


@pytest.mark.parametrize(("name", "message"), FOREIGN)
def test_weights_of_other_kinds_are_named(folder, name, message):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    if "adapter" not in name:
        with pytest.raises(
            CheckpointError, match=rf"decoder_model_merged\.onnx are, not {re.escape(name)}, .*{message}"
        ):
            open_checkpoint(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=rf"no model: .*, but {re.escape(name)}, .*{message}"):
        catalog.resolve(str(folder))


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "model.gguf").touch()
    with pytest.raises(ModelNotFoundError, match=r"model\.gguf, llama\.cpp's .*: take the model"):
        catalog.resolve(str(tmp_path / "model.gguf"))


def test_an_adapter_names_its_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "Helsinki-NLP/opus-mt-en-fr"}')
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(ModelNotFoundError, match=r"merge it into its base model, 'Helsinki-NLP/opus-mt-en-fr'$"):
        catalog.resolve(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(ModelNotFoundError, match=r"merge it into its base model$"):
        catalog.resolve(str(tmp_path))


def test_an_adapter_beside_weights(folder):
    write_safetensors(folder / "model.safetensors", weights(1))
    (folder / "adapter_config.json").write_text("{}")
    assert open_checkpoint(folder).tensors
    write_safetensors(folder / "adapter_model.safetensors", weights(1))
    with pytest.raises(UnsupportedModelError, match=r"holds an adapter \(adapter_model\.safetensors\): merge it"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", ["base_model.model.w.base_layer.weight", "model.fc1.lora_A.default.weight"])
def test_an_adapter_that_is_not_merged(folder, name):
    write_safetensors(folder / "model.safetensors", weights(1) | {name: np.zeros(2, np.float32)})
    with pytest.raises(UnsupportedModelError, match=rf"not merged \('{name}'\): merge it into its model"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq"}, "awq"),
        ({"load_in_8bit": True}, "bitsandbytes"),
    ],
)
def test_weights_quantised_by_other_libraries(folder, settings, method):
    (folder / "config.json").write_text(json.dumps({"model_type": "marian", "quantization_config": settings}))
    write_safetensors(folder / "model.safetensors", weights(1))
    with pytest.raises(UnsupportedModelError, match=rf"quantised by '{method}' .*, or save it dequantised"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "names",
    [
        ("_orig_mod.model.a", "_orig_mod.lm_head.b"),
        ("module.model.a", "module.lm_head.b"),
        ("module._orig_mod.model.a", "module._orig_mod.lm_head.b"),
        ("model._orig_mod.a", "lm_head.b"),
        ("_fsdp_wrapped_module.model._checkpoint_wrapped_module.a", "_fsdp_wrapped_module.lm_head.b"),
        ("model.model.a", "model.lm_head.b"),
    ],
)
def test_names_without_what_training_wraps_models_in(folder, names):
    write_torch_zip(folder / "pytorch_model.bin", dict.fromkeys(names, np.zeros(2, np.float32)))
    assert open_checkpoint(folder).tensors.keys() == {"model.a", "lm_head.b"}


def test_names_of_t5_in_a_module_of_lightning(folder):
    names = ("model.shared.weight", "model.encoder.block.0.x")
    write_torch_zip(folder / "pytorch_model.bin", dict.fromkeys(names, np.zeros(2, np.float32)))
    assert open_checkpoint(folder).tensors.keys() == {"shared.weight", "encoder.block.0.x"}


def test_a_tensor_with_and_without_a_prefix(folder):
    names = ("model.a", "_orig_mod.model.a")
    write_torch_zip(folder / "pytorch_model.bin", dict.fromkeys(names, np.zeros(2, np.float32)))
    with pytest.raises(CheckpointError, match=r"holds 'model\.a' twice, as 'model\.a' and as '_orig_mod\.model\.a'"):
        open_checkpoint(folder)


def test_reading_imports_no_framework(folder):
    write_torch_zip(folder / "pytorch_model.bin", weights(1))
    program = (
        "import sys, pathlib, quartet.checkpoint as c; c.open_checkpoint(pathlib.Path(sys.argv[1])); "
        "print(sorted({'torch', 'safetensors', 'transformers', 'onnx_ir'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
