"""What conversion does with sentences: quantise with them, and measure what came out."""

import contextlib
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from quartet import store
from quartet.conversion.calibration import examples
from quartet.conversion.calibration.examples import Examples, Sentences
from quartet.conversion.calibration.recipe_search import better, is_affordable, is_tiny, trial
from quartet.conversion.calibration.report import report as differences
from quartet.conversion.calibration.requantize import calibrated_weights, requantize
from quartet.conversion.calibration.walk import Model
from quartet.conversion.describe import Blueprint
from quartet.conversion.stand_ins import copied_stand_ins
from quartet.progress import Progress
from quartet.spec import MANIFEST_NAME, Manifest

log = logging.getLogger("quartet")


def sentences_for(blueprint: Blueprint, folder: Path, lines: Sequence[str] | None) -> Sentences | None:
    """What to quantise with, of `lines` or bundled; None: nothing. `folder` has the tokeniser's files.

    Raises `OptionError` where no line is in a language of the model.
    """
    if not blueprint.recipe.calibrated:
        return None
    if lines is not None and blueprint.recipe.choices:
        lines, _ = examples.without_held_out(lines)
    found = examples.sentences_for(folder, blueprint.manifest, lines)
    if found.origin != "text":
        lacking = (
            "no tokeniser" if blueprint.manifest.tokenizer is None else "none of the languages that come with quartet"
        )
        log.warning("calibrated with random ids: the model has %s", lacking)
    return found


def weights_to_come(blueprint: Blueprint, sentences: Sentences | None) -> Mapping[str, frozenset[str]]:
    """Names of the weights, by file, that need not be quantised when they are written.

    GPTQ brings them. But where the model has to translate the sentences first, it needs plain codes for that.
    """
    to_come = sentences is not None and sentences.are_translated
    return calibrated_weights(blueprint.spec, blueprint.graphs) if to_come else {}


def calibrate(
    blueprint: Blueprint,
    folder: Path,
    manifest: Manifest,
    sentences: Sentences | None,
    lines: Sequence[str] | None,
    report: bool,
    progress: Progress,
) -> tuple[Blueprint, Manifest]:
    """Quantise with `sentences`, choose where bits go, and measure what came out where a report is wanted.

    manifest: of the files that were written to `folder`. Returns what is in the folder then.
    """
    if sentences is not None:
        blueprint, manifest = _calibrated(blueprint, folder, manifest, sentences, lines, progress)
    if not report:
        return blueprint, manifest
    # on sentences that were not calibrated with, where there are others
    found = examples.sentences_for(folder, manifest, lines if sentences is None else None)
    model = Model(blueprint.spec, blueprint.tensors, folder, blueprint.graphs)
    measured = differences(model, blueprint.recipe, _examples(folder, manifest, found), progress)
    return blueprint, replace(manifest, report=measured)


def _calibrated(
    blueprint: Blueprint,
    folder: Path,
    manifest: Manifest,
    sentences: Sentences,
    lines: Sequence[str] | None,
    progress: Progress,
) -> tuple[Blueprint, Manifest]:
    """By the recipe or, where that is better, by a choice of held-out sentences."""
    model = Model(blueprint.spec, blueprint.tensors, folder, blueprint.graphs)
    batches = _examples(folder, manifest, sentences).batches
    choice, check = _held_out(blueprint, folder, manifest, sentences, lines)
    found = choice and trial(blueprint, folder, _examples(folder, manifest, choice).batches, progress)
    requantize(model, batches, progress, found[0] if found else None)
    if not found or check is None:
        return blueprint, manifest
    return better(blueprint, folder, manifest, found, _examples(folder, manifest, check).batches)


def _held_out(
    blueprint: Blueprint, folder: Path, manifest: Manifest, sentences: Sentences, lines: Sequence[str] | None
) -> tuple[Sentences, Sentences] | tuple[None, None]:
    """Sentences to choose by, and to compare on; None where bits stay where the recipe puts them."""
    if not blueprint.recipe.choices or sentences.origin != "text" or is_tiny(blueprint.spec):
        return None, None
    choice, check = examples.held_out(folder, manifest, lines)
    if not (choice.pairs and check.pairs and choice.are_translated >= sentences.are_translated):
        log.info("bits are where the recipe puts them: no sentences in the model's languages are left to choose by")
        return None, None
    if not is_affordable(blueprint.spec, sum(len(pair.source) for pair in choice.pairs)):
        log.info("bits are where the recipe puts them: to choose for a model of this size would take too long")
        return None, None
    return choice, check


def with_stand_ins(blueprint: Blueprint, folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with what the model in `folder` copies, where the recipe runs it and it reads text."""
    reads_text = manifest.tokenizer is not None and manifest.speech is None
    if not (blueprint.recipe.calibrated and reads_text) or is_tiny(blueprint.spec):
        return manifest
    with _runnable(folder, manifest):
        return replace(manifest, stand_ins=copied_stand_ins(folder, manifest))


def _examples(folder: Path, manifest: Manifest, sentences: Sentences) -> Examples:
    with contextlib.nullcontext() if sentences.are_translated else _runnable(folder, manifest):
        return examples.translated(folder, sentences, manifest.tokens.pad)


@contextlib.contextmanager
def _runnable(folder: Path, manifest: Manifest) -> Iterator[None]:
    """Let a half-made model be run: the runtime opens folders that have a manifest, and keeps packed weights."""
    manifest.save(folder)
    try:
        yield
    finally:
        (folder / MANIFEST_NAME).unlink()
        shutil.rmtree(store.packed_folder(folder), ignore_errors=True)
