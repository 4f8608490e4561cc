from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.audio.mel import STEP, log_mel, mel_filters, normalized

GOLDEN = Path(__file__).parents[1] / "golden" / "mel.npz"


@pytest.mark.parametrize("mels", [80, 128])
def test_equal_to_transformers(mels):
    golden = np.load(GOLDEN)
    found = np.concatenate(list(log_mel([golden["samples"]], mels)), axis=1)
    found = normalized(found, found.max())
    assert found.shape == golden[str(mels)].shape
    assert np.abs(found - golden[str(mels)]).max() < 1e-4


@settings(max_examples=30)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=6))
def test_blocks_make_no_difference(lengths):
    samples = np.random.default_rng(0).normal(size=sum(lengths)).astype(np.float32)
    whole = list(log_mel([samples], 80))
    parts = list(log_mel(np.split(samples, np.cumsum(lengths)[:-1]), 80))
    frames = sum(part.shape[1] for part in parts)
    assert frames == len(samples) // STEP
    if frames:
        assert np.abs(np.concatenate(parts, axis=1) - np.concatenate(whole, axis=1)).max() < 1e-5


def test_filters_cover_all_frequencies():
    filters = mel_filters(80)
    assert filters.shape == (80, 201)
    assert (filters.sum(axis=0)[1:-1] > 0).all()
