"""Quantise the matrices of a quartet that was just written with what their inputs are on real sentences.

Each matrix has its place in the data file already, and is put there as soon as the walk through the float32 model has
come by its inputs; nothing but one layer's moments is kept.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from quartet.arrays import Floats
from quartet.conversion.calibration.walk import Batch, Model, Step, walk
from quartet.errors import CheckpointError
from quartet.graph.builder import Builder, Weight
from quartet.graph.writer import column_scales, copy, fill, refusing, slices
from quartet.progress import Progress
from quartet.quantize import gptq
from quartet.quantize.numerics import Blocks, Scheme
from quartet.spec import DECODER, EMBED_AND_LM_HEAD, ModelSpec

HEAD_DAMPING = 0.5  # its rows are embeddings too, where an error counts whatever the head's inputs are


def calibrated_weights(spec: ModelSpec, graphs: Mapping[str, Builder]) -> dict[str, frozenset[str]]:
    """Names of the weights that `requantize` replaces, by file: the quantised matrices of all linear maps.

    A matrix in two planes (`Scheme.planes`) stays as it is, and so does a table that is only looked up.
    """
    tables = {"encoder.embed_tokens.weight"}
    if not spec.tied_head:
        tables.add("decoder.embed_tokens.weight")
    return {
        file: frozenset(
            name
            for name, weight in graph.weights.items()
            if weight.scheme and not weight.scheme.planes and tables.isdisjoint(weight.sources)
        )
        for file, graph in graphs.items()
    }


def requantize(model: Model, batches: list[Batch], progress: Progress, trial: Model | None = None) -> None:
    """Put the GPTQ codes of all `calibrated_weights` in the data files.

    trial: some of the same files by another recipe, in a folder of their own, which get theirs on the same way.

    Raises `CheckpointError` for weights that are not finite.
    """
    names = calibrated_weights(model.spec, model.graphs)
    missing = {(file, name): model.graphs[file].weights[name].nbytes for file in names for name in names[file]}
    total = sum(missing.values())
    for file, weight, moments in _moments(model, batches):
        if (file, weight.name) in missing:
            _fill(model, file, weight, moments, trial)
            del missing[file, weight.name]
            progress(total - sum(missing.values()), total)
    assert not missing, f"no sentence came by {sorted(missing)}"  # zeros may be in their places


def _moments(model: Model, batches: list[Batch]) -> Iterator[tuple[str, Weight, Floats]]:
    """The matrix of every linear map, its file, and the second moments of its inputs."""
    step: Step | None = None
    for step in walk(model, batches, moments=True):
        for name, moments in step.moments.items():
            yield step.file, model.graphs[step.file].weights[name], moments
    assert step is not None
    assert step.file == DECODER
    states = step.hidden()
    head = model.graphs[EMBED_AND_LM_HEAD].weights[
        "/embed_tokens.weight" if model.spec.tied_head else "/lm_head.weight"
    ]
    yield EMBED_AND_LM_HEAD, head, states.T @ states / np.float32(len(states))


def _fill(model: Model, file: str, weight: Weight, moments: Floats, trial: Model | None) -> None:
    scheme = weight.scheme
    assert scheme is not None
    entries = [model.tensors[source] for source in weight.sources]
    scales = column_scales(entries) if scheme.scaled_columns else None
    if scales is not None:
        moments = moments * scales * scales[:, None]
    with refusing(weight.name):
        if not np.isfinite(moments).all():
            raise CheckpointError("some of it, or of what comes before it, is not finite")
        factor = gptq.factor(moments, HEAD_DAMPING if file == EMBED_AND_LM_HEAD else gptq.DAMPING)

    def blocks(scheme: Scheme) -> Iterator[Blocks]:
        for rows in slices(entries, scales):
            with refusing(weight.name):
                found = gptq.quantize(rows, scheme, factor)
            yield found

    fill(model.graphs[file], weight, blocks(scheme), scales, model.folder)
    if trial is None or file not in trial.graphs:
        return
    other = trial.graphs[file].weights[weight.name]
    assert other.scheme is not None
    if other.scheme == scheme:
        copy(weight, (model.graphs[file], model.folder), (trial.graphs[file], trial.folder))
    else:
        fill(trial.graphs[file], other, blocks(other.scheme), scales, trial.folder)
