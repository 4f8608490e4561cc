"""Where a recording is cut into windows that are decoded together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quartet.transcription.first_pass import divided


def test_long_clips_are_cut_where_nobody_speaks():
    voices = np.ones(3000, np.float32)
    voices[870:930] = 0
    voices[1500:1600] = 0
    parts = divided(((0, None),), voices, 1000)
    assert parts[0][1] in range(870, 930)
    assert parts[1][1] in range(1500, 1600)
    assert divided(((5, 900),), voices, 1000) == ((5, 900),)
    assert divided(((0, 500), (500, 4000), (4000, None)), voices, 3000) == ((0, 500), (500, 3000))
    assert divided(((4000, 5000),), voices, 1000) == ((4000, 5000),)
    assert divided(((0, None),), voices[:0], 1000) == ((0, None),)


@given(st.lists(st.floats(0, 1, width=32), max_size=400), st.lists(st.integers(0, 500)), st.integers(1, 100))
def test_parts_are_the_whole(voices, times, frames):
    times = sorted(times)[: len(times) // 2 * 2]
    clips = tuple(zip(times[::2], times[1::2], strict=True)) or ((0, None),)
    parts = divided(clips, np.array(voices, np.float32), frames)
    wanted = [f for start, end in clips for f in range(start, min(len(voices), len(voices) if end is None else end))]
    got = [f for start, end in parts for f in range(start, min(len(voices), len(voices) if end is None else end))]
    assert got == wanted
    assert not wanted or all(0 < end - start <= frames for start, end in parts)
