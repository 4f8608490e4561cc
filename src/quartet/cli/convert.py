"""`quartet convert`, and the conversion with a bar that the other commands use for models named at run time."""

import argparse
import logging
from pathlib import Path

from quartet import models
from quartet.cli.console import progress_bar
from quartet.cli.output import aligned
from quartet.spec import Difference, Origin, Report

log = logging.getLogger("quartet")


def convert(args: argparse.Namespace) -> None:
    """Convert and say what came out."""
    from quartet import conversion  # noqa: PLC0415  onnx_ir is slow to import
    from quartet.quantize.recipes import DEFAULT_PRECISION, QuantizationOptions  # noqa: PLC0415

    with progress_bar("converting", "bytes") as progress:
        manifest = conversion.convert(
            args.source,
            args.out_dir,
            precision=args.precision or DEFAULT_PRECISION,
            options=QuantizationOptions(args.method, args.block_size, args.embedding_bits),
            calibration_text=args.calibration_text,
            report=args.report,
            revision=args.revision,
            tokenizer=args.tokenizer,
            languages=args.languages.split(",") if args.languages is not None else (),
            texts=args.text,
            layout=args.layout,
            force=args.force,
            progress=progress,
        )
    if manifest.tokenizer is None:
        log.warning("%s has no tokeniser files: the model runs on ids only, unless --tokenizer names them", args.source)
    size = sum(entry.bytes for entry in manifest.files.values())
    log.info("%s: %s, %s, %.1f MB", args.out_dir, manifest.name, manifest.precision, size / 1e6)
    if manifest.pruning:
        log.info("%d of %d rows of the vocabulary kept", manifest.shapes.vocab_size, manifest.pruning.vocab_size)
    log.info("licence of the model: %s", manifest.license or "not stated")
    if manifest.report is not None:
        for line in report_table(manifest.report):
            print(line)


def report_table(report: Report) -> list[str]:
    """Differences to float32 as lines of a table: the four files, then layer by layer."""
    inputs = f"{report.sentences} sentences" if report.inputs == "text" else f"{report.sentences} rows of random ids"
    rows = [("file", "output", "largest", "mean", "relative"), *map(_row, (*report.outputs, *report.layers))]
    return [f"differences to float32, {inputs}:", *aligned(rows)]


def _row(found: Difference) -> tuple[str, ...]:
    output = found.output if found.layer is None else f"layer {found.layer}"
    return found.file, output, f"{found.largest:.3g}", f"{found.mean:.3g}", f"{found.relative:.2%}"


def ready_model(args: argparse.Namespace) -> Path:
    """The converted folder of `--model`; downloads and converts with bars where that is needed."""
    return ready_by_name(args.model, args.precision, args.revision)


def ready_by_name(name: str, precision: str | None = None, revision: str | None = None) -> Path:
    """The same for a model's name."""
    return models.ready(name, precision, revision, convert=_convert_with_bar)


def _convert_with_bar(folder: Path, out_dir: Path, *, precision: str, origin: Origin) -> None:
    from quartet.conversion import convert_folder  # noqa: PLC0415

    with progress_bar(f"converting {origin.name}", "bytes") as progress:
        manifest = convert_folder(folder, out_dir, precision=precision, origin=origin, progress=progress)
    log.info("converted %s once; licence of the model: %s", origin.name, manifest.license or "not stated")
