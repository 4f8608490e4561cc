"""Quantise a quartet that was just written once more, matrix by matrix, with what its inputs are on real sentences.

The bytes keep their places and sizes, so that each matrix is replaced in the data file as soon as the walk through
the float32 model has come by its inputs; nothing but one layer's moments is kept.
"""

from collections.abc import Iterator

import numpy as np

from quartet.arrays import Floats
from quartet.conversion.calibration.walk import Batch, Model, Step, walk
from quartet.graph.builder import Weight
from quartet.graph.writer import column_scales, overwrite, slices
from quartet.progress import Progress
from quartet.quantize import gptq
from quartet.quantize.numerics import Blocks
from quartet.spec import DECODER, EMBED_AND_LM_HEAD

HEAD_DAMPING = 0.5  # its rows are embeddings too, where an error counts whatever the head's inputs are


def requantize(model: Model, batches: list[Batch], progress: Progress) -> None:
    """Replace the quantised matrices of all linear maps in the data files by their GPTQ codes.

    A matrix in two planes (`Scheme.planes`) stays as it is.
    """
    quantized = [w for graph in model.graphs.values() for w in graph.weights.values() if _is_wanted(w)]
    total, done = sum(weight.nbytes for weight in quantized), 0
    for file, weight, moments in _moments(model, batches):
        _replace(model, file, weight, moments)
        done += weight.nbytes
        progress(done, total)


def _is_wanted(weight: Weight) -> bool:
    return weight.scheme is not None and not weight.scheme.planes


def _moments(model: Model, batches: list[Batch]) -> Iterator[tuple[str, Weight, Floats]]:
    """Every matrix to be replaced, its file, and the second moments of its inputs."""
    step: Step | None = None
    for step in walk(model, batches, moments=True):
        for name, moments in step.moments.items():
            weight = model.graphs[step.file].weights[name]
            if _is_wanted(weight):
                yield step.file, weight, moments
    assert step is not None
    assert step.file == DECODER
    head = "/embed_tokens.weight" if model.spec.tied_head else "/lm_head.weight"
    if _is_wanted(weight := model.graphs[EMBED_AND_LM_HEAD].weights[head]):
        states = step.hidden()
        yield EMBED_AND_LM_HEAD, weight, states.T @ states / np.float32(len(states))


def _replace(model: Model, file: str, weight: Weight, moments: Floats) -> None:
    scheme = weight.scheme
    assert scheme is not None
    entries = [model.tensors[source] for source in weight.sources]
    scales = column_scales(entries) if scheme.scaled_columns else None
    if scales is not None:
        moments = moments * scales * scales[:, None]
    factor = gptq.factor(moments, HEAD_DAMPING if file == EMBED_AND_LM_HEAD else gptq.DAMPING)

    def blocks() -> Iterator[Blocks]:
        for rows in slices(entries, scales):
            yield gptq.quantize(rows, scheme, factor)

    overwrite(model.graphs[file], weight, blocks(), model.folder)
