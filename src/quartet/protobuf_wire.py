"""Protocol buffers as bytes: the fields of a message, one level deep, and fields to be written.

A field is a key and a value; the key is the field's number and a wire type, which tells how long the value is.
Whoever reads a message knows what its numbers mean.
"""

import mmap
from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
FIXED_SIZES = {FIXED32: 4, FIXED64: 8}
LONGEST = 10  # bytes of a number of 64 bits

Data = bytes | mmap.mmap


class Field(NamedTuple):
    """Where a field lies in a message: `data[start:end]` is all of it, `data[value:end]` its value alone."""

    number: int
    wire_type: int
    start: int
    value: int  # for bytes, where they begin, behind their length
    end: int


def fields(data: Data, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message `data[start:end]`; raises `ValueError` where they do not fill it exactly."""
    return map(Field._make, plain_fields(data, start, len(data) if end is None else end))


def plain_fields(data: Data, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """The same as plain tuples, which take half the time."""
    at = start
    while at < end:
        key, value = data[at], at + 1
        if key >= 0x80:  # nearly all keys, and most lengths, are a byte alone
            key, value = read_varint(data, at, end)
        number, wire_type = key >> 3, key & 7
        if wire_type == BYTES:
            if value < end and data[value] < 0x80:
                length, value = data[value], value + 1
            else:
                length, value = read_varint(data, value, end)
            stop = value + length
        elif wire_type == VARINT:
            stop = read_varint(data, value, end)[1]
        elif wire_type in FIXED_SIZES:
            stop = value + FIXED_SIZES[wire_type]
        else:
            raise ValueError(f"byte {at} begins no field")
        if stop > end or number < 1:
            raise ValueError(f"the field at byte {at} ends at {stop}, after {end}")
        yield number, wire_type, at, value, stop
        at = stop


def read_varint(data: Data, at: int, end: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends; `ValueError` where that is not in time."""
    number = 0
    for i in range(min(LONGEST, end - at)):
        byte = data[at + i]
        number |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return number, at + i + 1
    raise ValueError(f"the number at byte {at} has no end")


def varint(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first; all but the last are marked."""
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def number_field(number: int, value: int) -> bytes:
    """A field that holds a number."""
    return varint(number << 3 | VARINT) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A field that holds bytes, a text, or a message."""
    return bytes_field_head(number, len(value)) + value


def bytes_field_head(number: int, length: int) -> bytes:
    """What stands before the bytes of such a field, for values that are written piece by piece."""
    return varint(number << 3 | BYTES) + varint(length)
