"""Protocol buffers as bytes, compared with the library."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from quartet.protobuf_wire import (
    BYTES,
    FIXED32,
    VARINT,
    bytes_field,
    bytes_field_head,
    fields,
    number_field,
    read_varint,
    varint,
)


@given(st.integers(0, 2**64 - 1))
def test_numbers_there_and_back(number):
    data = b"\xff" + varint(number) + b"\xff"
    assert read_varint(data, 1, len(data)) == (number, len(data) - 1)


@given(st.lists(st.integers(0, 2**40), max_size=3), st.binary(max_size=300))
def test_messages_are_those_of_the_library(dims, raw):
    data = b"".join(number_field(1, dim) for dim in dims) + bytes_field(9, raw)
    tensor = TensorProto.FromString(data)
    assert (list(tensor.dims), tensor.raw_data) == (dims, raw)
    assert data.endswith(bytes_field_head(9, len(raw)) + raw)
    found = list(fields(data))
    assert [(field.number, field.wire_type) for field in found] == [*[(1, VARINT)] * len(dims), (9, BYTES)]
    assert b"".join(data[field.start : field.end] for field in found) == data
    assert data[found[-1].value : found[-1].end] == raw


def test_a_message_within_another():
    data = b"??" + number_field(3, 7) + bytes([4 << 3 | FIXED32, 1, 2, 3, 4]) + b"??"
    assert [(f.number, data[f.value : f.end]) for f in fields(data, 2, len(data) - 2)] == [
        (3, b"\7"),
        (4, b"\1\2\3\4"),
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x0a\xff", "number at byte 1 has no end"),
        (b"\x0a\x02a", "field at byte 0 ends at 4, after 3"),
        (b"\xff" * 20, "number at byte 0 has no end"),
        (b"\x0b\x01", "byte 0 begins no field"),
        (b"\x0d\x01", "field at byte 0 ends at 5, after 2"),
        (b"\x00\x01", "field at byte 0"),
    ],
)
def test_what_is_no_message(data, problem):
    with pytest.raises(ValueError, match=problem):
        list(fields(data))
