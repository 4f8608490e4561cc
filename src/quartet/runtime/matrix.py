"""Rows of the embedding and of the LM head, read from their file when they are needed.

A mapped file would count as memory by whole pages, and on some kernels by far more than a page around each row that
is touched; reads leave nothing behind but the rows read last. Shapes: n rows, d width.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quartet.arrays import Floats, Ids
from quartet.quantize.numerics import Blocks, dequantize
from quartet.quantize.recipes import stored_scheme
from quartet.spec import StoredMatrix

FEW = 12  # ids; to look for equal ones takes longer than to read a row twice
RECENT_BYTES = 8 << 20  # of rows kept in float32: beams want two rows of three again in the next steps


class MatrixRows:
    """Rows by number, in float32, from several threads if need be. `close` gives the file back."""

    def __init__(self, folder: Path, place: StoredMatrix) -> None:
        self.place = place
        self.file = os.open(folder / place.file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.scheme = stored_scheme(place)
        self.recent = RecentRows(place.rows, place.columns)
        self.tails: dict[int, Floats] = {}
        self.bias = self._vector(place.bias, place.rows)
        self.column_scales = self._vector(place.column_scales, place.columns)

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        if self.file >= 0:
            os.close(self.file)
        self.file = -1

    def __del__(self) -> None:
        """Close the file."""
        self.close()

    def read(self, ids: Ids) -> Floats:
        """Rows [.., d] for ids [..]; of many, an id that comes twice is read once."""
        if ids.size <= FEW:
            return self.recent.get(ids.reshape(-1), self._rows).reshape(*ids.shape, -1)
        unique, places = np.unique(ids, return_inverse=True)
        return self.recent.get(unique, self._rows)[places.reshape(ids.shape)]

    def tail(self, first: int) -> Floats:
        """Rows [n, d] from `first` on; read once."""
        if first not in self.tails:
            self.tails[first] = self.read(np.arange(first, self.place.rows))
        return self.tails[first]

    def bias_of(self, ids: Ids) -> Floats | np.float32:
        """Biases of rows, like `ids` [..]; zero where the matrix has none."""
        return np.float32(0) if self.bias is None else self.bias[ids]

    def _rows(self, ids: Ids) -> Floats:
        place, scheme = self.place, self.scheme
        if scheme is None:
            return self._part(ids, place.codes, 4 * place.columns).view(np.float32)
        blocks = scheme.blocks(place.columns)
        packed = (len(ids), blocks, scheme.block_size * scheme.code_bits // 8)
        row_bytes = packed[1] * packed[2]
        assert place.scales is not None
        stored = Blocks(
            self._part(ids, place.codes, row_bytes).reshape(packed),
            self._part(ids, place.scales, 4 * blocks).view(np.float32),
            None if place.zero_points is None else self._part(ids, place.zero_points, -(-blocks * place.bits // 8)),
            None if place.residual is None else self._part(ids, place.residual, row_bytes).reshape(packed),
        )
        rows = dequantize(stored, scheme, place.columns)
        return rows if self.column_scales is None else rows * self.column_scales

    def _vector(self, start: int | None, count: int) -> Floats | None:
        return None if start is None else np.frombuffer(_read(self.file, start, 4 * count), np.float32)

    def _part(self, ids: Ids, start: int, row_bytes: int) -> NDArray[np.uint8]:
        """Bytes [n, row_bytes] of some rows of one part."""
        rows = b"".join([_read(self.file, start + row * row_bytes, row_bytes) for row in ids.tolist()])
        return np.frombuffer(rows, np.uint8).reshape(len(ids), row_bytes)


class RecentRows:
    """Rows [n, d] that were read last; the oldest make room for new ones."""

    def __init__(self, count: int, columns: int, room: int = RECENT_BYTES) -> None:
        """For a matrix of `count` rows; room: bytes, none of them touched before there is a row to keep."""
        size = max(1, room // (4 * columns))
        self.rows = np.empty((size, columns), np.float32)
        self.ids = np.full(size, count, np.int64)  # what each of `rows` is; `count`: nothing yet
        self.place = np.full(count + 1, -1, np.int32)  # where in `rows` each of the matrix lies
        self.oldest = 0
        self.lock = threading.Lock()

    def get(self, ids: Ids, read: Callable[[Ids], Floats]) -> Floats:
        """Rows [n, d] for ids [n]; `read` gives those that are not here."""
        if len(ids) > len(self.rows):
            return read(ids)
        with self.lock:
            places = self.place[ids]
            found = self.rows[places]
            if places.min(initial=0) < 0:
                new = places < 0
                found[new] = fresh = read(ids[new])
                self._keep(ids[new], fresh)
            return found

    def _keep(self, ids: Ids, rows: Floats) -> None:
        taken = (self.oldest + np.arange(len(ids))) % len(self.rows)
        self.place[self.ids[taken]] = -1
        self.place[ids] = taken
        self.ids[taken], self.rows[taken] = ids, rows
        self.oldest = int(taken[-1] + 1) % len(self.rows)


def read_by_seeking(file: int, start: int, count: int) -> bytes:
    """`os.pread` with its arguments in our order, for Windows; threads that share a file would disturb each other."""
    os.lseek(file, start, os.SEEK_SET)
    return os.read(file, count)


def _read_at(file: int, start: int, count: int) -> bytes:
    return os.pread(file, count, start)


_read = _read_at if hasattr(os, "pread") else read_by_seeking
