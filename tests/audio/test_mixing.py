import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.audio.audio import RATE, Wanted, open_audio
from quartet.audio.mixing import STEP, Mixer, joined, to_one


def tone(seconds: float, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def mixed(stereo: np.ndarray, size: int = RATE // 2) -> np.ndarray:
    blocks = [stereo[:, start : start + size] for start in range(0, stereo.shape[1], size)]
    return np.concatenate(list(to_one(blocks, None)))


def test_usual_stereo_is_its_mean():
    random = np.random.default_rng(0)
    left, right = random.normal(0, 0.1, (2, 3 * RATE)).astype(np.float32)
    for pair in ((left, right), (left, left), (left, 0 * left), (left, 0.3 * right + left), (0 * left, 0 * left)):
        stereo = np.stack(pair)
        assert np.allclose(mixed(stereo), stereo.mean(0), atol=1e-7)


def test_channels_that_cancel_out_are_heard():
    left = tone(3)
    assert np.abs(mixed(np.stack([left, -left])) - left).max() < 1e-6
    assert np.abs(mixed(np.stack([left, -0.9 * left]))).max() > 0.45


def test_going_over_does_not_click():
    left = tone(4)
    right = left * np.where(np.arange(len(left)) // RATE % 2 == 0, 1, -1)
    found = mixed(np.stack([left, right]))
    assert np.abs(np.diff(found)).max() < 1.2 * np.abs(np.diff(left)).max()
    loud = np.sqrt(np.mean(found.reshape(-1, STEP) ** 2, axis=1))
    assert np.sum(loud < 0.2) <= 2 * 3  # a step or two where it goes over


def test_blocks_of_any_size_give_the_same_for_what_does_not_change():
    left = tone(2)
    for size in (100, STEP, 7001):
        assert np.allclose(mixed(np.stack([left, -left]), size), left, atol=1e-6)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 3000)), max_size=20), st.integers(1, 5000))
def test_nothing_is_lost_where_channels_change(shapes, size):
    pieces = [np.full((channels, count), channels, np.float32) for channels, count in shapes]
    blocks = list(joined(pieces, size))
    assert sum(block.shape[1] for block in blocks) == sum(count for _, count in shapes)
    found = [*to_one(blocks, None), np.zeros(0)]
    assert np.array_equal(np.concatenate(found), np.repeat(*np.array(shapes, int).reshape(-1, 2).T))


def test_a_channel_alone():
    left, right = tone(1), tone(1, 880)
    for source in (np.stack([left, right]), np.stack([left, right], axis=1)):
        for channel, expected in enumerate((left, right)):
            found = np.concatenate(list(open_audio(source, wanted=Wanted(channel=channel)).play()))
            assert np.array_equal(found, expected)
    one = list(to_one([np.stack([left, right]), left[None]], 1))
    assert np.array_equal(np.concatenate(one), np.concatenate([right, 0 * left]))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, np.int32])
def test_arrays_that_cancel_out_are_heard(kind):
    left = tone(2)
    if np.issubdtype(kind, np.integer):
        left = (left * np.iinfo(kind).max).astype(kind)
    found = np.concatenate(list(open_audio(np.stack([left, -left]).astype(kind)).play()))
    assert np.abs(found - tone(2)).max() < 1e-3


def test_an_empty_block():
    assert len(Mixer().mixed(np.zeros((2, 0), np.float32))) == 0
