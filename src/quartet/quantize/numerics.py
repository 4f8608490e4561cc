"""Matrices in 4 or 8 bits, block by block along their columns, as the operator `MatMulNBits` stores them; and back.

Pure numpy on slices of rows. Every block is worked on alone, so a matrix quantised in slices is, bit for bit, the
matrix quantised whole, and memory is that of a slice. A block holds integers `q` (codes), a scale `s` and a zero
point `z`; it stands for `(q - z) * s`. With `L = 2**bits - 1` the largest code:

- Plain rounding (`rtn`, round to nearest) is what ONNX Runtime's own quantiser does, code for code. Asymmetric: the
  range of the block, widened so that it contains zero, is spread over all codes: `s = (max - min) / L` and
  `z = round(-min / s)`, held within the codes. Symmetric: `z` is the middle code `2**(bits - 1)`, and the value of
  largest magnitude, with its sign, lands on code 0: `s = -value / 2**(bits - 1)`, so that a scale may be negative (of
  two such values the negative one counts). Then `q = round(x * (1 / s) + z)` held within the codes. All in
  float32, in this order; halves are rounded away from zero.
- `mse` searches, for each block, the scale and zero point of least squared error. With codes given, the best scale is
  known in closed form, the projection `s = sum(x (q - z)) / sum((q - z)**2)`, which lowers the squared error by
  `sum(x (q - z))**2 / sum((q - z)**2)`; so a grid of mostly narrower ranges, cut at both ends or at one, gives
  codes, each judged with its own best scale, and two rounds of alternating (codes for the scale, neighbouring zero
  points tried too; scale for the codes; Lloyd, 1982) refine the winner. A symmetric block is also tried with the
  sign of its scale turned. A block is never worse than plain rounding leaves it. With an importance per column the
  errors are weighted: given the mean squares of the activations that a column meets, this is the squared error of
  the product, cross terms left out.

A block whose scale would be so small (below 2.9e-39) that its reciprocal overflows is stored as zeros.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from quartet.arrays import Floats
from quartet.errors import CheckpointError, OptionError

Method = Literal["rtn", "mse"]
METHODS: tuple[Method, ...] = get_args(Method)

CHUNK_ELEMENTS = 1 << 17  # worked on at once; half a MB in float32, and a handful of such buffers
LARGEST = float(np.finfo(np.float32).max) / 4  # magnitude of a weight; beyond it ranges could overflow
TINY = np.float32(np.finfo(np.float32).tiny)  # keeps a division by zero away
BELOW_HALF = np.nextafter(np.float32(0.5), np.float32(0))  # trunc(x + this) rounds halves up, and nothing else
FACTORS = {4: [n / 100 for n in range(72, 107, 4)], 8: [n / 1000 for n in range(960, 1006, 5)]}  # of the plain scale
ROUNDS = 2  # of alternating after the grid
ENOUGH = np.float32(1 - 1e-5)  # a search has to win by more than float32 sums can err

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Scheme:
    """How a matrix is quantised, block by block along its columns."""

    bits: Literal[4, 8]
    block_size: int  # a power of two, at least 16; the last block of a row may be shorter (padded with zeros)
    symmetric: bool
    planes: bool = False  # 8 bits as two planes of 4: the coarse one can be used alone (see `_planes`)
    scaled_columns: bool = False  # each column is divided by a scale of its own beforehand (see `scales_of_columns`)

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise OptionError(f"{self.bits} bits; weights have 4 or 8")
        if self.planes and (self.bits, self.symmetric) != (8, False):
            raise OptionError("two planes of 4 bits make 8 bits, asymmetric")
        if self.block_size < 16 or self.block_size & (self.block_size - 1):
            raise OptionError(f"block size {self.block_size}; it is a power of two, at least 16")

    @property
    def code_bits(self) -> int:
        """Bits of a stored code: of one plane where there are two."""
        return 4 if self.planes else self.bits

    @property
    def levels(self) -> int:
        """The largest code."""
        return (1 << self.code_bits) - 1

    @property
    def middle(self) -> int:
        """The zero point where none is stored."""
        return 1 << (self.code_bits - 1)

    def blocks(self, columns: int) -> int:
        """Blocks per row."""
        return -(-columns // self.block_size)


@dataclass(frozen=True)
class Blocks:
    """A quantised matrix, each array as `MatMulNBits` takes it (B, scales, zero_points), lower nibble first."""

    codes: Codes  # [rows, blocks, block_size * bits // 8]
    scales: Floats  # [rows, blocks]
    zero_points: Codes | None  # [rows, ceil(blocks * bits / 8)]; None where symmetric: 8 or 128 everywhere
    residual: Codes | None = None  # the fine plane, like `codes`: sixteenths of a scale, with zero point 8


def quantize(matrix: Floats, scheme: Scheme, method: Method = "rtn", importance: Floats | None = None) -> Blocks:
    """Quantise a matrix [rows, columns], or any slice of its rows.

    `importance` [columns] weighs squared errors in the methods that search; only its proportions matter. Raises
    `CheckpointError` for a weight that is not finite or too large (the first one is named), `OptionError` for an
    unknown method or an importance that does not fit.
    """
    rows, columns = matrix.shape
    if method not in METHODS:
        raise OptionError(f"unknown method {method!r} of quantisation; it is one of {', '.join(METHODS)}")
    weights = None if importance is None else _weights(importance, columns, scheme)
    blocks = scheme.blocks(columns)
    codes = np.empty((rows, blocks, scheme.block_size), np.uint8)
    residual = np.empty_like(codes) if scheme.planes else None
    scales, zero_points = np.empty((rows, blocks), np.float32), np.empty((rows, blocks), np.uint8)
    for part in _chunks(rows, blocks * scheme.block_size):
        x = _as_blocks(matrix[part], scheme)
        if not _is_sane(x):
            _refuse(matrix)
        s, z = _planes(x) if scheme.planes else _plain(x, scheme)
        if method == "mse" and not scheme.planes:
            s, z = _search(x, s, z, scheme, None if weights is None else np.tile(weights, x.shape[1] // blocks))
        found = encode(x, s, z, scheme.levels)
        codes[part] = found.astype(np.uint8).T.reshape(codes[part].shape)
        scales[part], zero_points[part] = s.reshape(-1, blocks), z.reshape(-1, blocks)
        if residual is not None:
            fine = encode(x - s * (found - z), s / np.float32(16), np.float32(scheme.middle), scheme.levels)
            residual[part] = fine.astype(np.uint8).T.reshape(codes[part].shape)
    bits = scheme.code_bits
    packed_zero_points = None if scheme.symmetric else pack(zero_points, bits)
    return Blocks(pack(codes, bits), scales, packed_zero_points, None if residual is None else pack(residual, bits))


def dequantize(blocks: Blocks, scheme: Scheme, columns: int) -> Floats:
    """The matrix [rows, columns] that quantised blocks stand for."""
    rows, count = blocks.scales.shape
    out = np.empty((rows, columns), np.float32)
    for part in _chunks(rows, count * scheme.block_size):
        values = unpack(blocks.codes[part], scheme.code_bits, scheme.block_size).astype(np.float32)
        if blocks.zero_points is None:
            values -= scheme.middle
        else:
            values -= unpack(blocks.zero_points[part], scheme.code_bits, count)[..., None]
        if blocks.residual is not None:
            fine = unpack(blocks.residual[part], scheme.code_bits, scheme.block_size).astype(np.float32)
            values += (fine - scheme.middle) / 16
        values *= blocks.scales[part, :, None]
        out[part] = values.reshape(len(values), -1)[:, :columns]
    return out


def scales_of_columns(mean_squares: NDArray[np.float64]) -> Floats:
    """What to divide the columns [k] of a matrix by, given their mean squares, before it is quantised.

    A block's scale is that of its largest columns, and small ones beside them lose their digits. With columns of one
    size a matrix is most precise, but products weigh the large ones more; so the square root of their size is between
    both, as in AWQ (Lin et al. 2023, where activations give the size) with an exponent of one half. Columns of zeros
    stay as they are.
    """
    sizes = np.sqrt(mean_squares)
    scales = np.sqrt(sizes).astype(np.float32)
    return np.where(_reciprocals(scales) == 0, np.float32(1), scales)


def in_7_bits(matrix: Floats) -> tuple[NDArray[np.int8], Floats]:
    """A matrix [rows, columns] as codes within 63 of zero, and one scale per row [rows]: `matrix ~ codes * scale`."""
    scales = _flush(np.abs(matrix).max(axis=1) / np.float32(63))
    codes = matrix * _reciprocals(scales)[:, None]
    np.rint(codes, out=codes)
    return codes.astype(np.int8), scales


def pack(codes: Codes, bits: int) -> Codes:
    """Codes side by side along the last axis in as few bytes as they need, the first in the lower nibble."""
    if bits == 8:
        return codes
    low, high = codes[..., 0::2], codes[..., 1::2]
    packed = low.copy()
    packed[..., : high.shape[-1]] |= high << 4
    return packed


def unpack(packed: Codes, bits: int, count: int) -> Codes:
    """The first `count` codes of each packed row: the inverse of `pack`."""
    if bits == 8:
        return packed[..., :count]
    codes = np.empty((*packed.shape[:-1], 2 * packed.shape[-1]), np.uint8)
    codes[..., 0::2], codes[..., 1::2] = packed & 15, packed >> 4
    return codes[..., :count]


def _chunks(rows: int, row_elements: int) -> Iterator[slice]:
    step = max(1, CHUNK_ELEMENTS // max(row_elements, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _as_blocks(matrix: Floats, scheme: Scheme) -> Floats:
    """[rows, columns] -> [block_size, rows * blocks]: one block per column, so that numpy works across blocks."""
    rows, columns = matrix.shape
    blocks = scheme.blocks(columns)
    padded = np.zeros((rows, blocks * scheme.block_size), np.float32)
    padded[:, :columns] = matrix
    return np.ascontiguousarray(padded.reshape(rows * blocks, scheme.block_size).T)


def _weights(importance: Floats, columns: int, scheme: Scheme) -> Floats:
    """Importances [columns] -> weights [block_size, blocks], on average one."""
    if importance.shape != (columns,):
        raise OptionError(f"importance has shape {importance.shape}; the matrix has {columns} columns")
    if not (np.isfinite(importance) & (importance >= 0)).all():
        raise OptionError("importance has values that are negative or not finite")
    mean = importance.mean(dtype=np.float64) or 1.0
    return _as_blocks((importance / mean).astype(np.float32)[None], scheme)


def _is_sane(x: Floats) -> bool:
    return x.size == 0 or bool(x.max() <= LARGEST and x.min() >= -LARGEST)  # false for NaN too


def _refuse(matrix: Floats) -> NoReturn:
    row, column = np.argwhere(~(np.abs(matrix) <= LARGEST))[0]
    value = matrix[row, column]
    raise CheckpointError(
        f"the weight in row {row}, column {column} is {value}; one that can be quantised is at most {LARGEST:.1e}"
    )


def _plain(x: Floats, scheme: Scheme) -> tuple[Floats, Floats]:
    """Scales and zero points [n] of plain rounding for blocks [block_size, n]."""
    low, high = x.min(0), x.max(0)
    if scheme.symmetric:
        scales = np.where(np.abs(high) > np.abs(low), high, low) / np.float32(-scheme.middle)
        return _flush(scales), np.full_like(scales, scheme.middle)
    low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
    scales = _flush((high - low) / np.float32(scheme.levels))
    zero_points = np.divide(-low, scales, out=np.zeros_like(low), where=scales != 0)
    return scales, _round(np.clip(zero_points, 0, scheme.levels))


def _planes(x: Floats) -> tuple[Floats, Floats]:
    """Scales and zero points [n] of the coarse one of two planes, for blocks [block_size, n].

    A weight is scale * (code - zero point + (fine code - 8) / 16): 8 bits whose codes, in sixteenths of a scale, run
    from -8 to 247 above -16 * zero point. Of the 16 zero points the one that allows the smallest scale is taken.
    """
    low, high = np.minimum(x.min(0), np.float32(0)), np.maximum(x.max(0), np.float32(0))
    scales, zero_points = np.full_like(low, np.inf), np.zeros_like(low)
    for z in range(16):
        needed = np.maximum(low * np.float32(-16 / (8 + 16 * z)), high * np.float32(16 / (247 - 16 * z)))
        better = needed < scales
        np.copyto(scales, needed, where=better)
        np.copyto(zero_points, np.float32(z), where=better)
    return _flush(scales), zero_points


def _flush(scales: Floats) -> Floats:
    """Zero, and never minus zero, for scales that have no finite reciprocal."""
    return np.where(_reciprocals(scales) == 0, np.float32(0), scales)


def _reciprocals(scales: Floats) -> Floats:
    """1 / scale, or zero where that is not finite."""
    with np.errstate(divide="ignore", over="ignore"):
        reciprocals = np.float32(1) / scales
    return np.where(np.isfinite(reciprocals), reciprocals, np.float32(0))


def _round(x: Floats) -> Floats:
    """Round numbers that are not negative; halves up, as C's `roundf` does."""
    rounded: Floats = np.trunc(x + BELOW_HALF)
    return rounded


