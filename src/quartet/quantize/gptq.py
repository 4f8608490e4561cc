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

from quartet.errors import OptionError
from quartet.quantize.numerics import Blocks, Floats, Scheme, check, encode, pack, search

DAMPING = 0.1  # of the mean moment, added to each: what was not seen in calibration is not free
LAZY = 128
ROWS = 512  # quantised together


def factor(moments: Floats, damping: float = DAMPING) -> Floats:
    """`U` [K, K], upper triangular, with `U^T U` the inverse of the damped second moments [K, K] of the inputs.

    They are taken in units of their mean, since only proportions matter.
    """
    mean = float(np.diag(moments).mean(dtype=np.float64))
    damped = moments.astype(np.float64) / (mean or 1.0)
    damped[np.diag_indices_from(damped)] += damping
    # H = R R^T with R upper triangular is the Cholesky factor of H read backwards; then U = R^-1
    backwards = np.linalg.cholesky(damped[::-1, ::-1])
    return _inverse(backwards[::-1, ::-1]).astype(np.float32)


def _inverse(upper: np.ndarray) -> np.ndarray:
    """Inverse of an upper triangular matrix, by halves: nearly all of it is matrix products."""
    size = len(upper)
    if size <= 64:
        inverse: np.ndarray = np.triu(np.linalg.inv(upper))
        return inverse
    half = size // 2
    out = np.zeros_like(upper)
    out[:half, :half], out[half:, half:] = _inverse(upper[:half, :half]), _inverse(upper[half:, half:])
    out[:half, half:] = -out[:half, :half] @ (upper[:half, half:] @ out[half:, half:])
    return out


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
    padded = np.eye(width, dtype=np.float32)
    padded[:columns, :columns] = factor
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
