import ctypes
import mmap
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from quartet.runtime.machine import pages

on_linux = pytest.mark.skipif(not pages.ON_LINUX, reason="pages are given back on Linux only")


def opened(path):
    """A private mapping, as ONNX Runtime makes them."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)


def resident(mapping):
    """Bytes of a mapping that are in memory."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.startswith(f"{mapping.start:x}-"):
            return 1024 * next(int(text.split()[1]) for text in lines if text.startswith("Rss:"))
    return None


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "packed" / "weights"
    path.parent.mkdir()
    path.write_bytes(b"w" * (1 << 20))
    return path


@on_linux
def test_only_what_is_opened_under_the_second_name_is_found(weights):
    """Whoever opens the same file meanwhile may close it before the session is gone."""
    before = opened(weights)
    with pages.own_names(weights.parent, ["weights"]) as folder:
        meanwhile, own = opened(weights), [opened(folder / "weights"), opened(folder / "weights")]
        found = pages.mappings_of(folder / "weights")
    assert [mapping.length for mapping in found] == [1 << 20] * 2
    assert {path.name for path in weights.parent.parent.iterdir()} == {"packed"}
    del before, meanwhile, own


@on_linux
def test_two_who_open_at_once_find_their_own(weights, tmp_path):
    (tmp_path / "link").symlink_to(weights.parent)
    with pages.own_names(weights.parent, ["weights"]) as one, pages.own_names(tmp_path / "link", ["weights"]) as other:
        own, others = opened(one / "weights"), [opened(other / "weights") for _ in range(2)]
        assert len(pages.mappings_of(one / "weights")) == 1
        assert len(pages.mappings_of(other / "weights")) == 2
    del own, others


@on_linux
def test_memory_in_the_place_of_somebody_elses_mapping_stays(weights):
    """It was mapped while a session was opened, and closed before the session: its address is another one's by now."""
    with pages.own_names(weights.parent, ["weights"]) as folder:
        other = opened(weights)
        (place,) = (line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(weights)))
        found = pages.mappings_of(folder / "weights")
    start = int(place.split("-")[0], 16)
    other.close()
    library = pages.c_library()
    numbers = (ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    map_at = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, *numbers)(("mmap", library))
    taken = map_at(start, 1 << 20, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100000, -1, 0)  # NOREPLACE
    assert taken == start
    ctypes.memset(start, 7, 1 << 20)
    pages.give_back(found)
    assert ctypes.string_at(start, 1 << 20) == b"\7" * (1 << 20)


@on_linux
def test_what_is_given_back_is_read_again(weights):
    with pages.own_names(weights.parent, ["weights"]) as folder:
        own = opened(folder / "weights")
        found = pages.mappings_of(folder / "weights")
    (mapping,) = found
    assert own[:] == b"w" * (1 << 20)
    assert resident(mapping) == 1 << 20
    pages.give_back(found)
    assert resident(mapping) == 0
    assert own[:] == b"w" * (1 << 20)


@on_linux
def test_what_was_written_to_is_not_found(weights):
    with pages.own_names(weights.parent, ["weights"]) as folder:
        with (folder / "weights").open("rb") as file:
            own = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        own[0] = 1
        assert pages.mappings_of(folder / "weights") == ()


def test_where_no_second_name_can_be_the_first_one_has_to_do(weights, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    with pages.own_names(weights.parent, ["weights"]) as folder:
        assert folder == weights.parent


def test_what_cannot_be_looked_up_is_not_found(weights, monkeypatch):
    monkeypatch.setattr(pages, "_lines", lambda _: [])
    with pages.own_names(weights.parent, ["weights"]) as folder:
        own = opened(folder / "weights")
        assert pages.mappings_of(folder / "weights") == ()
    del own


def test_an_untouched_array_takes_only_what_is_written():
    array = pages.untouched((64, 1 << 20), np.float32)
    assert array.shape == (64, 1 << 20)
    assert array.dtype == np.float32
    array[3, :5] = 7
    assert array[3, :6].tolist() == [7] * 5 + [0]
    if sys.platform.startswith("linux"):
        start = array.__array_interface__["data"][0]
        assert resident(pages.Mapping(start, array.nbytes)) <= 1 << 16
