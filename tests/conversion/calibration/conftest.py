"""Small checkpoints with a quartet beside them, as the stages after writing get them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tiny
from quartet import families
from quartet.checkpoint import open_checkpoint
from quartet.conversion.calibration.walk import Batch, Model
from quartet.conversion.matching import match_tensors
from quartet.graph import files, writer
from quartet.quantize.recipes import recipe_of
from quartet.runtime.decode import padded

MakeModel = Callable[..., Model]


@pytest.fixture
def model_of(tmp_path: Path) -> MakeModel:
    """The model of a tiny variant, its files written at a precision."""

    def make(variant: str, precision: str = "int4") -> Model:
        checkpoint = open_checkpoint(tiny.make(tmp_path / "checkpoint", variant))
        family = families.find(checkpoint.config)
        spec = family.read_spec(checkpoint.config)
        graphs = files.build(spec, recipe_of(precision))
        tensors = match_tensors(checkpoint, family, spec, graphs)
        (tmp_path / "out").mkdir(exist_ok=True)
        for builder in graphs.values():
            writer.write(builder, tensors, tmp_path / "out", lambda count: None)
        return Model(spec, tensors, tmp_path / "out", graphs)

    return make


def batch_of(variant: str, seed: int = 0) -> Batch:
    """Sources of the variant, and targets of other lengths behind a decoder start."""
    shape = tiny.VARIANTS[variant]
    random = np.random.default_rng(seed)
    sources = tiny.inputs(variant)
    targets = [[shape.eos, *random.integers(5, 80, 3 + i).tolist()] for i in range(len(sources))]
    return Batch(*padded(sources, shape.pad), *padded(targets, shape.pad))
