import re

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quartet.errors import CheckpointError, OptionError
from quartet.quantize import numerics
from quartet.quantize.numerics import Blocks, Scheme, dequantize, pack, quantize, scales_of_columns, unpack

TINIEST = np.float32(1e-36)  # of an 8-bit block whose scale has no finite reciprocal, all is lost: at most this
SCHEMES = [Scheme(bits, 16, symmetric) for bits in (4, 8) for symmetric in (False, True)]
BLOCK_SIZES = (16, 32, 64, 128, 256)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: f"{s.bits}-{'sym' if s.symmetric else 'asym'}")

schemes = st.builds(Scheme, st.sampled_from([4, 8]), st.sampled_from([16, 32, 64]), st.booleans())
magnitudes = st.sampled_from([1e-45, 1e-40, 1e-38, 1e-37, 1e-30, 1e-20, 1e-3, 1.0, 300.0, 1e20, 8e37])


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Small matrices of any magnitude, some of whose values are often equal or zero."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 70)))
    unit = draw(hnp.arrays(np.float32, shape, elements=st.floats(-1, 1, width=32)))
    low, high = draw(st.sampled_from([(-1, 1), (0, 1), (-1, 0)]))
    with np.errstate(under="ignore"):
        return np.clip(unit, low, high) * np.float32(draw(magnitudes))


