"""Whether the numbers of a tensor can be weights of a model that was trained. Most formats have no checksum.

A weight in which one bit is wrong is either a little off, which does no harm, or off by many powers of two: that is
the highest bit of the exponent of a number below one. Random bytes read as floats are no better. Both show here.
"""

from typing import NoReturn

import numpy as np

from quartet.arrays import Floats
from quartet.checkpoint.shards import brief
from quartet.checkpoint.tensors import TensorEntry
from quartet.errors import CheckpointError

LARGEST = 1e10  # magnitude of a weight; measured: 37 at most (opus-mt, whisper-base), and masks of -1e9 are known
# A matrix's largest weight is at once larger than this, and so many times larger than a middling one that is not zero.
# Measured: 5 and 151 at most (opus-mt, whisper-base, the demo).
LARGE, OUTLIER = 32.0, 1e4
SAMPLE = 4096  # weights that the middling one is taken from


def refuse_damaged(entry: TensorEntry, rows: Floats, first: int = 0) -> None:
    """Raise `CheckpointError` where `rows`, those of a tensor from `first` on, hold what no trained model has.

    That is a number that is not finite, a huge one, or, in a matrix, one far larger than all others.
    """
    if not rows.size:
        return
    magnitudes = np.abs(rows)
    largest = float(magnitudes.max())  # NaN where any is
    if not largest <= LARGEST:
        _refuse(entry, rows, ~(magnitudes <= LARGEST), first)
    if rows.ndim > 1 and largest > LARGE:
        sample = magnitudes.reshape(-1)[:: rows.size // SAMPLE + 1]
        most = OUTLIER * float(np.median(sample[sample > 0])) if sample.any() else LARGEST
        if largest > most:
            _refuse(entry, rows, magnitudes > most, first)


def _refuse(entry: TensorEntry, rows: Floats, wrong: np.ndarray, first: int) -> NoReturn:
    place = np.argwhere(wrong)[0]
    shown = [int(i) + (first if axis == 0 else 0) for axis, i in enumerate(place)]
    raise CheckpointError(
        f"{entry.path} is damaged, or no trained model: {brief(entry.name)} holds {rows[tuple(place)]:g} at {shown}"
    )
