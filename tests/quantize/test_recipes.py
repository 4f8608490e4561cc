"""Quantised quartets: the graphs against float32 ones, one set of bytes for the tied matrix, sizes."""

import dataclasses

import numpy as np
import onnx_ir as ir
import pytest

import tiny
from checkpoint_files import write_safetensors
from quartet import Translator
from quartet.conversion import convert_folder
from quartet.errors import CheckpointError, OptionError
from quartet.graph.verify import stored_weights
from quartet.quantize.numerics import Scheme
from quartet.quantize.recipes import RECIPES, QuantizationOptions, Recipe, recipe_of
from quartet.runtime.decode import decode_one_token, encode, read_scores
from quartet.runtime.sessions import open_sessions

QUANTISED = ["int8", "int4"]
VARIANTS = ["m2m100-base", "m2m100-untied", "marian-base", "marian-separate-sizes", "m2m100-odd-width"]


def test_an_unknown_precision_is_named():
    with pytest.raises(OptionError, match=r"unknown precision 'int3'; it is one of fp32, int8, int4"):
        recipe_of("int3")


@pytest.mark.parametrize(("columns", "block"), [(1024, 64), (96, 32), (48, 16), (40, None), (20, None)])
def test_blocks_shrink_until_they_divide_the_columns(columns, block):
    recipe = Recipe("test", {"encoder": Scheme(4, 64, False)})
    scheme = recipe.scheme("encoder", columns)
    assert (scheme and scheme.block_size) == block
    assert recipe.scheme("decoder", columns) is None


def logits(folder, rows, prefix):
    """Logits [b, v] after the prefix."""
    model = open_sessions(folder, 1)
    state = encode(model, rows)
    for token in prefix:
        pre_logits = decode_one_token(model, state, np.full(len(rows), token))
    return read_scores(model, pre_logits).logits


@pytest.mark.parametrize("precision", QUANTISED)
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_stay_close_to_float32(tmp_path, variant, precision):
    checkpoint = tiny.make(tmp_path / "checkpoint", variant)
    for name in ("fp32", precision):
        convert_folder(checkpoint, tmp_path / name, precision=name)
    rows, prefix = tiny.inputs(variant, 3), [2, 98] if variant.startswith("m2m100") else [tiny.VARIANTS[variant].pad]
    exact, ours = (logits(tmp_path / name, rows, prefix) for name in ("fp32", precision))
    finite = exact > -1e8
    similarity = np.corrcoef(exact[finite], ours[finite])[0, 1]
    assert similarity > {"int8": 0.999, "int4": 0.9}[precision]


@pytest.mark.parametrize("precision", QUANTISED)
def test_the_tied_matrix_is_one_set_of_bytes_for_both_uses(tmp_path, precision):
    convert_folder(tiny.make(tmp_path / "checkpoint", "m2m100-base"), tmp_path / "quartet", precision=precision)
    stored = [w for w in stored_weights(tmp_path / "quartet") if w.graph == "embed_and_lm_head"]
    (codes,) = [w for w in stored if "codes" in w.name]
    graph = ir.load(tmp_path / "quartet/embed_and_lm_head.onnx").graph
    readers = {
        node.op_type for node in graph.all_nodes() if codes.name in [value and value.name for value in node.inputs]
    }
    assert readers == {"Gather", "MatMulNBits"}


def test_sizes(tmp_path, demo_checkpoint):
    """Bits per weight as they should be: a float32 scale and perhaps a zero point for each block come on top."""
    sizes = {}
    for precision in RECIPES:
        manifest = convert_folder(demo_checkpoint, tmp_path / precision, precision=precision)
        sizes[precision] = sum(
            manifest.files[f"{f}.onnx.data"].bytes for f in ("encoder", "cache_initializer", "decoder")
        )
    assert sizes["int8"] / sizes["fp32"] == pytest.approx((1 + 4 / 128) / 4, rel=0.04)
    assert sizes["int4"] / sizes["fp32"] == pytest.approx((0.5 + 4.5 / 64) / 4, rel=0.06)


@pytest.mark.parametrize(("precision", "least"), [("int8", 0.9), ("int4", 0.7)])
def test_the_demo_model_mostly_says_the_same(tmp_path, demo_checkpoint, precision, least):
    texts = [
        "Good morning.",
        "Where do you live?",
        "She is reading a book.",
        "I do not understand.",
        "We are going home.",
        "He has two sisters.",
        "It is very cold today.",
        "Can you help me?",
        "The train is late.",
        "I am looking for my keys.",
    ]
    found = {}
    for name in ("fp32", precision):
        convert_folder(demo_checkpoint, tmp_path / name, precision=name)
        with Translator(tmp_path / name, threads=1) as translator:
            found[name] = [t.text for t in translator.translate_batch(texts, "fr", "en")]
    same = sum(a == b for a, b in zip(found["fp32"], found[precision], strict=True))
    assert same >= least * len(texts), list(zip(found["fp32"], found[precision], strict=True))


def test_the_manifest_names_the_precision(tmp_path):
    manifest = convert_folder(tiny.make(tmp_path / "checkpoint", "marian-base"), tmp_path / "q", precision="int8")
    assert manifest.precision == "int8"
    assert dataclasses.asdict(manifest)["precision"] == "int8"


def test_a_weight_that_is_no_number_is_named(tmp_path):
    shape = tiny.VARIANTS["marian-base"]
    folder = tiny.make(tmp_path / "checkpoint", "marian-base")
    tensors = tiny.tensors(shape)
    tensors["model.decoder.layers.1.fc1.weight"][3, 5] = np.nan
    write_safetensors(folder / "model.safetensors", tensors)
    with pytest.raises(
        CheckpointError,
        match=r"/decoder/layers\.1/fc1\.weight cannot be quantised: the weight in row 3, column 5 is nan",
    ):
        convert_folder(folder, tmp_path / "quartet", precision="int4")
    assert not (tmp_path / "quartet").exists()


def test_options_change_a_recipe():
    recipe = recipe_of("int4", QuantizationOptions("gptq", 32, 4))
    assert recipe.calibrated
    assert {scheme.block_size for scheme in recipe.schemes.values()} == {32}
    assert {scheme.bits for scheme in recipe.schemes.values()} == {4}
    assert recipe_of("int4", QuantizationOptions(method="rtn")).method == "rtn"
    assert recipe_of("int4", QuantizationOptions(embedding_bits=8)) == recipe_of("int4")
    assert recipe_of("int8", QuantizationOptions()) is recipe_of("int8")
    assert recipe_of("fp32", QuantizationOptions()) is recipe_of("fp32")


@pytest.mark.parametrize(
    ("precision", "options", "message"),
    [
        ("int4", QuantizationOptions(method="best"), "unknown method 'best'"),
        ("int4", QuantizationOptions(block_size=8), "block size 8; it is one of 16"),
        ("int8", QuantizationOptions(embedding_bits=16), "16 bits for the embedding"),
        ("fp32", QuantizationOptions(block_size=32), "precision fp32 quantises nothing"),
        ("int3", QuantizationOptions(block_size=32), "unknown precision 'int3'"),
    ],
)
def test_options_that_there_are_not(precision, options, message):
    with pytest.raises(OptionError, match=message):
        recipe_of(precision, options)
