"""`quartet convert`."""

import argparse
import logging

from quartet import provision
from quartet.cli.output import aligned
from quartet.progress import terminal_bar
from quartet.spec import Choice, Difference, Report

log = logging.getLogger("quartet")


def convert(args: argparse.Namespace) -> None:
    """Convert and say what came out."""
    from quartet.quantize.recipes import QuantizationOptions  # noqa: PLC0415

    with terminal_bar("converting", "bytes") as progress:
        manifest = provision.convert(
            args.source,
            args.out_dir,
            precision=args.precision,
            options=QuantizationOptions(args.method, args.block_size, args.embedding_bits),
            calibration_text=args.calibration_text,
            report=args.report,
            revision=args.revision,
            tokenizer=args.tokenizer,
            languages=args.languages,
            texts=args.text,
            layout=args.layout,
            force=args.force,
            progress=progress,
        )
    if manifest.tokenizer is None:
        log.warning("%s has no tokeniser files: the model runs on ids only, unless --tokenizer names them", args.source)
    size = sum(entry.bytes for entry in manifest.files.values())
    log.info("%s: %s, %s, %.1f MB", args.out_dir, manifest.name, manifest.precision, size / 1e6)
    if manifest.choice:
        log.info("%s", choice_line(manifest.choice))
    if manifest.pruning:
        log.info("%d of %d rows of the vocabulary kept", manifest.shapes.vocab_size, manifest.pruning.vocab_size)
    log.info("licence of the model: %s", manifest.license or "not stated")
    if manifest.report is not None:
        for line in report_table(manifest.report):
            print(line)


def choice_line(choice: Choice) -> str:
    """Where conversion put bits by itself, and what it is worth."""
    recipe, chosen = (1000 * d for d in (choice.divergence_of_recipe, choice.divergence_of_choice))
    if not choice.matrices:
        return f"bits: as the recipe says; a choice by sentences has divergence {chosen:.2f}, the recipe {recipe:.2f}"
    at_8 = sum(matrix.bits == 8 for matrix in choice.matrices)
    many = len(choice.matrices)
    return f"bits: {at_8} of {many} matrices at 8; divergence {chosen:.2f} mnat per token, {recipe:.2f} by the recipe"


def report_table(report: Report) -> list[str]:
    """Differences to float32 as lines of a table: the four files, then layer by layer."""
    inputs = f"{report.sentences} sentences" if report.inputs == "text" else f"{report.sentences} rows of random ids"
    rows = [("file", "output", "largest", "mean", "relative"), *map(_row, (*report.outputs, *report.layers))]
    return [f"differences to float32, {inputs}:", *aligned(rows)]


def _row(found: Difference) -> tuple[str, ...]:
    output = found.output if found.layer is None else f"layer {found.layer}"
    return found.file, output, f"{found.largest:.3g}", f"{found.mean:.3g}", f"{found.relative:.2%}"
