"""From a checkpoint to a quartet, the whole conversion on one page.

Let the family describe the architecture, build the four graphs, and match the tensors they name with those of the
checkpoint (`describe`); stream the weights into place (`write`); quantise and measure with sentences (`calibration`);
check the folder, and move it to where it was asked for (`publish`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from quartet.checkpoint import opened
from quartet.conversion.describe import Blueprint, describe
from quartet.conversion.publish import check_output, publish, staged_output
from quartet.conversion.request import ConversionRequest, read_calibration_text
from quartet.conversion.write import write_graphs, write_tokenizer
from quartet.progress import Progress, silent
from quartet.quantize.recipes import QuantizationOptions
from quartet.spec import FileEntry, Manifest, Origin


def convert_folder(
    folder: Path,
    out_dir: Path,
    *,
    precision: str | None = None,
    options: QuantizationOptions = QuantizationOptions(),  # noqa: B008  frozen
    calibration_text: str | Path | None = None,
    report: bool = False,
    origin: Origin | None = None,
    tokenizer: Path | None = None,
    languages: Sequence[str] = (),
    texts: Sequence[str | Path] = (),
    layout: str = "quartet",
    force: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Convert the checkpoint in `folder` (or an Argos package) to a quartet in `out_dir`; returns its manifest.

    The folder appears under its name only when complete: it is written beside its place and moved there, so that an
    interrupted conversion leaves nothing that looks like a model. `force` replaces a quartet that is there already.

    precision: None is INT4, and INT8 for a model of speech.

    options: method, block size and bits where they should not be the precision's own. report: measure how far each
    file is from float32 on real sentences, and keep that in the manifest. calibration_text: a file of sentences, one
    per line, for method gptq and for the report; None: some that come with quartet.

    tokenizer: the folder of the tokeniser's files; None: they are in `folder`.

    languages: cut the vocabulary down to these, in any common spelling; none: keep all of it. texts: files with text
    in these languages, of which the pieces are kept that occur; none: all pieces written in the languages' scripts.

    layout: `quartet`, or `rtranslator`: single files for that app, which quartet itself does not run.

    Raises `CheckpointError` (unreadable, or tensors missing, misshapen or left over: all of them are listed),
    `UnsupportedModelError`, `OutputError` (`out_dir` exists or cannot be written), `LanguageError` and `OptionError`
    (languages that the model does not have; texts that cannot be read, or without languages).
    """
    request = ConversionRequest(
        precision=precision,
        options=options,
        calibration=None if calibration_text is None else read_calibration_text(calibration_text),
        report=report,
        tokenizer=tokenizer,
        languages=languages,
        texts=texts,
        layout=layout,
        force=force,
    )
    return convert_checkpoint(folder, out_dir, request, origin or Origin(folder.resolve().name), progress)


def convert_checkpoint(
    folder: Path, out_dir: Path, request: ConversionRequest, origin: Origin, progress: Progress = silent
) -> Manifest:
    """Convert the checkpoint in `folder` as `request` says; the rest is as with `convert_folder`.

    origin: what the manifest says of the checkpoint.
    """
    check_output(out_dir, request.force)
    with opened(folder, request.tokenizer) as checkpoint:
        blueprint = describe(checkpoint, request, origin)
        with staged_output(out_dir, request.force) as staging:
            tokenizer = write_tokenizer(blueprint, staging)
            blueprint, manifest = _write_and_calibrate(blueprint, tokenizer, request, staging, progress)
            return publish(blueprint, manifest, staging)


def _write_and_calibrate(
    blueprint: Blueprint,
    tokenizer: Mapping[str, FileEntry],
    request: ConversionRequest,
    staging: Path,
    progress: Progress,
) -> tuple[Blueprint, Manifest]:
    """Write the graphs, with the help of sentences where the recipe or a report needs them; returns what is written.

    tokenizer: its files, which are written already.
    """

    def write(left_out: Mapping[str, Collection[str]]) -> Manifest:
        manifest = write_graphs(blueprint, staging, left_out, progress)
        return replace(manifest, files={**manifest.files, **tokenizer})

    if not (blueprint.recipe.calibrated or request.report):
        return blueprint, write({})
    from quartet.conversion.calibration import calibrate  # noqa: PLC0415  plain conversion runs nothing

    lines = request.calibration.lines if request.calibration else None
    sentences = calibrate.sentences_for(blueprint, staging, lines)
    manifest = write(calibrate.weights_to_come(blueprint, sentences))
    blueprint, manifest = calibrate.calibrate(blueprint, staging, manifest, sentences, lines, request.report, progress)
    return blueprint, calibrate.with_stand_ins(blueprint, staging, manifest)