def encode(x: Floats, scales: Floats, zero_points: Floats | np.float32, levels: int) -> Floats:
    """Codes [block_size, n], still as floats."""
    codes = x * _reciprocals(scales)
    codes += zero_points
    np.clip(codes, 0, levels, out=codes)
    return _round(codes)


def check(matrix: Floats) -> None:
    """Raise `CheckpointError`, naming the first weight that is not finite or too large."""
    if not _is_sane(matrix):
        _refuse(matrix)


def search(x: Floats, scheme: Scheme, importance: Floats) -> tuple[Floats, Floats]:
    """Scales and zero points [n] as `mse` finds them for blocks [block_size, n], given each weight's importance."""
    return _search(x, *_plain(x, scheme), scheme, importance)


def _search(
    x: Floats, scales: Floats, zero_points: Floats, scheme: Scheme, weights: Floats | None
) -> tuple[Floats, Floats]:
    """Scales and zero points of less squared error than the plain ones given; these where there are none."""
    # In units of the plain scale every block has the same magnitude: nothing over- or underflows.
    unit = _reciprocals(scales)
    y = x * unit
    grid = [(np.float32(factor), _zero_points(zero_points, factor, scheme)) for factor in FACTORS[scheme.bits]]
    factors, z = _best(y, grid, scheme.levels, weights)
    for _ in range(ROUNDS):
        nearby = [z] if scheme.symmetric else [z, np.maximum(z - 1, 0), np.minimum(z + 1, scheme.levels)]
        factors, z = _best(y, [(factors, nearby)], scheme.levels, weights)
    if scheme.symmetric:
        factors, z = np.where(z < zero_points, -factors, factors), zero_points
    found = scales * factors
    before = _squared_error(x, scales, zero_points, unit, scheme.levels, weights)
    better = _squared_error(x, found, z, unit, scheme.levels, weights) < before * ENOUGH
    return np.where(better, found, scales), np.where(better, z, zero_points)


