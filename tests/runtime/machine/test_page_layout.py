from itertools import pairwise

import onnx
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from quartet.runtime.machine.page_layout import PAGE, SMALL_PAGE, lay_out_in_large_pages, positions

lengths = st.lists(st.one_of(st.integers(1, 3 * SMALL_PAGE), st.integers(PAGE - 5, 3 * PAGE)), max_size=40)


@given(lengths)
def test_pieces_do_not_overlap_and_large_ones_begin_at_large_pages(lengths):
    starts = positions(lengths)
    assert len(starts) == len(lengths)
    assert all(
        start % (PAGE if length >= PAGE else SMALL_PAGE) == 0 for start, length in zip(starts, lengths, strict=True)
    )
    placed = sorted(zip(starts, lengths, strict=True))
    assert all(start + length <= following for (start, length), (following, _) in pairwise(placed))


@given(lengths)
def test_nothing_is_longer_than_its_pages(lengths):
    ends = [start + length for start, length in zip(positions(lengths), lengths, strict=True)]
    large = sum(-(-length // PAGE) * PAGE for length in lengths if length >= PAGE)
    small = sum(-(-length // SMALL_PAGE) * SMALL_PAGE for length in lengths if length < PAGE)
    assert max(ends, default=0) <= large + small


def test_small_pieces_fill_the_gaps_behind_large_ones():
    assert positions([100, PAGE + 1, 5000, PAGE]) == [PAGE + 4096 + 8192, 0, PAGE + 4096, 2 * PAGE]


def test_a_model_keeps_its_weights_and_what_was_packed_of_them(tmp_path):
    """As ONNX Runtime 1.32 saves it: two buffers were packed of the first matrix, none of the second."""
    pieces = {"first": b"one" * 5, "packed": bytes(range(256)) * 10_000, "more": b"more", "second": b"two" * 5000}
    starts = {name: 100 + 3_000_000 * i for i, name in enumerate(pieces)}
    data = bytearray(max(starts.values()) + 100_000)
    for name, piece in pieces.items():
        data[starts[name] : starts[name] + len(piece)] = piece
    (tmp_path / "model.onnx.data").write_bytes(data)
    buffers = "|".join(f"{starts[name]};{len(pieces[name])};3" for name in ("packed", "more"))
    first, second = (external(name, starts[name], len(pieces[name])) for name in ("first", "second"))
    first.external_data.add(key="prepacked_0", value=f"MatMulNBits+123|{buffers}")
    graph = helper.make_graph([], "g", [], [], [first, second])
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")

    lay_out_in_large_pages(tmp_path / "model.onnx")

    data = (tmp_path / "model.onnx.data").read_bytes()
    tensors = onnx.load(tmp_path / "model.onnx", load_external_data=False).graph.initializer
    found = [{entry.key: entry.value for entry in tensor.external_data} for tensor in tensors]
    for entries, name in zip(found, ("first", "second"), strict=True):
        assert at(data, entries["offset"], entries["length"]) == pieces[name]
        assert entries["location"] == "model.onnx.data"
    kernel, *packed = found[0]["prepacked_0"].split("|")
    assert kernel == "MatMulNBits+123"
    (start, length, padding), more = (buffer.split(";") for buffer in packed)
    assert padding == "3"
    assert int(start) % PAGE == 0
    assert at(data, start, length) == pieces["packed"]
    assert at(data, *more[:2]) == pieces["more"]


def test_a_model_without_weights_stays_as_it_is(tmp_path):
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [])), tmp_path / "model.onnx")
    before = (tmp_path / "model.onnx").read_bytes()
    lay_out_in_large_pages(tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == before


def external(name, start, length):
    tensor = TensorProto(name=name, data_type=TensorProto.UINT8, dims=[length], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "model.onnx.data"), ("offset", start), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def at(data, start, length):
    return data[int(start) : int(start) + int(length)]
