"""GPTQ through the whole conversion: codes change in place, and products with real inputs change less."""

from dataclasses import replace

import numpy as np
import pytest

import tiny
import tiny_text
from conversion.calibration.conftest import batch_of
from quartet import Translator
from quartet.checkpoint.tensors import TensorEntry, read
from quartet.conversion.calibration.examples import Sentences
from quartet.conversion.calibration.requantize import calibrated_weights, requantize
from quartet.conversion.calibration.walk import walk
from quartet.conversion.convert import convert_folder
from quartet.errors import CheckpointError
from quartet.graph import files
from quartet.graph.writer import data_name, write
from quartet.progress import silent
from quartet.quantize.numerics import Blocks, dequantize
from quartet.quantize.recipes import QuantizationOptions, recipe_of
from quartet.runtime.engine import check_files
from quartet.spec import FILES

GPTQ = QuantizationOptions(method="gptq", embedding_bits=4)


def stored(model, file, weight):
    """A quantised matrix as it lies in the data file."""
    arrays = []
    for initializer in weight.initializers:
        tensor = model.graphs[file].initializers[initializer.name].const_value
        raw = np.fromfile(model.folder / data_name(file), np.uint8, tensor.length, offset=tensor.offset)
        arrays.append(raw.view(initializer.dtype.numpy()).reshape(initializer.shape))
    return dequantize(Blocks(*arrays, *([None] * (3 - len(arrays)))), weight.scheme, weight.source_shape[1])


@pytest.mark.parametrize("variant", ["m2m100-base", "marian-base"])
def test_products_with_the_calibrated_inputs_change_less(variant, model_of):
    model, batch = model_of(variant), batch_of(variant)
    steps = [step for step in walk(model, [batch], moments=True) if step.moments]
    cases = [(s.file, model.graphs[s.file].weights[n], m) for s in steps for n, m in s.moments.items()]

    def errors():
        for file, weight, moments in cases:
            error = stored(model, file, weight) - np.concatenate([read(model.tensors[s]) for s in weight.sources])
            yield np.einsum("ij,jk,ik->", error, moments, error)

    before = list(errors())
    told = []
    requantize(model, [batch], lambda done, total: told.append((done, total)))
    after = list(errors())
    assert sum(b < a for a, b in zip(before, after, strict=True)) >= 0.9 * len(cases)
    assert sum(after) < 0.7 * sum(before)
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("variant", ["m2m100-base", "m2m100-untied", "marian-separate-sizes"])
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_calibrated_model_is_whole(variant, precision, tmp_path):
    checkpoint = tiny.make(tmp_path / "checkpoint", variant)
    plain = convert_folder(
        checkpoint, tmp_path / "plain", precision=precision, options=QuantizationOptions("mse", None, 4)
    )
    manifest = convert_folder(checkpoint, tmp_path / "quartet", precision=precision, options=GPTQ)
    check_files(tmp_path / "quartet", manifest, hashes=True)
    for file in FILES:
        name = data_name(file)
        assert manifest.files[name].bytes == plain.files[name].bytes
        assert manifest.files[name] != plain.files[name]
    with Translator(tmp_path / "quartet", threads=1) as translator:
        assert len(translator.generate(tiny.inputs(variant), max_new_tokens=8)) == len(tiny.inputs(variant))


def test_the_same_text_gives_the_same_files(tmp_path):
    checkpoint = tiny_text.make(tmp_path / "checkpoint")
    (tmp_path / "text.txt").write_text("The house is small.\nWhere is the station?\nOù est la gare ?\n", "utf-8")
    once, again = (
        convert_folder(
            checkpoint, tmp_path / name, precision="int4", options=GPTQ, calibration_text=tmp_path / "text.txt"
        )
        for name in ("once", "again")
    )
    other = convert_folder(checkpoint, tmp_path / "other", precision="int4", options=GPTQ)
    assert once.files == again.files
    assert once.files != other.files
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", "text.txt", "once", "again", "other"}


def test_a_matrix_that_stays_is_left_alone(model_of, monkeypatch):
    model = model_of("m2m100-base", "fp32")
    before = (model.folder / data_name("encoder")).read_bytes()
    requantize(model, [batch_of("m2m100-base")], silent)
    assert (model.folder / data_name("encoder")).read_bytes() == before


@pytest.mark.parametrize("variant", ["m2m100-base", "m2m100-untied", "marian-separate-sizes"])
def test_weights_that_are_left_out_at_first_come_later(variant, model_of):
    """The files are the same, whether plain codes were there before or nothing."""
    model, batch = model_of(variant), batch_of(variant)
    requantize(model, [batch], silent)
    expected = contents(model)
    graphs = files.build(model.spec, recipe_of("int4"))
    left_out = calibrated_weights(model.spec, graphs)
    for file, graph in graphs.items():
        write(graph, model.tensors, model.folder, lambda count: None, left_out[file])
    assert [len(data) for data in contents(model)] == [len(data) for data in expected]
    assert contents(model) != expected
    requantize(replace(model, graphs=graphs), [batch], silent)
    assert contents(model) == expected


def contents(model):
    return [(model.folder / data_name(file)).read_bytes() for file in FILES]


@pytest.mark.parametrize("options", [GPTQ, QuantizationOptions()])
def test_a_whole_conversion_with_or_without_plain_codes_first(options, tmp_path, monkeypatch):
    checkpoint = tiny_text.make(tmp_path / "checkpoint")
    left_out = convert_folder(checkpoint, tmp_path / "left-out", precision="int4", options=options)
    monkeypatch.setattr(Sentences, "are_translated", False)
    assert convert_folder(checkpoint, tmp_path / "plain", precision="int4", options=options).files == left_out.files


def test_weights_before_that_are_not_finite_are_told(model_of):
    model = model_of("m2m100-base")
    name = "encoder.layers.0.self_attn_layer_norm.weight"
    (model.folder / "nan").write_bytes(np.full(model.tensors[name].shape, np.nan, np.float32).tobytes())
    broken = TensorEntry(model.folder / "nan", 0, model.tensors[name].shape, "float32", None, name)
    model = replace(model, tensors=dict(model.tensors) | {name: broken})
    with pytest.raises(CheckpointError, match=r"'encoder\.layers\.0\.self_attn_layer_norm\.weight' holds nan"):
        requantize(model, [batch_of("m2m100-base")], silent)
