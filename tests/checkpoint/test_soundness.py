"""What no trained model has is told from what trained and random models have."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.checkpoint import open_checkpoint, read
from quartet.checkpoint.soundness import refuse_damaged
from quartet.checkpoint.tensors import TensorEntry
from quartet.errors import CheckpointError

ENTRY = TensorEntry(Path("model.safetensors"), 0, (40, 30), "float32", name="fc1.weight")


def normal(seed: int, scale: float = 0.05) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=ENTRY.shape) * scale).astype(np.float32)


@given(st.integers(0, 2**32), st.floats(1e-6, 1e3), st.booleans())
def test_random_weights_of_any_scale_are_sound(seed: int, scale: float, sparse: bool) -> None:
    rows = normal(seed, scale)
    if sparse:
        rows[1:] = 0
    refuse_damaged(ENTRY, rows)


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((3, 4)),
        np.ones((3, 4)),
        np.eye(50) * 9,
        np.zeros((0, 4)),
        np.full(5, -1e9),
        np.diag([1e-9] * 9 + [1e-3]),
    ],
)
def test_odd_weights_that_are_sound(rows: np.ndarray) -> None:
    refuse_damaged(ENTRY, rows.astype(np.float32))


@given(st.integers(0, 2**32), st.integers(0, 1199))
def test_the_highest_bit_of_an_exponent(seed: int, place: int) -> None:
    """The one bit of a float32 below one whose turning ruins a model."""
    rows = normal(seed)
    rows.reshape(-1).view(np.uint32)[place] ^= 1 << 30
    row, column = divmod(place, 30)
    with pytest.raises(
        CheckpointError, match=rf"model\.safetensors is damaged, .*'fc1\.weight' holds .* at \[{row}, {column}\]"
    ):
        refuse_damaged(ENTRY, rows)


@given(st.integers(0, 2**32), st.integers(0, 1199))
def test_the_highest_bit_of_an_exponent_in_float16(seed: int, place: int) -> None:
    """There it is a factor of 65,536 at most, which is huge beside other weights alone."""
    halves = normal(seed).astype(np.float16)
    halves.reshape(-1)[place] = 0.05
    halves.reshape(-1).view(np.uint16)[place] ^= 1 << 14
    with pytest.raises(CheckpointError, match="is damaged"):
        refuse_damaged(ENTRY, halves.astype(np.float32))


@given(st.integers(0, 2**32))
def test_random_bytes(seed: int) -> None:
    rows = normal(seed)
    rows[3] = np.frombuffer(np.random.default_rng(seed).bytes(4 * 30), np.float32)
    with pytest.raises(CheckpointError, match="is damaged"):
        refuse_damaged(ENTRY, rows)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 3)])
def test_what_is_not_finite_is_named_by_its_row_in_the_tensor(value: float, shape: tuple[int, ...]) -> None:
    rows = np.ones(shape, np.float32)
    rows[2] = value
    with pytest.raises(CheckpointError, match=r"holds .* at \[12"):
        refuse_damaged(ENTRY, rows, first=10)


def test_the_demo_is_sound(demo_checkpoint: Path) -> None:
    for entry in open_checkpoint(demo_checkpoint).tensors.values():
        refuse_damaged(entry, read(entry))
