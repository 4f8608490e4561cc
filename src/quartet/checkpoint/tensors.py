"""Where a tensor lies in a file, and how to read a slice of it.

Files are read, not mapped: mapped pages count as resident, and a conversion must stay small.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from quartet.errors import CheckpointError

DType = Literal[
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16",
    "uint8", "bool",
]  # fmt: skip

CHUNK_BYTES = 4 << 20  # at most this much of a file is held besides the result
GAP_BYTES = 32 << 10  # reading over a gap of this size is cheaper than seeking past it
COMPARE_BYTES = 16 << 20
MAX_DIMENSIONS = 32  # more than any model has; numpy refuses 65
MAX_ELEMENTS = 1 << 48  # far more than any model has, far less than overflows


@dataclass(frozen=True)
class Affine:
    """What stored integers stand for: `(stored - zero point) * scale`, with one of each, or one for each row."""

    scales: tuple[float, ...]
    zero_points: tuple[float, ...]


@dataclass(frozen=True)
class TensorEntry:
    """A tensor's bytes in a file. Equal entries are aliases: the same elements of the same file in the same order."""

    path: Path
    offset: int  # of the first element, in bytes from the start of the file
    shape: tuple[int, ...]
    dtype: DType  # in the file; always little-endian
    strides: tuple[int, ...] | None = None  # in elements, none negative; None for C order
    name: str = field(default="", compare=False)  # for messages
    rows: tuple[int, ...] | None = None  # of the tensor in the file, those that make this one; None: all
    affine: Affine | None = None  # None: the stored numbers are the tensor's own
    scale: "TensorEntry | None" = None  # what the values were multiplied by, one number or one a row, to be stored
    stored: int | None = None  # elements in the file, in C order; those after them are zero. None: all

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements in the type of the file."""
        return self.size * itemsize(self.dtype)


def itemsize(dtype: DType) -> int:
    """Bytes of one element."""
    return _stored_as(dtype).itemsize


def same_bytes(a: TensorEntry, b: TensorEntry) -> bool:
    """Whether two entries are aliases of each other, known without reading the file."""
    return a == b


def row_range(entry: TensorEntry, start: int, stop: int) -> TensorEntry:
    """Rows `[start:stop]` of a tensor in C order, as a tensor of its own."""
    row = math.prod(entry.shape[1:])
    scale = entry.scale
    return replace(
        entry,
        offset=entry.offset + start * row * itemsize(entry.dtype),
        shape=(stop - start, *entry.shape[1:]),
        scale=row_range(scale, start, stop) if scale is not None and scale.shape else scale,
        stored=None if entry.stored is None else max(entry.stored - start * row, 0),
    )


def with_zeros(entry: TensorEntry, shape: tuple[int, ...]) -> TensorEntry:
    """The elements of a tensor in C order and then zeros, in a larger shape."""
    return replace(entry, shape=shape, stored=entry.size if entry.stored is None else entry.stored)


def take_rows(entry: TensorEntry, rows: tuple[int, ...]) -> TensorEntry:
    """The tensor of these rows of a whole one, in this order."""
    return replace(entry, shape=(len(rows), *entry.shape[1:]), rows=rows)


def read(entry: TensorEntry, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
    """Rows `[start:stop]` of the first axis as float32 in C order, shape `(rows, *entry.shape[1:])`.

    A scalar has no rows and is read whole. Memory is that of the result and a few MB. Raises `CheckpointError`
    where the file cannot be read or ends too early.
    """
    if entry.rows is not None:
        return _gather(entry, np.array(entry.rows[start:stop], np.int64))
    offset, shape, first = entry.offset, entry.shape, 0
    if shape:
        start, stop, _ = slice(start, stop).indices(shape[0])
        shape = (max(stop - start, 0), *shape[1:])
        first = start * (entry.strides[0] if entry.strides else math.prod(shape[1:]))
        offset += first * itemsize(entry.dtype)
    out = np.empty(shape, np.float32)
    try:
        with entry.path.open("rb") as file:
            if entry.strides is None:
                _read_contiguous(file, offset, entry.dtype, _stored_part(out.reshape(-1), entry.stored, first))
            elif out.size:
                _read_strided(file, offset, entry.dtype, entry.strides, out)
    except EOFError:
        raise CheckpointError(f"{entry.path} ends before the last byte of tensor {entry.name!r}") from None
    except OSError as error:
        raise CheckpointError(f"{entry.path} cannot be read: {error.strerror or error}") from None
    if entry.affine is not None:
        _dequantize(out, entry.affine, slice(start, stop))
    if entry.scale is not None:
        _unscale(out, read(entry.scale, start, stop))
    return out


def equal(a: TensorEntry, b: TensorEntry) -> bool:
    """Whether two tensors have the same shape and, as float32, the same bits. Reads both in slices of some 16 MB."""
    if a.shape != b.shape:
        return False
    if same_bytes(a, b):
        return True
    return all(
        np.array_equal(read(a, start, stop).view(np.uint32), read(b, start, stop).view(np.uint32))
        for start, stop in row_slices(a.shape, COMPARE_BYTES)
    )


def row_slices(shape: tuple[int, ...], max_bytes: int) -> Iterator[tuple[int, int]]:
    """`(start, stop)` of successive slices of rows, each of at most `max_bytes` as float32, but one row at least."""
    rows = shape[0] if shape else 1
    step = max(1, max_bytes // max(4 * math.prod(shape[1:]), 1))
    return ((start, min(start + step, rows)) for start in range(0, rows, step))


def normal_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides as `TensorEntry` has them: None where they walk the elements in C order."""
    expected = 1
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and stride != expected:
            return strides if math.prod(shape) else None
        expected *= length
    return None


