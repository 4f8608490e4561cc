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
from quartet.conversion.calibration.report import report as differences
from quartet.conversion.calibration.requantize import calibrated_weights, requantize
from quartet.conversion.calibration.walk import Model
from quartet.conversion.describe import Blueprint
from quartet.progress import Progress
from quartet.spec import MANIFEST_NAME, Manifest

log = logging.getLogger("quartet")


def sentences_for(blueprint: Blueprint, folder: Path, lines: Sequence[str] | None) -> Sentences | None:
    """What to quantise with, of `lines` or bundled; None: nothing. `folder` has the tokeniser's files.

    Raises `OptionError` where no line is in a language of the model.
    """
    if not blueprint.recipe.calibrated:
        return None
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
) -> Manifest:
    """Quantise with `sentences`, and measure what came out where a report is wanted; returns the manifest with it.

    manifest: of the files that were written to `folder`.
    """
    model = Model(blueprint.spec, blueprint.tensors, folder, blueprint.graphs)
    if sentences is not None:
        requantize(model, _examples(folder, manifest, sentences).batches, progress)
    if not report:
        return manifest
    # on sentences that were not calibrated with, where there are others
    found = examples.sentences_for(folder, manifest, lines if sentences is None else None)
    measured = differences(model, blueprint.recipe, _examples(folder, manifest, found), progress)
    return replace(manifest, report=measured)


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
