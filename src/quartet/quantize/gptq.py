"""GPTQ: quantise a matrix so that its products with typical inputs change least (Frantar et al. 2022).

The columns are rounded one after the other; after each, the columns not yet rounded take over its error as far as the
inputs correlate. With the moments `H = mean(x x^T)` of the inputs, the error of the product is `e H e^T` for a row of
errors `e`, and what the rest of a row has to change follows from the upper Cholesky factor `U` of the inverse,
`H^-1 = U^T U`: an error `e_j` costs `(e_j / U_jj)^2` in the end and moves a later column `k` by `-e_j U_jk / U_jj`.
So `1 / U_jj^2` is the importance of a column when scales and zero points are searched, block by block, on the weights
as they have become by then.

Rows are independent: a matrix can be quantised in slices, with one factor for all of them. Within `LAZY` columns
errors are carried on column by column, to those further right as one matrix product.
"""

import numpy as np

from quartet.arrays import Floats
from quartet.errors import OptionError
from quartet.quantize.numerics import Blocks, Scheme, check, encode, pack, search

DAMPING = 0.1  # of the mean moment, added to each: what was not seen in calibration is not free
LAZY = 128
ROWS = 512  # quantised together
LEAF = 64  # columns of a factor that are worked out in float64


def factor(moments: Floats, damping: float = DAMPING) -> Floats:
    """`U` [K, K], upper triangular, with `U^T U` the inverse of the damped second moments [K, K] of the inputs.

    They are taken in units of their mean, since only proportions matter.
    """
    mean = float(np.diag(moments).mean(dtype=np.float64))
    upper = np.multiply(moments, 1 / (mean or 1.0), dtype=np.float32)
    upper[np.diag_indices_from(upper)] += np.float32(damping)
    _factorize(upper)
    return upper


def _factorize(h: Floats) -> None:
    """Put `U` in the place of `H = [[A, B], [B^T, D]]`, by halves: nearly all of it is matrix products.

    With `H = R R^T` and `R = U^-1`, both upper triangular: `D` alone gives its corner of `U`; above it `R` has
    `X = B U_D^T`; what that leaves of `A` gives the other corner, and between them is `-U_A X U_D`. So the largest
    array beside the matrix has a quarter of its size, which counts where that has 8192 columns.
    """
    size = len(h)
    if size <= LEAF:
        backwards = np.linalg.cholesky(h[::-1, ::-1].astype(np.float64))  # the Cholesky factor read backwards is R
        h[:] = np.triu(np.linalg.inv(backwards[::-1, ::-1]))
        return
    half = size // 2
    left, between, right = h[:half, :half], h[:half, half:], h[half:, half:]
    _factorize(right)
    above = between @ right.T
    left -= above @ above.T
    _factorize(left)
    between[:] = -left @ (above @ right)
    h[half:, :half] = 0


def quantize(matrix: Floats, scheme: Scheme, factor: Floats) -> Blocks:
    """Quantise a matrix [rows, K], or any slice of its rows, given the `factor` [K, K] of its inputs.

    Raises `CheckpointError` for weights that cannot be quantised, `OptionError` for a factor that does not fit.
    """
    rows, columns = matrix.shape
    if factor.shape != (columns, columns):
        raise OptionError(f"a factor of shape {factor.shape}; the matrix has {columns} columns")
    if scheme.planes:
        raise OptionError("a matrix in two planes is not quantised by GPTQ")
    check(matrix)
    width = scheme.blocks(columns) * scheme.block_size
    padded = factor if width == columns else _padded(factor, width)
    codes = np.empty((rows, width), np.uint8)
    scales, zero_points = np.empty((2, rows, scheme.blocks(columns)), np.float32)
    for start in range(0, rows, ROWS):
        part = slice(start, start + ROWS)
        weights = np.zeros((width, len(matrix[part])), np.float32)
        weights[:columns] = matrix[part].T
        found = _columns(weights, scheme, padded)
        codes[part], scales[part], zero_points[part] = (array.T for array in found)
    packed = pack(codes.reshape(rows, -1, scheme.block_size), scheme.bits)
    return Blocks(packed, scales, None if scheme.symmetric else pack(zero_points.astype(np.uint8), scheme.bits))


def _padded(factor: Floats, width: int) -> Floats:
    """The factor for columns that are filled up with zeros, each alone."""
    padded = np.eye(width, dtype=np.float32)
    padded[: len(factor), : len(factor)] = factor
    return padded


def _columns(weights: Floats, scheme: Scheme, factor: Floats) -> tuple[Floats, Floats, Floats]:
    """Codes [K, n], scales and zero points [blocks, n] for transposed weights [K, n], which are used up."""
    width, count = weights.shape
    size, diagonal = scheme.block_size, np.diag(factor)[:, None]
    codes = np.empty_like(weights)
    scales, zero_points = np.empty((2, width // size, count), np.float32)
    step = max(LAZY, size)
    for begin in range(0, width, step):
        end = min(begin + step, width)
        errors = np.empty((end - begin, count), np.float32)
        for j in range(begin, end):
            block = j // size
            if j % size == 0:
                here = slice(j, j + size)
                importance: Floats = np.repeat((1 / diagonal[here]) ** 2, count, axis=1)
                scales[block], zero_points[block] = search(weights[here], scheme, importance)
            s, z = scales[block], zero_points[block]
            codes[j] = encode(weights[j], s, z, scheme.levels)
            errors[j - begin] = (weights[j] - (codes[j] - z) * s) / diagonal[j]
            weights[j + 1 : end] -= factor[j, j + 1 : end, None] * errors[j - begin]
        weights[end:] -= factor[begin:end, end:].T @ errors
    return codes, scales, zero_points