def normal(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def there_and_back(matrix: np.ndarray, scheme: Scheme, method: str = "rtn") -> np.ndarray:
    return dequantize(quantize(matrix, scheme, method), scheme, matrix.shape[1])


def per_element(values: np.ndarray, scheme: Scheme, columns: int) -> np.ndarray:
    return np.repeat(values, scheme.block_size, axis=1)[:, :columns]


def errors_of_blocks(
    matrix: np.ndarray, blocks: Blocks, scheme: Scheme, weights: np.ndarray | float = 1.0
) -> np.ndarray:
    """Squared errors [rows, blocks] in float64."""
    columns = matrix.shape[1]
    squares = (dequantize(blocks, scheme, columns).astype(np.float64) - matrix) ** 2 * weights
    return np.add.reduceat(squares, np.arange(0, columns, scheme.block_size), axis=1)


@every_scheme
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
@pytest.mark.parametrize("columns_off", [0, 3, 10])
def test_plain_rounding_is_that_of_onnxruntime_code_for_code(scheme: Scheme, block_size: int, columns_off: int):
    scheme = Scheme(scheme.bits, block_size, scheme.symmetric)
    columns = 3 * block_size - columns_off
    matrix = np.concatenate([normal(40, columns), np.abs(normal(4, columns)), -np.abs(normal(4, columns)) * 1e-3])
    matrix = np.concatenate([matrix, np.round(matrix * 4) / 4, np.zeros((1, columns), np.float32)])  # ties
    codes, scales, zero_points = onnxruntime_quantize(matrix, scheme)
    ours = quantize(matrix, scheme)
    assert np.array_equal(ours.scales, scales)
    assert np.array_equal(_codes(ours.codes, scheme, columns), _codes(codes, scheme, columns))
    if scheme.symmetric:
        assert ours.zero_points is None
    else:
        assert ours.zero_points is not None
        count = scheme.blocks(columns)  # of an odd number onnxruntime leaves an 8 in the last nibble
        assert np.array_equal(unpack(ours.zero_points, scheme.bits, count), unpack(zero_points, scheme.bits, count))


def onnxruntime_quantize(matrix: np.ndarray, scheme: Scheme) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What MatMulNBitsQuantizer calls for a weight, which it has transposed."""
    native = pytest.importorskip("onnxruntime.capi._pybind_state")
    name = f"quantize_matmul_{scheme.bits}bits"
    if not hasattr(native, name):
        pytest.skip(f"onnxruntime {ort.__version__} has no {name}")
    rows, columns = matrix.shape
    count = scheme.blocks(columns)
    codes = np.zeros((rows, count, scheme.block_size * scheme.bits // 8), np.uint8)
    scales = np.zeros((rows, count), np.float32)
    zero_points = np.zeros((rows, -(-count * scheme.bits // 8)), np.uint8)
    padded = np.pad(matrix, ((0, 0), (0, count * scheme.block_size - columns)))
    transposed = np.ascontiguousarray(padded.T)
    getattr(native, name)(codes, transposed, scales, zero_points, scheme.block_size, rows, columns, scheme.symmetric)
    return codes, scales, zero_points


def _codes(packed: np.ndarray, scheme: Scheme, columns: int) -> np.ndarray:
    """Without those of the padding, which onnxruntime leaves at whatever they were; of an odd end also a neighbour."""
    return unpack(packed, scheme.bits, scheme.block_size).reshape(len(packed), -1)[:, :columns]


def test_halves_are_rounded_up_and_nothing_else():
    halves = np.arange(0.5, 256, dtype=np.float32)
    below, above = np.nextafter(halves, np.float32(0)), np.nextafter(halves, np.float32(999))
    assert np.array_equal(numerics._round(halves), halves + 0.5)
    assert np.array_equal(numerics._round(below), halves - 0.5)
    assert np.array_equal(numerics._round(above), halves + 0.5)


@given(matrices(), schemes)
def test_plain_rounding_errs_by_half_a_scale_at_most(matrix: np.ndarray, scheme: Scheme):
    blocks = quantize(matrix, scheme)
    columns = matrix.shape[1]
    error = np.abs(dequantize(blocks, scheme, columns).astype(np.float64) - matrix)
    scales = per_element(np.abs(blocks.scales.astype(np.float64)), scheme, columns)
    # A symmetric block has one code fewer on the far side of zero, so values there may be off by a whole scale.
    bound = scales * (1.0 if scheme.symmetric else 0.5) * (1 + 1e-4) + TINIEST
    assert (error <= bound).all()


@given(matrices(), schemes)
def test_of_a_symmetric_block_only_what_mirrors_the_largest_value_errs_by_more_than_half(matrix, scheme):
    scheme = Scheme(scheme.bits, scheme.block_size, symmetric=True)
    blocks = quantize(matrix, scheme)
    scales = per_element(blocks.scales.astype(np.float64), scheme, matrix.shape[1])
    error = np.abs(dequantize(blocks, scheme, matrix.shape[1]).astype(np.float64) - matrix)
    clipped = matrix / np.where(scales == 0, 1, scales) > scheme.middle - 1
    assert (error <= np.abs(scales) * 0.5 * (1 + 1e-4) + TINIEST)[~clipped].all()


@given(matrices(), schemes, st.integers(0, 2**32 - 1))
def test_a_search_never_errs_by_more_than_plain_rounding(matrix: np.ndarray, scheme: Scheme, seed: int):
    weights = np.random.default_rng(seed).random(matrix.shape[1], dtype=np.float32)
    plain = quantize(matrix, scheme)
    assert (
        errors_of_blocks(matrix, quantize(matrix, scheme, "mse"), scheme) <= errors_of_blocks(matrix, plain, scheme)
    ).all()
    weighted = quantize(matrix, scheme, "mse", weights)
    assert (
        errors_of_blocks(matrix, weighted, scheme, weights) <= errors_of_blocks(matrix, plain, scheme, weights)
    ).all()


@pytest.mark.parametrize(("symmetric", "gain"), [(False, 0.93), (True, 0.92)])
@pytest.mark.parametrize("block_size", [32, 128])
def test_a_search_pays_at_4_bits(block_size: int, symmetric: bool, gain: float):
    scheme, matrix = Scheme(4, block_size, symmetric), normal(64, 512)
    plain, found = (errors_of_blocks(matrix, quantize(matrix, scheme, m), scheme).sum() for m in ("rtn", "mse"))
    assert found < gain * plain


@pytest.mark.parametrize(("symmetric", "outlier"), [(False, 11.0), (True, 9.0)])
def test_a_search_gives_up_an_outlier(symmetric: bool, outlier: float):
    """Without it the block is exactly representable: by another zero point, or by a scale of the other sign."""
    block = np.tile(np.arange(-8, 8, dtype=np.float32), 64)[None, :]
    block[0, 5] = outlier
    scheme = Scheme(4, 1024, symmetric)
    blocks = quantize(block, scheme, "mse")
    assert errors_of_blocks(block, blocks, scheme)[0, 0] <= (outlier - 7) ** 2


def test_important_columns_err_less():
    matrix, scheme = normal(64, 64), Scheme(4, 32, symmetric=False)
    importance = np.ones(64, np.float32)
    importance[::8] = 100.0
    weighted = dequantize(quantize(matrix, scheme, "mse", importance), scheme, 64) - matrix
    even = dequantize(quantize(matrix, scheme, "mse"), scheme, 64) - matrix
    assert (weighted[:, ::8] ** 2).sum() < 0.8 * (even[:, ::8] ** 2).sum()


def test_only_proportions_of_importance_matter():
    matrix, scheme = normal(8, 80), Scheme(4, 16, symmetric=True)
    importance = np.random.default_rng(1).random(80, dtype=np.float32)
    expected = quantize(matrix, scheme, "mse", importance)
    for factor in (2.0**-60, 2.0**60):
        assert_same(quantize(matrix, scheme, "mse", importance * np.float32(factor)), expected)


def test_without_any_importance_rounding_is_plain():
    matrix, scheme = normal(8, 80), Scheme(4, 16, symmetric=True)
    assert_same(quantize(matrix, scheme, "mse", np.zeros(80, np.float32)), quantize(matrix, scheme))


@pytest.mark.parametrize("method", numerics.METHODS)
@every_scheme
def test_slices_of_rows_give_the_same_bits_as_the_whole(scheme: Scheme, method: numerics.Method, monkeypatch):
    monkeypatch.setattr(numerics, "CHUNK_ELEMENTS", 1 << 10)
    matrix, importance = normal(70, 45), np.random.default_rng(2).random(45, dtype=np.float32)
    whole = quantize(matrix, scheme, method, importance)
    for step in (1, 7, 64):
        parts = [quantize(matrix[i : i + step], scheme, method, importance) for i in range(0, 70, step)]
        assert_same(join(parts), whole)
    one_block = [quantize(matrix[i : i + 1, :16], scheme, method) for i in range(70)]
    assert_same(join(one_block), quantize(matrix[:, :16], scheme, method))


def join(parts: list[Blocks]) -> Blocks:
    zero_points = None if parts[0].zero_points is None else np.concatenate([p.zero_points for p in parts])
    return Blocks(np.concatenate([p.codes for p in parts]), np.concatenate([p.scales for p in parts]), zero_points)


def assert_same(a: Blocks, b: Blocks) -> None:
    assert np.array_equal(a.codes, b.codes)
    assert np.array_equal(a.scales.view(np.uint32), b.scales.view(np.uint32))
    assert (a.zero_points is None) == (b.zero_points is None)
    assert a.zero_points is None or np.array_equal(a.zero_points, b.zero_points)


@pytest.mark.parametrize("method", numerics.METHODS)
@every_scheme
def test_zeros_and_the_padding_of_a_short_block_stay_exactly_zero(scheme: Scheme, method: numerics.Method):
    matrix = np.concatenate([normal(3, 21), np.zeros((2, 21), np.float32), np.full((1, 21), -0.0, np.float32)])
    blocks = quantize(matrix, scheme, method)
    padded = dequantize(blocks, scheme, 32)
    assert not padded[:, 21:].any()
    assert not padded[3:].any()
    assert not np.signbit(blocks.scales[3:]).any()


@pytest.mark.parametrize("method", numerics.METHODS)
@pytest.mark.parametrize("value", [3.7, -3.7, 1e-30, -1e37, 0.0])
@every_scheme
def test_constant_blocks_come_back(scheme: Scheme, value: float, method: numerics.Method):
    matrix = np.full((2, 37), value, np.float32)
    np.testing.assert_allclose(there_and_back(matrix, scheme, method), matrix, rtol=1e-6)


@pytest.mark.parametrize("method", numerics.METHODS)
@pytest.mark.parametrize("sign", [1, -1])
@every_scheme
def test_values_of_one_sign_keep_it(scheme: Scheme, sign: int, method: numerics.Method):
    matrix = (np.abs(normal(5, 50)) + 0.1) * np.float32(sign)
    blocks = quantize(matrix, scheme, method)
    assert (there_and_back(matrix, scheme, method) * sign >= 0).all()
    if blocks.zero_points is not None and method == "rtn":
        zero_points = unpack(blocks.zero_points, scheme.bits, scheme.blocks(50))
        assert (zero_points == (0 if sign > 0 else scheme.levels)).all()


@every_scheme
def test_values_too_small_for_a_scale_become_zero(scheme: Scheme):
    matrix = np.full((1, 16), 1e-44, np.float32)
    blocks = quantize(matrix, scheme, "mse")
    assert not blocks.scales.any()
    assert not dequantize(blocks, scheme, 16).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("method", numerics.METHODS)
def test_what_cannot_be_quantised_is_named(value: float, method: numerics.Method):
    matrix = normal(4000, 40)
    matrix[3210, 17] = value
    with pytest.raises(CheckpointError, match=re.escape(f"row 3210, column 17 is {np.float32(value)}")) as caught:
        quantize(matrix, Scheme(4, 32, symmetric=False), method)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("bits", "block_size", "message"), [(3, 32, "3 bits"), (4, 8, "block size 8"), (8, 48, "block size 48")]
)
def test_impossible_schemes_are_refused(bits: int, block_size: int, message: str):
    with pytest.raises(OptionError, match=message):
        Scheme(bits, block_size, symmetric=True)


@pytest.mark.parametrize(
    ("importance", "message"),
    [
        (np.ones(7, np.float32), "8 columns"),
        (np.full(8, -1, np.float32), "negative"),
        (np.full(8, np.nan, np.float32), "not finite"),
    ],
)
def test_importance_that_does_not_fit_is_refused(importance: np.ndarray, message: str):
    with pytest.raises(OptionError, match=message):
        quantize(normal(2, 8), SCHEMES[0], "mse", importance)


def test_an_unknown_method_is_refused():
    with pytest.raises(OptionError, match=r"'best'.*rtn, mse"):
        quantize(normal(2, 8), SCHEMES[0], "best")  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", [Scheme(4, 64, False), Scheme(8, 128, False, planes=True)], ids=["4", "planes"])
def test_small_columns_beside_large_ones_keep_their_digits(scheme: Scheme):
    matrix = normal(64, 128)
    matrix[:, ::16] *= 20
    scales = scales_of_columns((matrix.astype(np.float64) ** 2).mean(axis=0))
    error = there_and_back(matrix / scales, scheme) * scales - matrix
    assert np.square(error).sum() < 0.4 * np.square(there_and_back(matrix, scheme) - matrix).sum()


@given(hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1e70)))
def test_columns_can_always_be_divided_by_their_scales(mean_squares: np.ndarray):
    scales = scales_of_columns(mean_squares)
    assert (scales > 0).all()
    assert np.isfinite(1 / scales).all()
    assert (scales[mean_squares == 0] == 1).all()


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9), elements=st.integers(0, 15)))
def test_packed_nibbles_come_back(codes: np.ndarray):
    packed = pack(codes, 4)
    assert packed.shape == (*codes.shape[:-1], -(-codes.shape[-1] // 2))
    assert np.array_equal(unpack(packed, 4, codes.shape[-1]), codes)


def test_the_first_code_is_the_lower_nibble():
    assert pack(np.array([1, 2, 3], np.uint8), 4).tolist() == [0x21, 0x03]
    assert pack(np.array([1, 255], np.uint8), 8).tolist() == [1, 255]


@every_scheme
def test_no_rows_give_no_blocks(scheme: Scheme):
    blocks = quantize(np.zeros((0, 40), np.float32), scheme, "mse")
    assert blocks.codes.shape == (0, 3, 2 * scheme.bits)
    assert dequantize(blocks, scheme, 40).shape == (0, 40)


@pytest.mark.parametrize("method", numerics.METHODS)
@pytest.mark.parametrize("columns", [96, 80, 75])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_onnxruntime_multiplies_by_what_the_blocks_stand_for(bits, symmetric, columns, method):
    scheme, matrix = Scheme(bits, 32, symmetric), normal(24, columns)
    blocks = quantize(matrix, scheme, method)
    x = normal(3, columns, seed=1)
    expected = x @ dequantize(blocks, scheme, columns).T
    np.testing.assert_allclose(run_matmul_nbits(blocks, scheme, x), expected, rtol=1e-4, atol=1e-4)


def run_matmul_nbits(blocks: Blocks, scheme: Scheme, x: np.ndarray) -> np.ndarray:
    rows, columns = len(blocks.scales), x.shape[1]
    arrays = {"B": blocks.codes, "scales": blocks.scales, "zero_points": blocks.zero_points}
    constants = [
        ir.Value(name=name, const_value=ir.tensor(array, name=name))
        for name, array in arrays.items()
        if array is not None
    ]
    a = ir.Value(name="A", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([None, columns]))
    attributes = {"K": columns, "N": rows, "bits": scheme.bits, "block_size": scheme.block_size, "accuracy_level": 0}
    node = ir.node("MatMulNBits", [a, *constants], attributes, domain="com.microsoft")
    node.outputs[0].name, node.outputs[0].type = "Y", ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        [a], node.outputs, nodes=[node], initializers=constants, opset_imports={"": 20, "com.microsoft": 1}, name="g"
    )
    model = ir.to_proto(ir.Model(graph, ir_version=9)).SerializeToString()
    try:
        return ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"A": x})[0]
    except Exception as error:
        if "nbits_ == 4 was false" in str(error):
            pytest.skip(f"MatMulNBits of onnxruntime {ort.__version__} does not have 8 bits with float activations")
        raise
