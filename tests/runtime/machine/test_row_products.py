import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from quartet.checkpoint.tensors import TensorEntry
from quartet.graph.builder import Builder
from quartet.graph.layers import linear
from quartet.graph.writer import write
from quartet.quantize.numerics import Scheme, in_7_bits
from quartet.quantize.recipes import Recipe
from quartet.runtime.machine.rewrite import write_for_this_machine

SCHEMES = [Scheme(4, 16, symmetric=False), Scheme(4, 32, symmetric=True), Scheme(8, 16, symmetric=False)]
every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=str)


def product_of(tmp_path, matrix, scheme):
    """Sessions of a product with a matrix [n, k]: as it is stored, and rewritten."""
    matrix.tofile(tmp_path / "weights")
    b = Builder("product", Recipe("test", {"product": scheme}))
    n, k = matrix.shape
    x = b.input("x", ir.DataType.FLOAT, ["b", "s", k])
    b.output(linear(b, x, ("linear",), n, k, "/linear"), "y", ir.DataType.FLOAT, ["b", "s", n])
    entry = TensorEntry(tmp_path / "weights", 0, matrix.shape, "float32", None, "linear.weight")
    (tmp_path / "stored").mkdir()
    (tmp_path / "rows").mkdir()
    write(b, {"linear.weight": entry}, tmp_path / "stored", lambda _: None)
    write_for_this_machine(tmp_path / "stored", "product", tmp_path / "rows", row_products=True)
    return [ort.InferenceSession(tmp_path / folder / "product.onnx") for folder in ("stored", "rows")]


@every_scheme
def test_products_are_as_near_as_8_bits_of_activations_and_7_of_weights_allow(tmp_path, scheme):
    random = np.random.default_rng(0)
    matrix = random.standard_normal((24, 64)).astype(np.float32)
    stored, rewritten = product_of(tmp_path, matrix, scheme)
    x = random.standard_normal((3, 5, 64)).astype(np.float32) * np.float32([[[1e-3]], [[1]], [[1e3]]])
    (expected,), (found,) = stored.run(None, {"x": x}), rewritten.run(None, {"x": x})
    sizes = np.abs(expected).mean(axis=-1)
    assert (np.abs(found - expected).mean(axis=-1) < 0.03 * sizes).all()
    assert [node.op_type for node in ir.load(tmp_path / "rows" / "product.onnx").graph].count("MatMulNBits") == 0


@every_scheme
def test_a_row_does_not_depend_on_its_neighbours(tmp_path, scheme):
    random = np.random.default_rng(1)
    _, rewritten = product_of(tmp_path, random.standard_normal((8, 32)).astype(np.float32), scheme)
    x = random.standard_normal((1, 4, 32)).astype(np.float32)
    x[0, 3] *= 1000
    (together,) = rewritten.run(None, {"x": x})
    alone = [rewritten.run(None, {"x": x[:, i : i + 1]})[0] for i in range(4)]
    assert np.array_equal(together, np.concatenate(alone, axis=1))


def test_the_largest_codes_do_not_overflow(tmp_path):
    """Two products of 8 by 8 bits would not fit in the 16 bits that they are added in."""
    matrix = np.ones((16, 256), np.float32)
    _, rewritten = product_of(tmp_path, matrix, Scheme(4, 16, symmetric=False))
    (found,) = rewritten.run(None, {"x": np.ones((1, 9, 256), np.float32)})
    assert np.allclose(found, 256, rtol=1e-3)


def test_zeros_stay_zeros(tmp_path):
    matrix = np.zeros((8, 32), np.float32)
    matrix[1] = 1
    _, rewritten = product_of(tmp_path, matrix, Scheme(4, 16, symmetric=False))
    (found,) = rewritten.run(None, {"x": np.zeros((1, 2, 32), np.float32)})
    assert not found.any()
    (found,) = rewritten.run(None, {"x": np.ones((1, 2, 32), np.float32)})
    assert not found[..., 0].any()


def test_7_bits_are_within_half_a_step():
    matrix = np.random.default_rng(2).standard_normal((5, 40)).astype(np.float32)
    matrix[2] = 0
    codes, scales = in_7_bits(matrix)
    assert codes.dtype == np.int8
    assert np.abs(codes).max() == 63
    assert (np.abs(codes * scales[:, None] - matrix) <= scales[:, None] * 0.5001).all()
