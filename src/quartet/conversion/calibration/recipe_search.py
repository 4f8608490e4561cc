"""Choose where bits go: the same bytes as by the recipe, spread by what each matrix harms.

The harm of each matrix is measured on sentences that GPTQ will not see, and the choice is made (`quantize.choice`). Its
layers are written beside those of the recipe and calibrated in the same walk. Both are compared on further sentences,
as they would run; the recipe stays where the choice is not clearly better.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from quartet.arrays import Floats
from quartet.conversion.calibration.divergence import Reference, divergences, reference
from quartet.conversion.calibration.requantize import calibrated_weights
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
FEWEST_WEIGHTS = 1_000_000  # of a model in which there is something to gain
MOST_PRODUCTS = 6_000_000_000_000  # a few minutes of one core
BETTER = 0.95  # of the recipe's divergence, at most, on sentences that chose nothing
TRIAL = "trial"
ATTEMPTS = 8  # at fitting the budget, which knows nothing of the room between weights


def is_tiny(spec: ModelSpec) -> bool:
    """Whether a model is so small that nothing is gained by asking it anything."""
    return products(spec) < FEWEST_WEIGHTS


def is_affordable(spec: ModelSpec, tokens: int) -> bool:
    """Whether the search takes minutes at most with this many tokens to choose by."""
    return products(spec) * tokens <= MOST_PRODUCTS


def trial(blueprint: Blueprint, folder: Path, batches: list[Batch], progress: Progress) -> tuple[Model, Recipe] | None:
    """The layers as the sentences in `batches` choose, still without codes, and their recipe; None: nothing fits.

    They lie in a folder below `folder`, of what is written by the blueprint. Raises `CheckpointError` for weights
    that are not finite.
    """
    model = Model(blueprint.spec, blueprint.tensors, folder, blueprint.graphs)
    recipe = blueprint.recipe
    measured = harms(model, batches, recipe.choices[0], progress)
    matrices = [_matrix(recipe, *place, measured) for place in _places(model)]
    budget, most = _budget(matrices, model), _data_bytes(model.graphs)
    for _ in range(ATTEMPTS):
        found = choose(matrices, budget)
        if found is None:
            return None
        chosen = replace(recipe, chosen=found)
        built = files.build(model.spec, chosen)
        graphs = {file: built[file] for file in LAYERS}
        excess = _data_bytes(graphs) - most
        if excess <= 0:
            return _written(replace(model, folder=folder / TRIAL, graphs=graphs)), chosen
        budget = replace(budget, bytes=budget.bytes - excess)
    return None


def better(
    blueprint: Blueprint, folder: Path, manifest: Manifest, found: tuple[Model, Recipe], batches: list[Batch]
) -> tuple[Blueprint, Manifest]:
    """The better of what is in `folder` and of the trial, by sentences that neither has seen; its files are there then.

    Both are calibrated.
    """
    model = Model(blueprint.spec, blueprint.tensors, folder, blueprint.graphs)
    layers, chosen = found
    expected = reference(model.spec, model.tensors, _last(walk(model, batches)).hidden())
    before, after = (
        _divergence(made, recipe, batches, expected) for made, recipe in ((model, blueprint.recipe), found)
    )
    is_better = after < before * BETTER
    if is_better:
        blueprint = replace(blueprint, recipe=chosen, graphs=dict(model.graphs) | dict(layers.graphs))
        manifest = _moved(layers, folder, manifest)
    shutil.rmtree(layers.folder)
    bits = tuple(MatrixBits(name, s.bits, s.block_size) for name, s in chosen.chosen.items() if is_better)
    return blueprint, replace(manifest, choice=Choice(len(expected.states), before, after, bits))


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


def _written(trial: Model) -> Model:
    """The files of the layers, with room for codes."""
    trial.folder.mkdir()
    maps = calibrated_weights(trial.spec, trial.graphs)
    for file, graph in trial.graphs.items():
        writer.write(graph, trial.tensors, trial.folder, _ignore, maps[file])
    return trial


def _data_bytes(graphs: Mapping[str, Builder]) -> int:
    return sum(writer.data_bytes(graphs[file]) for file in LAYERS)


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
