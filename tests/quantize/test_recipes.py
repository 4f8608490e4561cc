"""Quantised quartets: the graphs against float32 ones, one set of bytes for the tied matrix, sizes."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

import tiny
import tiny_text
from checkpoint_files import write_safetensors
from quartet import Translator
from quartet.conversion.convert import convert_folder
from quartet.conversion.verify import stored_weights
from quartet.errors import CheckpointError, OptionError
from quartet.families import m2m100
from quartet.graph import files, pieces
from quartet.quantize.numerics import Scheme
from quartet.quantize.recipes import RECIPES, QuantizationOptions, Recipe, recipe_of
from quartet.runtime.decode import decode_one_token, embed, encode
from quartet.runtime.engine import open_engine
from quartet.runtime.logits import read_scores
from quartet.spec import Manifest

QUANTISED = ["int8", "int4"]
VARIANTS = [
    "m2m100-base",
    "m2m100-untied",
    "marian-base",
    "marian-separate-sizes",
    "m2m100-odd-width",
    "t5-v1.0",
    "madlad",
]


def test_an_unknown_precision_is_named():
    with pytest.raises(OptionError, match="precision is 'int3'; expected fp32, int8 or int4"):
        recipe_of("int3")


@pytest.mark.parametrize(("columns", "block"), [(1024, 64), (96, 32), (48, 16), (40, None), (20, None)])
def test_blocks_shrink_until_they_divide_the_columns(columns, block):
    recipe = Recipe("test", {"encoder": Scheme(4, 64, False)})
    scheme = recipe.scheme("encoder", columns)
    assert (scheme and scheme.block_size) == block
    assert recipe.scheme("decoder", columns) is None


def test_the_last_layer_has_a_scheme_of_its_own():
    recipe = Recipe("test", {"decoder": Scheme(4, 64, False)}, last_layer={"decoder": Scheme(8, 128, True)})
    assert [recipe.of_layer(layer, 3).scheme("decoder", 256).bits for layer in range(3)] == [4, 4, 8]
    assert recipe.of_layer(2, 3).scheme("encoder", 256) is None


def test_the_graph_of_a_layer_is_stored_as_in_the_whole_file():
    spec = m2m100.read_spec(tiny.config(tiny.VARIANTS["m2m100-base"]))
    recipe = recipe_of("int4")
    whole = files.decoder(spec, recipe).weights
    pieces_ = [pieces.decoder_piece(spec, recipe, layer).weights for layer in range(spec.decoder.layers)]
    assert {name: weight for piece in pieces_ for name, weight in piece.items()}.items() <= whole.items()
    bits = [{w.scheme.bits for w in piece.values() if w.scheme} for piece in pieces_]
    assert bits == [*([{4}] * (spec.decoder.layers - 1)), {8}]


def logits(folder, rows, prefix):
    """Logits [b, v] after the prefix."""
    model = open_engine(folder, 1).model()
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
    rows, start = tiny.inputs(variant, 3), tiny.VARIANTS[variant].decoder_start
    prefix = [start, 98] if variant.startswith("m2m100") else [start]
    exact, ours = (logits(tmp_path / name, rows, prefix) for name in ("fp32", precision))
    finite = exact > -1e8
    similarity = np.corrcoef(exact[finite], ours[finite])[0, 1]
    assert similarity > {"int8": 0.999, "int4": 0.9}[precision]


@pytest.mark.parametrize(
    ("bits", "expected"), [(None, [(4, False), (4, True)]), (8, [(4, True)] * 2), (4, [(4, False)] * 2)]
)
def test_an_embedding_of_its_own_has_fewer_bits_than_its_head(tmp_path, bits, expected):
    """By default; two planes of 4 bits, or one. The rows that are read are those that the graph gathers."""
    options = QuantizationOptions(embedding_bits=bits)
    checkpoint = tiny.make(tmp_path / "checkpoint", "madlad")
    manifest = convert_folder(checkpoint, tmp_path / "int4", precision="int4", options=options)
    matrices = (manifest.embedding, manifest.lm_head)
    assert [(matrix.bits, matrix.residual is not None) for matrix in matrices] == expected
    model = open_engine(tmp_path / "int4", 1).model()
    whole = ort.InferenceSession(tmp_path / "int4" / "embed_and_lm_head.onnx")
    ids, idle = np.arange(99)[None], np.zeros((1, 1, manifest.shapes.d_model), np.float32)
    feed = {"use_lm_head": np.array([False]), "input_ids": ids, "pre_logits": idle}
    assert np.allclose(whole.run(["embed_matrix"], feed)[0], embed(model, ids), atol=1e-6)


@pytest.mark.parametrize("options", [QuantizationOptions(), QuantizationOptions("gptq", embedding_bits=4)])
def test_a_large_column_does_not_cost_the_small_ones_their_digits(tmp_path, options):
    """In int4 columns are scaled: rows and logits are those of the checkpoint, as the runtime and the graphs know."""
    folder = tiny.make(tmp_path / "checkpoint", "m2m100-base")
    tensors = tiny.tensors(tiny.VARIANTS["m2m100-base"])
    table = tensors["model.shared.weight"]
    table[:, 5] *= 40
    write_safetensors(folder / "model.safetensors", tensors)
    manifest = convert_folder(folder, tmp_path / "int4", precision="int4", options=options)
    found = embed(open_engine(tmp_path / "int4").model(), np.arange(99)[None])[0] / manifest.shapes.embed_scale
    small = np.arange(table.shape[1]) != 5
    error = np.abs(found[:, small] - table[:99, small]).mean() / np.abs(table[:99, small]).mean()
    assert error < (0.02 if options == QuantizationOptions() else 0.2)


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
    eight, four = (1 + 4 / 128) / 4, (0.5 + 4.5 / 64) / 4
    sizes = {}
    for precision in RECIPES:
        options = QuantizationOptions(method="rtn") if precision != "fp32" else QuantizationOptions()
        manifest = convert_folder(demo_checkpoint, tmp_path / precision, precision=precision, options=options)
        sizes[precision] = {f: manifest.files[f"{f}.onnx.data"].bytes for f in ("encoder", "decoder")}
    for file, size in sizes["fp32"].items():
        assert sizes["int8"][file] / size == pytest.approx(eight, rel=0.04)
    assert sizes["int4"]["encoder"] / sizes["fp32"]["encoder"] == pytest.approx(four, rel=0.06)
    of_two_layers = (four + eight) / 2  # the last one in 8 bits
    assert sizes["int4"]["decoder"] / sizes["fp32"]["decoder"] == pytest.approx(of_two_layers, rel=0.06)


@pytest.mark.parametrize(("precision", "least"), [("int8", 0.9), ("int4", 0.7)])
def test_the_demo_model_mostly_says_the_same(precision, least):
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
        with Translator("demo", precision=name, threads=1) as translator:
            found[name] = [t.text for t in translator.translate_batch(texts, "fr", "en")]
    same = sum(a == b for a, b in zip(found["fp32"], found[precision], strict=True))
    assert same >= least * len(texts), list(zip(found["fp32"], found[precision], strict=True))


@pytest.mark.parametrize(
    ("precision", "method", "expected"),
    [
        ("int8", None, "rtn"),
        ("int4", None, "mse"),
        ("int4", "rtn", "rtn"),
        ("int4", "gptq", "gptq"),
        ("fp32", None, None),
    ],
)
def test_the_manifest_names_precision_and_method(tmp_path, precision, method, expected):
    """Without a tokeniser there are no sentences: GPTQ is then done where it is asked for."""
    checkpoint, options = tiny.make(tmp_path / "checkpoint", "marian-base"), QuantizationOptions(method)
    convert_folder(checkpoint, tmp_path / "q", precision=precision, options=options)
    manifest = Manifest.load(tmp_path / "q")
    assert (manifest.precision, manifest.method) == (precision, expected)


def test_int4_is_calibrated_where_there_is_a_tokeniser(tmp_path):
    assert convert_folder(tiny_text.make(tmp_path / "checkpoint"), tmp_path / "q", precision="int4").method == "gptq"


def test_a_weight_that_is_no_number_is_named(tmp_path):
    shape = tiny.VARIANTS["marian-base"]
    folder = tiny.make(tmp_path / "checkpoint", "marian-base")
    tensors = tiny.tensors(shape)
    tensors["model.decoder.layers.1.fc1.weight"][3, 5] = np.nan
    write_safetensors(folder / "model.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"'model\.decoder\.layers\.1\.fc1\.weight' holds nan at \[3, 5\]"):
        convert_folder(folder, tmp_path / "quartet", precision="int4")
    assert not (tmp_path / "quartet").exists()


def test_options_change_a_recipe():
    recipe = recipe_of("int4", QuantizationOptions("gptq", 32, 4))
    assert recipe.calibrated
    assert recipe.final_method == "gptq"
    assert {scheme.block_size for scheme in recipe.schemes.values()} == {32}
    assert {scheme.bits for scheme in recipe.schemes.values()} == {4}
    for method in ("rtn", "mse"):
        assert recipe_of("int4", QuantizationOptions(method=method)).final_method == method
    assert recipe_of("int4").for_ids().final_method == "mse"
    assert recipe_of("int4", QuantizationOptions(method="gptq")).for_ids().final_method == "gptq"
    assert recipe_of("int8").for_ids() is recipe_of("int8")
    assert recipe.untied_embedding is None
    assert recipe_of("int4", QuantizationOptions(embedding_bits=8)).schemes == recipe_of("int4").schemes
    untied = recipe_of("int4", QuantizationOptions(block_size=32)).untied_embedding
    assert (untied.bits, untied.block_size) == (4, 32)
    assert recipe_of("int8", QuantizationOptions()) is recipe_of("int8")
    assert recipe_of("fp32", QuantizationOptions()) is recipe_of("fp32")


@pytest.mark.parametrize(
    ("precision", "options", "message"),
    [
        ("int4", {"method": "best"}, "method is 'best'; expected rtn, mse or gptq"),
        ("int4", {"block_size": 8}, "block_size is 8; expected 16, 32, 64, 128 or 256"),
        ("int8", {"embedding_bits": 16}, "embedding_bits is 16; expected 4 or 8"),
        ("fp32", {"block_size": 32}, "precision fp32 quantises nothing"),
        ("int3", {"block_size": 32}, "precision is 'int3'; expected fp32, int8 or int4"),
    ],
)
def test_options_that_there_are_not(precision, options, message):
    with pytest.raises(OptionError, match=message):
        recipe_of(precision, QuantizationOptions(**options))
