"""What conversion does with sentences once the quartet is written: quantise again, and measure what came out."""

import logging
from dataclasses import replace

from quartet.conversion.calibration.examples import examples
from quartet.conversion.calibration.report import report as differences
from quartet.conversion.calibration.requantize import requantize
from quartet.conversion.calibration.walk import Model
from quartet.graph.writer import data_name
from quartet.progress import Progress
from quartet.quantize.recipes import Recipe
from quartet.spec import FILES, Manifest, file_entry

log = logging.getLogger("quartet")


def calibrate(
    model: Model, recipe: Recipe, manifest: Manifest, lines: list[str] | None, report: bool, progress: Progress
) -> Manifest:
    """Quantise again and measure what came out, on sentences; returns the manifest as it is then."""
    if recipe.calibrated:
        found = examples(model.folder, manifest, lines)
        if found.origin != "text":
            lacking = "no tokeniser" if manifest.tokenizer is None else "none of the languages that come with quartet"
            log.warning("calibrated with random ids: the model has %s", lacking)
        requantize(model, found.batches, progress)
        data = [data_name(file) for file in FILES]
        entries = {name: file_entry(model.folder / name) for name in data}
        manifest = replace(manifest, files=manifest.files | entries)
    if report:  # on sentences that were not calibrated with, where there are others
        found = examples(model.folder, manifest, None if recipe.calibrated else lines)
        manifest = replace(manifest, report=differences(model, recipe, found, progress))
    return manifest
