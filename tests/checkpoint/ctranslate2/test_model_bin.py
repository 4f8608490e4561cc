import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctranslate2_models import write_model_bin
from quartet.checkpoint import read, same_bytes
from quartet.checkpoint.ctranslate2.model_bin import index_file
from quartet.checkpoint.tensors import row_range, take_rows, with_zeros
from quartet.errors import CheckpointError

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.bin"


def test_variables_numbers_and_aliases(path):
    write_model_bin(path, {"a/weight": MATRIX, "a/heads": np.int16(8)}, {"b/weight": "a/weight"}, "WhisperSpec", 3)
    model = index_file(path)
    assert (model.kind, model.revision) == ("WhisperSpec", 3)
    assert model.variables.keys() == {"a/weight", "a/heads", "b/weight"}
    assert read(model.variables["a/weight"]).tolist() == MATRIX.tolist()
    assert read(model.variables["a/heads"]) == 8
    assert same_bytes(model.variables["a/weight"], model.variables["b/weight"])


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 9), st.integers(0, 9), st.randoms(use_true_random=False))
def test_int8_rows_are_divided_by_their_scale_in_any_slice(tmp_path_factory, rows, columns, start, stop, random):
    path = tmp_path_factory.mktemp("int8") / "model.bin"
    codes = np.array([[random.randint(-127, 127) for _ in range(columns)] for _ in range(rows)], np.int8)
    scale = np.array([random.uniform(0.5, 300) for _ in range(rows)], np.float32)
    write_model_bin(path, {"m/weight": codes, "m/weight_scale": scale})
    entry = index_file(path).variables["m/weight"]
    expected = codes.astype(np.float32) / scale[:, None]
    np.testing.assert_array_equal(read(entry, start, stop), expected[start:stop])
    first, last = sorted((min(start, rows), min(stop, rows)))
    np.testing.assert_array_equal(read(row_range(entry, first, last)), expected[first:last])
    order = tuple(random.randrange(rows) for _ in range(5))
    np.testing.assert_array_equal(read(take_rows(entry, order)), expected[list(order)])
    padded = with_zeros(entry, (rows + 2, columns))
    np.testing.assert_array_equal(read(padded), np.concatenate([expected, np.zeros((2, columns))]))
    np.testing.assert_array_equal(read(padded, start, stop), read(padded)[start:stop])
    np.testing.assert_array_equal(read(take_rows(padded, (rows + 1, 0))), read(padded)[[rows + 1, 0]])


def test_int16_has_one_scale(path):
    codes = np.array([[1024, -512], [3, 0]], np.int16)
    write_model_bin(path, {"m/weight": codes, "m/weight_scale": np.float32(512)})
    assert read(index_file(path).variables["m/weight"]).tolist() == [[2, -1], [3 / 512, 0]]


def test_int8_of_a_convolution_has_a_scale_per_row(path):
    codes = np.arange(12, dtype=np.int8).reshape(2, 2, 3)
    write_model_bin(path, {"c/weight": codes, "c/weight_scale": np.array([2, 4], np.float32)})
    found = read(index_file(path).variables["c/weight"])
    np.testing.assert_array_equal(found, codes / np.array([2, 4]).reshape(2, 1, 1))


BAD = {
    "int8 without scale": ({"w": np.zeros((2, 2), np.int8)}, {}, "int8 .* has no scale"),
    "a scale per column": (
        {"w": np.zeros((2, 3), np.int8), "w_scale": np.ones(3, np.float32)},
        {},
        r"has a scale of shape \[3\]",
    ),
    "an alias of nothing": ({"w": MATRIX}, {"aliases": {"b": "v"}}, "'b' stands for 'v', which it does not have"),
    "an older version": ({"w": MATRIX}, {"version": 5}, "binary version 5, or is no CTranslate2 model; version 6 is"),
    "a newer version": ({"w": MATRIX}, {"version": 7}, "binary version 7, or is no CTranslate2 model; version 6 is"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused(path, case):
    made, options, message = BAD[case]
    write_model_bin(path, made, **options)
    with pytest.raises(CheckpointError, match=message):
        index_file(path)


def test_a_file_cut_anywhere_is_refused(path):
    write_model_bin(path, {"a/weight": MATRIX, "a/heads": np.int16(8)}, {"b/weight": "a/weight"})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"truncated|no CTranslate2 model"):
            index_file(path)


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_noise_is_refused_or_read_but_never_breaks(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "model.bin"
    path.write_bytes(b"\6\0\0\0" + noise)
    with pytest.raises(CheckpointError):
        index_file(path)


def test_a_pointer_of_git_lfs_is_named(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(CheckpointError, match="git-lfs pointer"):
        index_file(path)
