import mmap
import sys

import numpy as np
import pytest

from quartet.runtime.machine import pages


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are given back on Linux only")
def test_addresses_that_belong_to_somebody_else_by_now_are_left_alone(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(1 << 16))
    with path.open("rb") as file:
        weights = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found = pages.mapped_pages([path])
    assert len(found) == 1
    weights.close()
    others = [mmap.mmap(-1, 1 << 16) for _ in range(64)]
    for other in others:
        other[:] = b"x" * (1 << 16)
    pages.give_back(found)
    assert all(other[:] == b"x" * (1 << 16) for other in others)


@pytest.mark.parametrize("size", [0, 1, 5000, pages.AT_ONCE + 5])
def test_a_file_that_is_cached_in_large_pages_stays_what_it_is(tmp_path, size):
    content = (np.arange(size) % 251).astype(np.uint8).tobytes()
    (tmp_path / "data").write_bytes(content)
    pages.forget(tmp_path / "data")
    pages.read_in_large_pages(tmp_path / "data")
    assert (tmp_path / "data").read_bytes() == content


def test_a_file_that_cannot_be_cached_otherwise_is_left(tmp_path, monkeypatch):
    (tmp_path / "data").write_bytes(b"weights")
    monkeypatch.setattr(pages, "MADV_POPULATE_READ", 9999)  # an older kernel
    pages.read_in_large_pages(tmp_path / "data")
    pages.read_in_large_pages(tmp_path / "missing")
    assert (tmp_path / "data").read_bytes() == b"weights"
