import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint_files import to_bfloat16, write_torch_zip
from quartet.checkpoint import tensors, torch_pickle
from quartet.checkpoint.tensors import TensorEntry, equal, normal_strides, read, row_slices, same_bytes, take_rows
from quartet.errors import CheckpointError

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16"]
DTYPES += ["uint8", "bool"]

shapes = st.lists(st.integers(0, 7), max_size=4).map(tuple)
bounds = st.none() | st.integers(-9, 9)


def stored(array: np.ndarray, dtype: str) -> tuple[bytes, np.ndarray]:
    """Bytes of an array of small integers in a type, and the float32 values that they mean."""
    if dtype == "bfloat16":
        return to_bfloat16(array).tobytes(), array.astype(np.float32)
    return array.astype(dtype).tobytes(), array.astype(dtype).astype(np.float32)


def entry_of(path: Path, array: np.ndarray, dtype: str = "float32", before: int = 0) -> TensorEntry:
    path.write_bytes(b"x" * before + stored(array, dtype)[0])
    return TensorEntry(path, before, array.shape, dtype, None, "some.weight")


@given(shapes, st.sampled_from(DTYPES), st.tuples(bounds, bounds), st.integers(0, 9))
def test_slices_are_those_of_numpy(tmp_path_factory, shape, dtype, rows, before):
    array = (np.arange(np.prod(shape, dtype=int)) % 120).reshape(shape)
    entry = entry_of(tmp_path_factory.getbasetemp() / "slices", array, dtype, before)
    expected = stored(array, dtype)[1]
    start, stop = rows[0] or 0, rows[1]
    got = read(entry, start, stop)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected[start:stop] if shape else expected)


