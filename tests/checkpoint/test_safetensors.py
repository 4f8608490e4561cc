import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoint_files import write_safetensors, write_safetensors_raw
from quartet.checkpoint import read
from quartet.checkpoint.safetensors import index, index_file
from quartet.errors import CheckpointError

ARRAYS = {
    "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 5), np.float32),
    "position_ids": np.arange(7, dtype=np.int64),
    "mask": np.array([True, False]),
}


def header(**changes):
    """A header of one float32 tensor of 6 elements."""
    return json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}}).encode()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_what_is_written_is_read(tmp_path, dtype):
    write_safetensors(tmp_path / "model.safetensors", ARRAYS, dtype)
    tensors = index(tmp_path)
    assert tensors.keys() == ARRAYS.keys()
    assert tensors["matrix"].dtype == dtype
    assert tensors["position_ids"].dtype == "int64"
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read(tensors[name]), array.astype(np.float32))


def test_a_file_by_the_formats_own_writer(tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason="needs the safetensors package")
    library.save_file(ARRAYS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    tensors = index(tmp_path)
    assert tensors.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read(tensors[name]), array.astype(np.float32))


BAD_HEADERS = {
    "not JSON": (b"{not json", "corrupt header"),
    "not UTF-8": (b'{"\xff": 1}', "corrupt header"),
    "not an object": (b"[1, 2]", "holds a list"),
    "nested too deeply": (b'{"a":' * 100_000, "nested too deeply"),
    "an integer without end": (b'{"a":' + b"9" * 5000 + b"}", "corrupt header"),
    "a name twice": (b'{"w": {}, "w": {}}', "'w' comes twice"),
    "no fields": (b'{"w": {}}', "no proper dtype, shape and data_offsets"),
    "a tensor that is a list": (b'{"w": [1]}', "no proper dtype"),
    "negative dimension": (header(shape=[-2, -3]), "no proper dtype"),
    "boolean dimension": (header(shape=[True, 6]), "no proper dtype"),
    "fractional dimension": (header(shape=[2.0, 3]), "no proper dtype"),
    "overflowing dimensions": (header(shape=[0, 2**62, 2**62], data_offsets=[0, 0]), "no proper dtype"),
    "a hundred dimensions": (header(shape=[2, 3] + [1] * 98), "no proper dtype"),
    "one offset": (header(data_offsets=[0]), "no proper dtype"),
    "offsets beyond the file": (header(shape=[2, 4], data_offsets=[0, 32]), "bytes 0 to 32 of 24"),
    "offsets before the data": (header(data_offsets=[-24, 0]), "bytes -24 to 0"),
    "offsets in the wrong order": (header(data_offsets=[24, 0]), "bytes 24 to 0"),
    "shape and offsets disagree": (header(shape=[2, 2]), r"F32 \[2, 2\] but 24 bytes"),
    "a type that is not read": (header(dtype="F8_E4M3"), "'w' has type 'F8_E4M3'; what is read is F64, F32"),
    "line breaks in a name": (b'{"a\\nb": {}}', r"'a\\nb' has no proper"),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_a_bad_header_is_one_line_that_names_the_file(tmp_path, case):
    text, message = BAD_HEADERS[case]
    path = tmp_path / "model.safetensors"
    write_safetensors_raw(path, text, b"\0" * 24)
    with pytest.raises(CheckpointError, match=message) as raised:
        index(tmp_path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"1234567", struct.pack("<Q", 3), struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 100_000_001) + b"{}"],
)
def test_a_header_longer_than_the_file(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated or no safetensors file"):
        index(tmp_path)


def test_a_header_longer_than_the_limit_is_not_read(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 33))
    with path.open("r+b") as file:
        file.truncate(1 << 34)  # sparse
    with pytest.raises(CheckpointError, match="truncated or no safetensors file"):
        index(tmp_path)


def test_a_pointer_left_by_git_is_named(tmp_path):
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 7\n")
    with pytest.raises(CheckpointError, match="git-lfs pointer"):
        index(tmp_path)


def test_every_truncation_is_noticed_when_indexing(tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": ARRAYS["matrix"], "b": ARRAYS["matrix"]})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            index(tmp_path)


@settings(max_examples=300)
@given(st.data())
def test_random_damage_raises_nothing_else(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    write_safetensors(path, ARRAYS)
    content = bytearray(path.read_bytes())
    end = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        tensors = index_file(path)
    except CheckpointError as error:
        assert "\n" not in str(error)  # noqa: PT017 - that there is an error is not what is asserted
    else:
        for entry in tensors.values():
            assert read(entry).shape == entry.shape


# ---- shards -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sharded(tmp_path):
    """Two shards with their index; the fixture is a function that writes the index anew."""
    write_safetensors(tmp_path / "model-1.safetensors", {"a": np.ones(2, np.float32), "b": np.zeros(3, np.float32)})
    write_safetensors(tmp_path / "model-2.safetensors", {"c": np.full(4, 7, np.float32)})

    def write_index(**changes):
        weight_map = {"a": "model-1.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors", **changes}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    write_index()
    return write_index


def test_shards_are_read_as_one(tmp_path, sharded):
    tensors = index(tmp_path)
    assert sorted(tensors) == ["a", "b", "c"]
    assert read(tensors["c"]).tolist() == [7, 7, 7, 7]


def test_a_missing_shard_is_named(tmp_path, sharded):
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors is missing: model\.safetensors\.index\.json"):
        index(tmp_path)


def test_an_index_that_names_a_tensor_that_the_shard_has_not(tmp_path, sharded):
    sharded(d="model-2.safetensors")
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors holds 'd', which it does not"):
        index(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "a/b", "", "\ud800"])
def test_an_index_with_names_that_no_file_has(name, tmp_path, sharded):
    sharded(d=name)
    with pytest.raises(CheckpointError, match=r"names '.*, which is not a file of the same folder") as caught:
        index(tmp_path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", [5, None, ["model-1.safetensors"], {}])
def test_an_index_with_other_things_than_names(name, tmp_path, sharded):
    sharded(d=name)
    with pytest.raises(CheckpointError, match='has no "weight_map" of tensor names to file names'):
        index(tmp_path)


def test_an_index_that_names_the_wrong_shard(tmp_path, sharded):
    sharded(a="model-2.safetensors")
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors holds 'a', which it does not"):
        index(tmp_path)


def test_a_tensor_in_two_shards(tmp_path, sharded):
    write_safetensors(tmp_path / "model-2.safetensors", {"c": np.ones(1, np.float32), "a": np.ones(1, np.float32)})
    with pytest.raises(CheckpointError, match=r"'a' is in model-1\.safetensors and again in model-2\.safetensors"):
        index(tmp_path)


@pytest.mark.parametrize("outside", ["../model-1.safetensors", "/etc/passwd", "sub/model.safetensors", "..", ""])
def test_an_index_that_points_out_of_its_folder(tmp_path, sharded, outside):
    sharded(c=outside)
    with pytest.raises(CheckpointError, match=r"not a file of the same folder|is missing"):
        index(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 3}}']
)
def test_an_index_that_is_none(tmp_path, sharded, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"index\.json is not a JSON object|has no \"weight_map\"|3 is missing"):
        index(tmp_path)
