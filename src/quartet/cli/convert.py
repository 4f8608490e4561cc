"""`quartet convert`, and the conversion with a bar that the other commands use for models named at run time."""

import argparse
import logging
from pathlib import Path

from quartet import models
from quartet.cli.console import progress_bar
from quartet.spec import Origin

log = logging.getLogger("quartet")


def convert(args: argparse.Namespace) -> None:
    """Convert and say what came out."""
    from quartet import conversion  # noqa: PLC0415  onnx_ir is slow to import
    from quartet.quantize.recipes import DEFAULT_PRECISION  # noqa: PLC0415

    with progress_bar("converting", "bytes") as progress:
        manifest = conversion.convert(
            args.source,
            args.out_dir,
            precision=args.precision or DEFAULT_PRECISION,
            revision=args.revision,
            force=args.force,
            progress=progress,
        )
    if manifest.tokenizer is None:
        log.warning("%s has no tokeniser files: the model runs on ids only", args.source)
    size = sum(entry.bytes for entry in manifest.files.values())
    log.info("%s: %s, %s, %.1f MB", args.out_dir, manifest.name, manifest.precision, size / 1e6)
    log.info("licence of the model: %s", manifest.license or "not stated")


def ready_model(args: argparse.Namespace) -> Path:
    """The converted folder of `--model`; downloads and converts with bars where that is needed."""
    return models.ready(args.model, args.precision, args.revision, convert=_convert_with_bar)


def _convert_with_bar(folder: Path, out_dir: Path, *, precision: str, origin: Origin) -> None:
    from quartet.conversion import convert_folder  # noqa: PLC0415

    with progress_bar(f"converting {origin.name}", "bytes") as progress:
        manifest = convert_folder(folder, out_dir, precision=precision, origin=origin, progress=progress)
    log.info("converted %s once; licence of the model: %s", origin.name, manifest.license or "not stated")