def _zero_points(plain: Floats, factor: float, scheme: Scheme) -> list[Floats]:
    """The zero points to try with a scale of `factor` times the plain one, given the plain zero point."""
    if scheme.symmetric:
        # Codes -8..7 with a negative scale are codes -7..8 with a positive one: as if the zero point were 7.
        return [plain, plain - 1]
    if factor > 0.85:  # the other ones are near enough to be found from here
        return [plain]
    levels = np.float32(scheme.levels)
    low_end_kept, high_end_kept = plain / factor, levels - (levels - plain) / factor
    return [plain, *(_round(np.clip(z, 0, levels)) for z in (low_end_kept, high_end_kept))]


def _best(
    y: Floats, grid: Sequence[tuple[Floats | np.float32, list[Floats]]], levels: int, weights: Floats | None
) -> tuple[Floats, Floats]:
    """For each block [block_size, n] the best scale and zero point [n] that a grid of both leads to."""
    most = np.full(y.shape[1:], -1, np.float32)
    best_scales, best_zero_points = np.ones_like(most), np.zeros_like(most)
    for tried, zero_points in grid:
        steps = np.rint(y * _reciprocals(np.asarray(tried)))
        for z in zero_points:
            gain, scale = _project(y, steps, z, levels, weights)
            better = gain > most
            for kept, new in ((most, gain), (best_scales, scale), (best_zero_points, z)):
                np.copyto(kept, new, where=better)
    return best_scales, best_zero_points


