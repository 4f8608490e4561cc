"""The contract of design section 4: names, types and shapes of inputs and outputs, and every weight once."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

import tiny
import tiny_speech
from quartet.conversion.convert import convert_folder
from quartet.conversion.verify import stored_weights, verify
from quartet.errors import ManifestError
from quartet.spec import FILES

VARIANTS = ["m2m100-base", "m2m100-heads-differ", "m2m100-untied", "marian-base", "marian-separate-sizes"]


@pytest.fixture(scope="module", params=VARIANTS)
def quartet(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    manifest = convert_folder(tiny.make(folder / "checkpoint", request.param), folder / "quartet", precision="fp32")
    return folder / "quartet", manifest


def contract(shapes):
    """(inputs, outputs) of each file as the design writes them."""
    d, h, k, v = shapes.d_model, shapes.decoder_heads, shapes.head_size, shapes.vocab_size
    layers = range(shapes.decoder_layers)

    def cache(pattern, part, length, rows="b"):
        return {pattern.format(i, part, w): ("FLOAT", [rows, h, length, k]) for i in layers for w in ("key", "value")}

    past, present = "past_key_values.{}.{}.{}", "present.{}.{}.{}"
    return {
        "embed_and_lm_head": (
            {"use_lm_head": ("BOOL", [1]), "input_ids": ("INT64", ["b", "n"]), "pre_logits": ("FLOAT", ["b", 1, d])},
            {"embed_matrix": ("FLOAT", ["b", "n", d]), "logits": ("FLOAT", ["b", 1, v])},
        ),
        "encoder": (
            {
                "input_ids": ("INT64", ["b", "s"]),
                "attention_mask": ("INT64", ["b", "s"]),
                "embed_matrix": ("FLOAT", ["b", "s", d]),
            },
            {"last_hidden_state": ("FLOAT", ["b", "s", d])},
        ),
        "cache_initializer": (
            {"encoder_hidden_states": ("FLOAT", ["b", "s", d])},
            cache(present, "encoder", "s"),
        ),
        "decoder": (
            {
                "input_ids": ("INT64", ["b", "t"]),
                "encoder_attention_mask": ("INT64", ["sources", "s"]),
                "embed_matrix": ("FLOAT", ["b", "t", d]),
                **cache(past, "decoder", "p"),
                **cache(past, "encoder", "s", "sources"),
            },
            {"pre_logits": ("FLOAT", ["b", "t", d]), **cache(present, "decoder", "p + t")},
        ),
    }


def declared(values):
    return {v.name: (v.dtype.name, [d if isinstance(d, int) else d.value for d in v.shape]) for v in values}


def test_inputs_and_outputs(quartet):
    folder, manifest = quartet
    for file, (inputs, outputs) in contract(manifest.shapes).items():
        graph = ir.load(folder / f"{file}.onnx").graph
        assert declared(graph.inputs) == inputs
        assert declared(graph.outputs) == outputs


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    manifest = convert_folder(tiny_speech.make(folder / "checkpoint", "turbo"), folder / "quartet", precision="fp32")
    return folder / "quartet", manifest


def test_inputs_and_outputs_of_a_speech_model(whisper):
    folder, manifest = whisper
    d = manifest.shapes.d_model
    expected = contract(manifest.shapes)
    expected["encoder"] = ({"input_features": ("FLOAT", ["b", 16, "frames"])}, expected["encoder"][1])
    del expected["decoder"][0]["encoder_attention_mask"]
    expected["decoder"][1]["queries.0.encoder"] = ("FLOAT", ["b", "t", d])
    for file, (inputs, outputs) in expected.items():
        graph = ir.load(folder / f"{file}.onnx").graph
        assert declared(graph.inputs) == inputs
        assert declared(graph.outputs) == outputs
    weights = list(stored_weights(folder))
    assert len({(w.data_file, w.offset) for w in weights}) == len(weights)
    verify(folder, manifest.files)


def test_opset_and_ir_versions_are_old_enough_for_phones(quartet):
    folder, _ = quartet
    for file in FILES:
        model = ir.load(folder / f"{file}.onnx")
        assert model.ir_version <= 10
        assert model.graph.opset_imports[""] <= 21


def test_every_weight_is_stored_once(quartet):
    folder, manifest = quartet
    weights = list(stored_weights(folder))
    places = {(w.data_file, w.offset) for w in weights}
    assert len(places) == len(weights) == len({w.name for w in weights})
    contents = [(folder / w.data_file).read_bytes()[w.offset : w.offset + w.length] for w in weights]
    assert len(set(contents)) == len(contents)
    verify(folder, manifest.files)


def test_weights_have_their_place(quartet):
    folder, _ = quartet
    files = {w.name: w.graph for w in stored_weights(folder)}
    assert all(
        (file == "cache_initializer") == ("encoder_attn/k_" in n or "encoder_attn/v_" in n) for n, file in files.items()
    )
    assert files["/embed_tokens.weight"] == "embed_and_lm_head"


def test_node_names_are_paths(quartet):
    folder, _ = quartet
    names = [node.name for file in FILES for node in ir.load(folder / f"{file}.onnx").graph]
    assert "/decoder/layers.0/self_attn/qkv_proj" in names
    assert all(name.startswith("/") for name in names)


def test_the_idle_branch_gives_an_empty_dummy(quartet):
    folder, manifest = quartet
    session = ort.InferenceSession(folder / "embed_and_lm_head.onnx")
    d = manifest.shapes.d_model
    inputs = {"input_ids": np.zeros((1, 2), np.int64), "pre_logits": np.zeros((1, 1, d), np.float32)}
    matrix, logits = session.run(None, inputs | {"use_lm_head": np.array([False])})
    assert matrix.shape == (1, 2, d)
    assert logits.size == 0
    matrix, logits = session.run(None, inputs | {"use_lm_head": np.array([True])})
    assert matrix.size == 0
    assert logits.shape == (1, 1, manifest.shapes.vocab_size)


def misplaced(folder, target, second_offset, second_name=None):
    """A copy of a quartet whose second weight of the decoder lies elsewhere, or has another name."""
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    model = ir.load(target / "decoder.onnx")
    _, second, *_ = [v for v in model.graph.initializers.values() if isinstance(v.const_value, ir.ExternalTensor)]
    shape = ir.Shape([4])
    second.const_value = ir.ExternalTensor(
        "decoder.onnx.data", second_offset, 16, ir.DataType.FLOAT, shape=shape, name=second.name
    )
    ir.save(model, target / "decoder.onnx")
    return target


def test_verify_finds_overlapping_weights(quartet, tmp_path):
    folder, manifest = quartet
    with pytest.raises(ManifestError, match=r"decoder\.onnx\.data has weights that overlap at byte 8"):
        verify(misplaced(folder, tmp_path, 8), manifest.files)


def test_verify_finds_a_weight_outside_its_file(quartet, tmp_path):
    folder, manifest = quartet
    with pytest.raises(ManifestError, match=r"ends at byte \d+ of \d+ in decoder\.onnx\.data"):
        verify(misplaced(folder, tmp_path, manifest.files["decoder.onnx.data"].bytes), manifest.files)


def test_the_head_borrows_whole_rows_of_a_stored_weight(quartet, tmp_path):
    folder, manifest = quartet
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    model = ir.load(tmp_path / "lm_head.onnx")
    borrowed = next(v for v in model.graph.initializers.values() if isinstance(v.const_value, ir.ExternalTensor))
    old = borrowed.const_value
    size = manifest.files["embed_and_lm_head.onnx.data"].bytes
    borrowed.const_value = ir.ExternalTensor(
        str(old.location), size, old.length, old.dtype, shape=old.shape, name=old.name
    )
    ir.save(model, tmp_path / "lm_head.onnx")
    with pytest.raises(ManifestError, match="lies in no weight of embed_and_lm_head"):
        verify(tmp_path, manifest.files)


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
@pytest.mark.parametrize("variant", ["m2m100-base", "marian-separate-sizes"])
def test_no_constant_or_weight_is_left_unused(tmp_path, variant, precision):
    """ONNX Runtime prints a warning for each one."""
    convert_folder(tiny.make(tmp_path / "checkpoint", variant), tmp_path / "quartet", precision=precision)
    for file in FILES:
        graph = ir.load(tmp_path / "quartet" / f"{file}.onnx").graph
        used = {value.name for node in graph.all_nodes() for value in node.inputs if value is not None}
        assert set(graph.initializers) <= used
