"""Choose where bits go, for a quartet that was written by its recipe: the same bytes, spread by what matrices harm.

The harm of each matrix is measured on sentences that GPTQ has not seen, the choice made (`quantize.choice`), and the
layers written once more, beside those that are there. Both are compared on other sentences again, as they would run;
the recipe stays where the choice is not clearly better.
"""

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from quartet.arrays import Floats
from quartet.conversion.calibration.divergence import Reference, divergences, reference
from quartet.conversion.calibration.requantize import calibrated_weights, requantize
from quartet.conversion.calibration.sensitivity import harms, products
from quartet.conversion.calibration.walk import Batch, Model, Step, walk
from quartet.conversion.describe import Blueprint
from quartet.graph import files, writer
from quartet.graph.builder import Builder, Weight
from quartet.progress import Progress
from quartet.quantize.choice import HARM, Budget, Matrix, choose, time_of
from quartet.quantize.numerics import Scheme
from quartet.quantize.recipes import Recipe, fitting
from quartet.spec import CACHE_INITIALIZER, DECODER, ENCODER, Choice, Manifest, MatrixBits, ModelSpec, unhashed

LAYERS = (ENCODER, CACHE_INITIALIZER, DECODER)  # the files that are searched
MOST_PRODUCTS = 6_000_000_000_000  # a few minutes of one core
BETTER = 0.95  # of the recipe's divergence, at most, on sentences that chose nothing
TRIAL = "trial"

log = logging.getLogger("quartet")


@dataclass(frozen=True)
class Texts:
    """Sentences for the search: to calibrate with, to choose by, and to compare on; none is in two of them."""

    calibration: list[Batch]
    choice: list[Batch]
    check: list[Batch]


def is_affordable(spec: ModelSpec, tokens: int) -> bool:
    """Whether the search takes minutes at most with this many tokens to choose by."""
    return products(spec) * tokens <= MOST_PRODUCTS


def search(
    blueprint: Blueprint, folder: Path, manifest: Manifest, texts: Texts, progress: Progress
) -> tuple[Blueprint, Manifest]:
    """The blueprint and the manifest with the better bits of both; `folder` has what was written by the recipe.

    Raises `CheckpointError` for weights that are not finite.
    """
    model = Model(blueprint.spec, blueprint.tensors, folder, blueprint.graphs)
    recipe = blueprint.recipe
    measured = harms(model, texts.choice, recipe.choices[0], progress)
    matrices = [_matrix(recipe, *place, measured) for place in _places(model)]
    found = choose(matrices, _budget(matrices, model))
    if found is None:
        return blueprint, manifest
    chosen = replace(recipe, chosen=found)
    trial = _written(model, chosen, folder / TRIAL)
    requantize(trial, texts.calibration, progress, _changed(model, trial))
    expected = _expected(model, texts.check)
    before, after = (_divergence(m, r, texts.check, expected) for m, r in ((model, recipe), (trial, chosen)))
    is_better = after < before * BETTER
    if is_better:
        blueprint = replace(blueprint, recipe=chosen, graphs=trial.graphs)
        manifest = _moved(trial, folder, manifest)
    shutil.rmtree(trial.folder)
    bits = tuple(MatrixBits(name, scheme.bits, scheme.block_size) for name, scheme in found.items() if is_better)
    choice = Choice(len(expected.states), before, after, bits)
    return blueprint, replace(manifest, choice=choice)


def _places(model: Model) -> list[tuple[str, Weight]]:
    """The matrices of all linear maps in layers, with their files."""
    maps = calibrated_weights(model.spec, model.graphs)
    return [(file, model.graphs[file].weights[name]) for file in LAYERS for name in sorted(maps[file])]


def _matrix(recipe: Recipe, file: str, weight: Weight, measured: Mapping[str, float]) -> Matrix:
    rows, columns = len(weight.sources) * weight.source_shape[0], weight.source_shape[1]
    fitted = [scheme for choice in recipe.choices if (scheme := fitting(choice, columns)) is not None]
    sizes = {scheme: int(replace(weight, scheme=scheme).nbytes) for scheme in fitted}
    harm = measured[weight.name] / HARM[4, fitted[0].block_size]
    return Matrix(weight.name, harm, rows * columns, file == DECODER, sizes)


def _budget(matrices: list[Matrix], model: Model) -> Budget:
    """What the matrices take by the recipe."""
    fixed = {weight.name: weight for _, weight in _places(model)}
    size = sum(int(weight.nbytes) for weight in fixed.values())
    return Budget(size, sum(time_of(matrix, _scheme(fixed[matrix.name])) for matrix in matrices))


def _scheme(weight: Weight) -> Scheme:
    assert weight.scheme is not None
    return weight.scheme


def _written(model: Model, recipe: Recipe, folder: Path) -> Model:
    """The layers by another recipe, in a folder of their own; what both recipes store alike is copied."""
    folder.mkdir()
    built = files.build(model.spec, recipe)
    graphs: dict[str, Builder] = dict(model.graphs) | {file: built[file] for file in LAYERS}
    trial = replace(model, folder=folder, graphs=graphs)
    maps = calibrated_weights(model.spec, graphs)
    for file in LAYERS:
        writer.write(graphs[file], model.tensors, folder, _ignore, maps[file])
        for name in maps[file] - _changed(model, trial)[file]:
            weight = graphs[file].weights[name]
            writer.copy(weight, (model.graphs[file], model.folder), (graphs[file], folder))
    return trial


def _changed(before: Model, after: Model) -> dict[str, frozenset[str]]:
    """Names of the matrices that two models store differently, by file."""
    maps = calibrated_weights(before.spec, before.graphs)
    return {
        file: frozenset(
            name
            for name in maps[file]
            if before.graphs[file].weights[name].scheme != after.graphs[file].weights[name].scheme
        )
        for file in LAYERS
    }


def _expected(model: Model, batches: list[Batch]) -> Reference:
    return reference(model.spec, model.tensors, _last(walk(model, batches)).hidden())


def _divergence(model: Model, recipe: Recipe, batches: list[Batch], expected: Reference) -> float:
    states: Floats = _last(walk(model, batches, stored=recipe)).hidden()
    return float(divergences(expected, states).mean(dtype=np.float64))


def _last(steps: Iterable[Step]) -> Step:
    step: Step | None = None
    for step in steps:  # noqa: B007  only the last one matters
        pass
    assert step is not None
    return step


def _moved(trial: Model, folder: Path, manifest: Manifest) -> Manifest:
    """Put the layers of the trial in the place of those that are in the folder."""
    names = [name for file in LAYERS for name in (f"{file}.onnx", writer.data_name(file))]
    for name in names:
        (trial.folder / name).replace(folder / name)
    return replace(manifest, files=manifest.files | {name: unhashed(folder / name) for name in names})


def _ignore(count: int) -> None:
    """No bar for a trial."""
