"""A graph of the LM head over some rows of a quartet's own matrix, copied as they are stored: same bytes, same scores.

With two planes only the coarse one is copied; rows to be scored again are read from the quartet (`runtime.matrix`).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quartet.graph.builder import Weight
from quartet.graph.head import head_over
from quartet.graph.writer import ALIGNMENT, data_name, write_borrowing
from quartet.quantize.recipes import Recipe, stored_scheme
from quartet.spec import LM_HEAD, StoredMatrix

ROWS_AT_ONCE = 4096


def write_selected_head(folder: Path, matrix: StoredMatrix, rows: NDArray[np.int64], out: Path) -> None:
    """Write `lm_head.onnx` and its data file to `out`, for `rows` [n] of the quartet in `folder`."""
    weight = Weight(
        "/lm_head.weight", ("rows",), (len(rows), matrix.columns), scheme=stored_scheme(replace(matrix, residual=None))
    )
    bias = Weight("/lm_head.bias", ("biases",), (1, len(rows))) if matrix.bias is not None else None
    builder = head_over(weight, bias, Recipe("selected"))
    parts = weight.parts | ({"bias": bias.parts["codes"]} if bias else {})  # by the names of `StoredMatrix` too
    offsets: dict[str, int] = {}
    with (out / data_name(LM_HEAD)).open("wb") as file:
        for part, initializer in parts.items():
            file.write(bytes(-file.tell() % ALIGNMENT))
            offsets[initializer.name] = file.tell()
            path, start = folder / matrix.file, getattr(matrix, part)
            if part == "column_scales":
                file.write(np.fromfile(path, np.float32, matrix.columns, offset=start).data)
                continue
            for block in _gathered(path, start, matrix.rows, int(initializer.nbytes) // len(rows), rows):
                file.write(block.data)
    write_borrowing(builder, data_name(LM_HEAD), offsets, out)


def _gathered(path: Path, start: int, count: int, row_bytes: int, rows: NDArray[np.int64]) -> Iterator[np.ndarray]:
    """Some of `count` rows of bytes, a few thousand at a time."""
    stored = np.memmap(path, np.uint8, "r", offset=start, shape=(count, row_bytes))
    for first in range(0, len(rows), ROWS_AT_ONCE):
        yield stored[rows[first : first + ROWS_AT_ONCE]]
