"""Where one Ogg file ends and the next one begins, by pages alone."""

import io
import random
import struct

from hypothesis import given
from hypothesis import strategies as st

from quartet.audio.ogg_links import BEGINS, Links
from sounds import links_of


def page(content: bytes, flags: int = 0) -> bytes:
    """Not with a right checksum, which nobody looks at here."""
    sizes = [255] * (len(content) // 255) + [len(content) % 255]
    return struct.pack("<4sBBqIIIB", b"OggS", 0, flags, 0, 1, 0, 0, len(sizes)) + bytes(sizes) + content


def link(seed: int, streams: int = 1) -> bytes:
    chance = random.Random(seed)
    begins = b"".join(page(chance.randbytes(chance.randrange(300)), BEGINS) for _ in range(streams))
    return begins + b"".join(page(chance.randbytes(chance.randrange(3000))) for _ in range(chance.randrange(1, 9)))


def told(data: bytes, asked: int, size: int) -> list[bytes]:
    """The links, read so many bytes at a time."""
    return links_of(Links(io.BytesIO(data).read, size), asked)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=4), st.sampled_from([1, 7, 4096]), st.integers(1, 5000))
def test_links_come_one_by_one(seeds, asked, size):
    made = [link(seed, streams=1 + seed % 2) for seed in seeds]
    assert told(b"".join(made), asked, size) == made


@given(st.integers(0, 100), st.integers(0, 2000), st.binary(max_size=300), st.integers(1, 3000))
def test_damage_loses_no_bytes(seed, place, junk, size):
    data = link(seed) + link(seed + 1)
    damaged = data[:place] + junk + data[place + 5 :]
    assert b"".join(told(damaged, 1000, size)) == damaged


@given(st.binary(max_size=500), st.integers(1, 100))
def test_anything_else_is_one_link(data, size):
    if b"OggS" not in data:
        assert told(data, 1000, size) == [data]


def test_what_is_left_of_a_link_can_be_passed_over():
    data = link(1) + link(2)
    parts = iter([data])
    links = Links(lambda size: next(parts, b""), 4096)
    links.read(10)
    assert links.next()
    assert b"".join(iter(lambda: links.read(100), b"")) == link(2)
    assert not links.next()


def test_many_small_pages():
    data = page(b"", BEGINS) + page(b"a") * 20_000
    assert told(data, 1 << 15, 1 << 15) == [data]
