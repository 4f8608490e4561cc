import mmap
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
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
    path = tmp_path / "weights"
    path.write_bytes(b"w" * (1 << 20))
    return path


@on_linux
def test_only_what_is_opened_meanwhile_is_found(weights):
    before = opened(weights)
    with pages.new_mappings(weights) as found:
        own = [opened(weights), opened(weights)]
    after = opened(weights)
    assert [mapping.length for mapping in found] == [1 << 20] * 2
    del before, own, after


@on_linux
def test_what_another_thread_maps_to_read_it_is_not_found(weights):
    """It will be gone before the session that is being opened, and its place somebody else's."""
    with pages.new_mappings(weights) as found, weights.open("rb") as file:
        other = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert found == []
    del other


@on_linux
def test_one_file_by_two_names_is_opened_in_turns(weights, tmp_path):
    (tmp_path / "link").symlink_to(weights)
    inside = threading.Event()

    def wait() -> list[pages.Mapping]:
        with pages.new_mappings(tmp_path / "link") as found:
            inside.set()
        return found

    with ThreadPoolExecutor(1) as pool:
        with pages.new_mappings(weights) as found:
            other = pool.submit(wait)
            assert not inside.wait(0.2)
            own = opened(weights)
        assert other.result() == []
    assert len(found) == 1
    del own


@on_linux
def test_what_is_given_back_is_read_again(weights):
    with pages.new_mappings(weights) as found:
        own = opened(weights)
    (mapping,) = found
    assert own[:] == b"w" * (1 << 20)
    assert resident(mapping) == 1 << 20
    pages.give_back(tuple(found))
    assert resident(mapping) == 0
    assert own[:] == b"w" * (1 << 20)


@on_linux
def test_what_was_written_to_is_not_found(weights):
    with pages.new_mappings(weights) as found, weights.open("rb") as file:
        own = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        own[0] = 1
    assert found == []


def test_an_untouched_array_takes_only_what_is_written():
    array = pages.untouched((64, 1 << 20), np.float32)
    assert array.shape == (64, 1 << 20)
    assert array.dtype == np.float32
    array[3, :5] = 7
    assert array[3, :6].tolist() == [7] * 5 + [0]
    if sys.platform.startswith("linux"):
        start = array.__array_interface__["data"][0]
        assert resident(pages.Mapping(start, array.nbytes)) <= 1 << 16