def span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Elements from the first to the last one of a view, both counted."""
    return 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if math.prod(shape) else 0


def is_shape(value: Any) -> TypeGuard[tuple[int, ...] | list[int]]:
    """Whether a value read from a file is the shape of a tensor of sane size."""
    return (
        isinstance(value, tuple | list)
        and len(value) <= MAX_DIMENSIONS
        and all(type(n) is int and n >= 0 for n in value)
        and math.prod(max(n, 1) for n in value) <= MAX_ELEMENTS
    )


def _dequantize(out: NDArray[np.float32], affine: Affine, rows: slice) -> None:
    """Stored integers to what they stand for, in place; `rows` are those of the tensor that `out` holds."""
    for operation, numbers in ((np.subtract, affine.zero_points), (np.multiply, affine.scales)):
        chosen = np.array(numbers if len(numbers) == 1 else numbers[rows], np.float32)
        operation(out, chosen.reshape(-1, *(1,) * (out.ndim - 1)) if len(numbers) > 1 else chosen[0], out=out)


def _stored_part(flat: NDArray[np.float32], stored: int | None, first: int) -> NDArray[np.float32]:
    """What of `flat`, the elements of a tensor from `first` on, is in the file; the rest is set to zero."""
    if stored is None:
        return flat
    kept = max(stored - first, 0)
    flat[kept:] = 0
    return flat[:kept]


def _unscale(out: NDArray[np.float32], scale: NDArray[np.float32]) -> None:
    """Divide by one number, or each row by its own; rows of zeros at the end may have none."""
    if scale.ndim == 0:
        out /= scale
    else:
        rows = out[: len(scale)]
        rows /= scale.reshape(-1, *(1,) * (out.ndim - 1))


def _gather(entry: TensorEntry, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows scattered over a tensor, window by window: reading over what is between is cheaper than seeking past it."""
    out = np.empty((len(rows), *entry.shape[1:]), np.float32)
    whole = replace(entry, shape=(int(rows.max(initial=-1)) + 1, *entry.shape[1:]), rows=None)
    for start, stop in row_slices(whole.shape, CHUNK_BYTES):
        here = (rows >= start) & (rows < stop)
        if here.any():
            first = rows[here].min()
            out[here] = read(whole, first, rows[here].max() + 1)[rows[here] - first]
    return out


def _stored_as(dtype: DType) -> np.dtype[np.generic]:
    """The little-endian numpy type of the stored elements; numpy has no bfloat16, so these are its 16 bits."""
    return np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder("<")


def _read_contiguous(file: BufferedReader, offset: int, dtype: DType, out: NDArray[np.float32]) -> None:
    file.seek(offset)
    stored = _stored_as(dtype)
    if stored == out.dtype:
        return _read_exactly(file, out)
    step = CHUNK_BYTES // stored.itemsize
    for start in range(0, out.size, step):
        part = out[start : start + step]
        raw = np.empty(part.size, stored)
        _read_exactly(file, raw)
        _widen(raw, dtype, part)
    return None


def _read_strided(
    file: BufferedReader, offset: int, dtype: DType, strides: tuple[int, ...], out: NDArray[np.float32]
) -> None:
    """Fill `out` from a view: read over its gaps where they are small, else take its widest axis apart."""
    stored = _stored_as(dtype)
    extent = span(out.shape, strides)
    wasted = (extent - out.size) * stored.itemsize
    if extent * stored.itemsize <= CHUNK_BYTES and wasted <= max(out.size * stored.itemsize, GAP_BYTES):
        raw = np.empty(extent, stored)
        file.seek(offset)
        _read_exactly(file, raw)
        return _widen(as_strided(raw, out.shape, [s * stored.itemsize for s in strides]), dtype, out)
    axis = max(range(out.ndim), key=lambda i: (out.shape[i] > 1, strides[i], out.shape[i]))
    # Halves, not single rows: what is split only because it is large stays in large pieces.
    middle = out.shape[axis] // 2
    first, second = np.split(out, [middle], axis)
    _read_strided(file, offset, dtype, strides, first)
    return _read_strided(file, offset + middle * strides[axis] * stored.itemsize, dtype, strides, second)


def _read_exactly(file: BufferedReader, out: NDArray[np.generic]) -> None:
    if file.readinto(out.view(np.uint8).data) != out.nbytes:
        raise EOFError


def _widen(raw: NDArray[np.generic], dtype: DType, out: NDArray[np.float32]) -> None:
    """Stored elements to float32; a bfloat16 is the upper half of one."""
    if dtype == "bfloat16":
        np.left_shift(raw, np.uint32(16), out=out.view(np.uint32))
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # a float64 beyond float32 becomes infinite, silently
            out[...] = raw
