"""What is derived from a model is told from what has changed since, and from what is not quartet's."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet import derived
from quartet.derived import MARK, claim, damage, is_marked, seal

NEEDED = ("graph.onnx", "weights.data")


@pytest.fixture(autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(derived, "BLOCK", 64)
        yield


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "sealed"
    folder.mkdir()
    (folder / "graph.onnx").write_bytes(random.Random(0).randbytes(1000))
    (folder / "weights.data").write_bytes(random.Random(1).randbytes(6001))
    seal(folder, "a model")
    return folder


def change(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_what_is_as_it_was_made_is_intact(sealed: Path) -> None:
    assert damage(sealed, "a model", NEEDED) is None
    assert damage(sealed, "a model", NEEDED, wholly=True) is None


@pytest.mark.parametrize("place", [0, 63, 64, 3000, 5999, 6000])
def test_any_changed_byte_is_found_wholly(sealed: Path, place: int) -> None:
    change(sealed / "weights.data", place)
    assert damage(sealed, "a model", NEEDED, wholly=True) == "weights.data has changed since it was made"


def test_the_beginning_is_always_looked_at(sealed: Path) -> None:
    change(sealed / "weights.data", 5)
    assert damage(sealed, "a model", NEEDED) == "weights.data has changed since it was made"


def test_other_places_are_looked_at_sooner_or_later(sealed: Path) -> None:
    """3 of 93 blocks at a time: 600 times miss one with a chance of 3e-9."""
    change(sealed / "weights.data", 4000)
    found = [damage(sealed, "a model", NEEDED) for _ in range(600)]
    assert any(found)
    assert not all(found)


def test_only_so_much_of_large_files_is_read(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    hash_of = derived._hash
    monkeypatch.setattr(derived, "_hash", lambda block: (hashed.append(len(block)), hash_of(block))[1])
    assert damage(sealed, "a model", ["weights.data"]) is None
    assert sum(hashed[1:]) <= 1000 + derived.SAMPLED * derived.BLOCK


@pytest.mark.parametrize("place", [0, 500, 999])
def test_a_graph_is_always_looked_at_wholly(sealed: Path, place: int) -> None:
    """ONNX Runtime takes what it says on trust."""
    change(sealed / "graph.onnx", place)
    assert damage(sealed, "a model", NEEDED) == "graph.onnx has changed since it was made"


def test_the_caller_s_random_numbers_stay_as_they_were(sealed: Path) -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    damage(sealed, "a model", NEEDED)
    assert random.random() == expected


@pytest.mark.parametrize("size", [0, 100, 6000, 6002])
def test_another_size(sealed: Path, size: int) -> None:
    content = (sealed / "weights.data").read_bytes()
    (sealed / "weights.data").write_bytes((content * 2)[:size])
    assert damage(sealed, "a model", NEEDED) == "weights.data has changed since it was made"


def test_what_belongs_to_something_else(sealed: Path) -> None:
    assert damage(sealed, "another model", NEEDED) == f"{MARK} is of something else"


def test_what_is_needed_has_to_be_there(sealed: Path) -> None:
    assert damage(sealed, "a model", [*NEEDED, "more.onnx"]) == f"{MARK} does not name more.onnx"
    (sealed / "graph.onnx").unlink()
    assert damage(sealed, "a model", NEEDED) == "graph.onnx has changed since it was made"
    (sealed / "graph.onnx").mkdir()
    assert damage(sealed, "a model", NEEDED) == "graph.onnx has changed since it was made"


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", ".", ""])
def test_a_mark_that_names_other_places(sealed: Path, name: str) -> None:
    mark = json.loads((sealed / MARK).read_text())
    mark["files"][name] = mark["files"]["graph.onnx"]
    mark["hash"] = derived._hash(json.dumps(mark["files"]).encode())
    (sealed / MARK).write_text(json.dumps(mark))
    assert damage(sealed, "a model", NEEDED) == f"{MARK} names what is not in its folder"


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"of": 1}', b"[" * 100_000, b"\xff\xfe", b"{}"])
def test_a_damaged_mark(sealed: Path, text: bytes) -> None:
    (sealed / MARK).write_bytes(text)
    assert damage(sealed, "a model", NEEDED)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@given(part=st.sampled_from(["of", "block", "files", "hash", "graph.onnx", "bytes", "blocks"]), value=JSON)
def test_a_mark_with_anything_in_it_is_damaged(
    tmp_path_factory: pytest.TempPathFactory, part: str, value: object
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "graph.onnx").write_bytes(b"graph")
    seal(folder, "a model")
    mark = json.loads((folder / MARK).read_text())
    holder = mark if part in mark else mark["files"] if part == "graph.onnx" else mark["files"]["graph.onnx"]
    if holder[part] == value:
        return
    holder[part] = value
    (folder / MARK).write_text(json.dumps(mark))
    assert damage(folder, "a model", ["graph.onnx"])


def test_a_mark_s_own_size_is_bounded(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "LARGEST_MARK", 100)
    assert damage(sealed, "a model", NEEDED) == f"{MARK} is damaged"


def test_marked_is_what_quartet_has_made(sealed: Path, tmp_path: Path) -> None:
    assert is_marked(sealed)
    (sealed / MARK).write_text("damaged, but still a mark")
    assert is_marked(sealed)
    (tmp_path / "link").symlink_to(sealed)
    assert not is_marked(tmp_path / "link")
    assert not is_marked(tmp_path)
    claim(tmp_path)
    assert is_marked(tmp_path)