def _project(y: Floats, steps: Floats, z: Floats, levels: int, weights: Floats | None) -> tuple[Floats, Floats]:
    """How much squared error the best scale for these codes saves, and that scale; each [n].

    `steps` [block_size, n] are codes less their zero point, rounded but not yet held within the codes.
    """
    held: Floats = np.maximum(steps, -z)
    np.minimum(held, np.float32(levels) - z, out=held)
    weighted = held if weights is None else held * weights
    products = _sum(y * weighted)
    scales = np.divide(products, np.maximum(_sum(held * weighted), TINY), dtype=np.float32)
    return products * scales, scales


def _squared_error(
    x: Floats, scales: Floats, zero_points: Floats, unit: Floats, levels: int, weights: Floats | None
) -> Floats:
    """Of each block [n], as it will be stored, times the square of `unit`."""
    errors = encode(x, scales, zero_points, levels)
    errors -= zero_points
    errors *= scales
    errors -= x
    errors *= unit
    errors *= errors
    return _sum(errors if weights is None else errors * weights)


def _sum(parts: Floats) -> Floats:
    """Sum over the first axis, a power of two, in place: by halves, in one order whatever the number of blocks."""
    while len(parts) > 1:
        half = len(parts) // 2
        parts = np.add(parts[:half], parts[half:], out=parts[:half])
    total: Floats = parts[0]
    return total