@st.composite
def views(draw):
    """A view of a flat array of storage: shape and strides in elements, broadcast and overlapping ones too."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    strides = [draw(st.integers(0, 12)) for _ in shape]
    return tuple(shape), tuple(strides)


@pytest.fixture
def tiny_reads(monkeypatch):
    """Limits so small that views of a few elements are taken apart."""
    monkeypatch.setattr(tensors, "CHUNK_BYTES", 32)
    monkeypatch.setattr(tensors, "GAP_BYTES", 8)


@given(
    views(), st.sampled_from(["float32", "float16", "bfloat16", "int64"]), st.tuples(bounds, bounds), st.integers(0, 5)
)
def test_slices_of_strided_views_are_those_of_numpy(tmp_path_factory, view, dtype, rows, offset):
    check_view(tmp_path_factory.getbasetemp(), view, dtype, rows, offset)


@pytest.mark.usefixtures("tiny_reads")
def test_strided_views_in_many_small_reads(tmp_path_factory):
    @given(views(), st.sampled_from(["float32", "bfloat16"]), st.tuples(bounds, bounds), st.integers(0, 5))
    def check(view, dtype, rows, offset):
        check_view(tmp_path_factory.getbasetemp(), view, dtype, rows, offset)

    check()


def check_view(folder, view, dtype, rows, offset):
    shape, strides = view
    start, stop = rows[0] or 0, rows[1]
    storage = np.arange(offset + tensors.span(shape, strides)) % 250
    path = folder / "views"
    data, values = stored(storage, dtype)
    path.write_bytes(data)
    item = tensors.itemsize(dtype)
    entry = TensorEntry(path, offset * item, shape, dtype, normal_strides(shape, strides))
    expected = np.lib.stride_tricks.as_strided(values[offset:], shape, [4 * s for s in strides])
    np.testing.assert_array_equal(read(entry, start, stop), expected[start:stop])


def test_bfloat16_is_the_upper_half_of_float32_whatever_its_bits(tmp_path):
    bits = np.arange(1 << 16, dtype=np.uint16)
    (tmp_path / "f").write_bytes(bits.tobytes())
    got = read(TensorEntry(tmp_path / "f", 0, (1 << 16,), "bfloat16"))
    np.testing.assert_array_equal(got.view(np.uint32), bits.astype(np.uint32) << 16)


@pytest.mark.filterwarnings("error")
def test_float64_beyond_float32_becomes_infinite_without_a_warning(tmp_path):
    (tmp_path / "f").write_bytes(np.array([1e300, -1e300]).tobytes())
    assert read(TensorEntry(tmp_path / "f", 0, (2,), "float64")).tolist() == [np.inf, -np.inf]


@pytest.mark.parametrize(("dtype", "strided"), [("float32", False), ("float16", False), ("float16", True)])
def test_a_slice_takes_memory_for_the_slice_only(tmp_path, dtype, strided):
    array = np.zeros((2048, 4096), dtype)  # 32 MB as float32
    if strided:
        write_torch_zip(tmp_path / "f", {"w": array.T})
        entry = torch_pickle.index_file(tmp_path / "f")["w"]
        assert entry.strides == (1, 4096)
    else:
        entry = entry_of(tmp_path / "f", array, dtype)
    read(entry, 0, 1)
    tracemalloc.start()
    rows = read(entry, 100, 164)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes + tensors.CHUNK_BYTES + (1 << 20)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("strides", [None, (1, 10)])
def test_a_file_that_ends_too_early_is_named_with_the_tensor(tmp_path, dtype, strides):
    entry = dataclasses.replace(entry_of(tmp_path / "w.bin", np.ones((10, 10)), dtype), strides=strides)
    (tmp_path / "w.bin").write_bytes((tmp_path / "w.bin").read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"w\.bin ends before the last byte of tensor 'some\.weight'"):
        read(entry)
    assert read(entry, 0, 9).shape == (9, 10)


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone.* cannot be read"):
        read(TensorEntry(tmp_path / "gone", 0, (1,), "float32"))


def test_equal_and_same_bytes(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    a = entry_of(tmp_path / "a", array)
    b = entry_of(tmp_path / "b", array, before=5)
    half = entry_of(tmp_path / "half", array, "float16")
    alias = dataclasses.replace(a, name="other.name")
    assert same_bytes(a, alias)
    assert len({a, alias, b}) == 2
    assert not same_bytes(a, b)
    assert equal(a, b)
    assert equal(a, half)
    assert not equal(a, entry_of(tmp_path / "flat", array.reshape(4, 3)))


def test_aliases_are_equal_without_reading(tmp_path):
    gone = TensorEntry(tmp_path / "gone", 0, (3,), "float32")
    assert equal(gone, dataclasses.replace(gone, name="tied"))


@pytest.mark.parametrize("where", [0, 7, 11])
def test_one_differing_bit_in_any_slice_is_found(tmp_path, monkeypatch, where):
    monkeypatch.setattr(tensors, "COMPARE_BYTES", 16)  # a row
    array = np.zeros((3, 4))
    a, b = entry_of(tmp_path / "a", array), entry_of(tmp_path / "b", array)
    assert equal(a, b)
    array.flat[where] = -0.0
    entry_of(tmp_path / "b", array)
    assert not equal(a, b)


def test_nan_is_equal_to_itself(tmp_path):
    array = np.array([np.nan, 1.0])
    assert equal(entry_of(tmp_path / "a", array), entry_of(tmp_path / "b", array))


@given(shapes, st.integers(1, 200))
def test_row_slices_cover_all_rows_within_the_limit(shape, limit):
    slices = list(row_slices(shape, limit))
    assert [i for start, stop in slices for i in range(start, stop)] == list(range(shape[0] if shape else 1))
    row = 4 * int(np.prod(shape[1:], dtype=int))
    assert all((stop - start) * row <= max(limit, row) for start, stop in slices)


def test_sizes():
    entry = TensorEntry(Path("f"), 0, (3, 5), "bfloat16")
    assert (entry.size, entry.nbytes) == (15, 30)
    assert TensorEntry(Path("f"), 0, (), "int64").nbytes == 8


@given(st.lists(st.integers(0, 29), max_size=12), st.tuples(bounds, bounds), st.sampled_from(["float32", "bfloat16"]))
def test_rows_are_those_of_numpy(tmp_path_factory, rows, part, dtype):
    array = np.arange(90).reshape(30, 3)
    entry = entry_of(tmp_path_factory.getbasetemp() / "rows", array, dtype, 3)
    some = take_rows(entry, tuple(rows))
    assert some.shape == (len(rows), 3)
    expected = stored(array, dtype)[1][rows][slice(*part)]
    assert np.array_equal(read(some, *part), expected.reshape(-1, 3))
    assert some == take_rows(entry, tuple(rows))
    assert some != entry


def test_rows_of_a_view_and_over_many_windows(tmp_path, monkeypatch):
    array = np.arange(400).reshape(8, 50)
    whole = entry_of(tmp_path / "w.bin", array)
    view = dataclasses.replace(whole, shape=(50, 8), strides=(1, 50))
    rows = (49, 3, 3, 0, 17)
    monkeypatch.setattr(tensors, "CHUNK_BYTES", 100)
    assert np.array_equal(read(take_rows(view, rows)), array.T[list(rows)])
    assert np.array_equal(read(take_rows(whole, (7, 0)), 1), array[[0]])
