"""From a checkpoint to a quartet, the whole conversion on one page.

Read the config, let the family describe the architecture, build the four graphs, match the tensors they name with
those of the checkpoint, stream the weights into place, and move the finished folder to where it was asked for.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from quartet import families, store
from quartet.checkpoint import Checkpoint, opened
from quartet.checkpoint.tensors import TensorEntry, equal
from quartet.conversion import layouts, verify
from quartet.conversion.prune import Pruned, prune
from quartet.errors import CheckpointError, OptionError, OutputError
from quartet.families import Family, tokenizer_json
from quartet.families.description import Description
from quartet.graph import files, writer
from quartet.graph.builder import Builder
from quartet.graph.head import bias_weight, head_weight, lm_head, matrix_weight
from quartet.progress import Progress, silent
from quartet.quantize.recipes import DEFAULT_PRECISION, QuantizationOptions, Recipe, recipe_of
from quartet.spec import (
    EMBED_AND_LM_HEAD,
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    ModelSpec,
    Origin,
    Pruning,
    Shapes,
    file_entry,
)


def convert_folder(
    folder: Path,
    out_dir: Path,
    *,
    precision: str = DEFAULT_PRECISION,
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

    options: method, block size and bits where they should not be the precision's own. report: measure how far each
    file is from float32 on real sentences, and keep that in the manifest. calibration_text: a file of sentences, one
    per line, for method gptq and for the report; None: some that come with quartet.

    tokenizer: the folder of the tokeniser's files; None: they are in `folder`.

    languages: cut the vocabulary down to these, in any common spelling; none: keep all of it. texts: files with text
    in these languages, of which the pieces are kept that occur; none: all pieces written in the languages' scripts.

    layout: `quartet`, or `rtranslator`: single files for that app, which quartet itself does not play.

    Raises `CheckpointError` (unreadable, or tensors missing, misshapen or left over: all of them are listed),
    `UnsupportedModelError`, `OutputError` (`out_dir` exists or cannot be written), `LanguageError` and `OptionError`
    (languages that the model does not have; texts that cannot be read, or without languages).
    """
    recipe = recipe_of(precision, options)
    lines = check_calibration(recipe, calibration_text, report)
    check_output(out_dir, force)
    check_selection(languages, texts)
    origin = origin or Origin(folder.resolve().name)
    with opened(folder, tokenizer) as checkpoint:
        return _convert(
            checkpoint, out_dir, precision, recipe, lines, report, origin, languages, texts, layout, force, progress
        )


def _convert(
    checkpoint: Checkpoint,
    out_dir: Path,
    precision: str,
    recipe: Recipe,
    lines: list[str] | None,
    report: bool,
    origin: Origin,
    languages: Sequence[str],
    texts: Sequence[str | Path],
    layout: str,
    force: bool,
    progress: Progress,
) -> Manifest:
    family = families.find(checkpoint.config)
    spec = families.spec_of(family, checkpoint)
    layout = layouts.check_layout(layout, spec.family, pruned=bool(languages))
    description = family.describe(checkpoint)
    if description.tokenizer is None or spec.front_end is not None:
        recipe = recipe.for_ids()
    if spec.front_end is not None:
        check_speech(recipe, lines, report, languages)
    pruned = (
        prune(checkpoint.tokenizer_folder, spec, description, languages, tuple(map(Path, texts))) if languages else None
    )
    graphs = files.build(spec, recipe)
    singles = layouts.graphs(layout, spec, recipe)
    layouts.check_sizes(layout, {file: _weight_bytes(builder) for file, builder in singles.items()})
    tensors = match_tensors(checkpoint, family, spec, graphs)
    if pruned:
        spec, description, tensors = pruned.spec, pruned.description, pruned.select(tensors)
        graphs = files.build(spec, recipe)
    with _staged(out_dir, force) as staging:
        written = _write_graphs(graphs, tensors, staging, progress)
        owner = graphs[EMBED_AND_LM_HEAD]
        written |= writer.write_borrowing(
            lm_head(spec, recipe), writer.data_name(owner.name), writer.written_places(owner), staging
        )
        written |= _write_tokenizer(checkpoint.tokenizer_folder, description, pruned, staging)
        manifest = _manifest(spec, description, written, precision, origin, pruned.pruning if pruned else None)
        manifest = replace(
            manifest,
            method=recipe.final_method,
            embedding=writer.stored_matrix(owner, matrix_weight(spec, recipe)),
            lm_head=writer.stored_matrix(owner, head_weight(spec, recipe), bias_weight(spec)),
        )
        manifest.save(staging)
        if recipe.calibrated or report:
            from quartet.conversion.calibration.calibrate import calibrate  # noqa: PLC0415  plain conversion runs nothing
            from quartet.conversion.calibration.walk import Model  # noqa: PLC0415

            model = Model(spec, tensors, staging, graphs)
            manifest = calibrate(model, recipe, manifest, lines, report, progress)
            manifest.save(staging)
        verify.verify(staging, manifest.files)
        if layout != manifest.layout:
            manifest = layouts.arrange(staging, manifest, layout, spec, recipe, graphs.values())
            manifest.save(staging)
    return manifest


def check_output(out_dir: Path, force: bool) -> None:
    """Raise `OutputError` where `out_dir` holds something that must not be overwritten."""
    if not out_dir.exists():
        return
    if out_dir.resolve() == Path.cwd():
        raise OutputError(f"{out_dir} is the folder that you are in; name another one, such as {out_dir / 'model'}")
    if out_dir.is_dir() and not any(out_dir.iterdir()):
        return
    if not out_dir.is_dir():
        raise OutputError(f"{out_dir} is a file; name a folder")
    if not (out_dir / MANIFEST_NAME).exists():
        raise OutputError(f"{out_dir} holds other files; name a new or empty folder")
    if not force:
        raise OutputError(f"{out_dir} holds a quartet already; use --force (force=True) to replace it")


def check_calibration(recipe: Recipe, text: str | Path | None, report: bool) -> list[str] | None:
    """The lines of the calibration text; raises `OptionError` where it or the report has no use."""
    if report and not recipe.schemes:
        raise OptionError(f"precision {recipe.name} is float32 itself: a report is for int8 and int4")
    if text is not None and not (recipe.calibrated or report):
        raise OptionError(f"calibration text ({text}) is for method gptq and for a report; ask for one of them too")
    return None if text is None else _lines(Path(text))


def check_speech(recipe: Recipe, lines: list[str] | None, report: bool, languages: Sequence[str]) -> None:
    """Raise `OptionError` for what a model that hears instead of reading cannot be converted with."""
    for asked, option in (
        (recipe.calibrated, "method gptq"),
        (lines is not None, "calibration text"),
        (report, "a report"),
        (bool(languages), "a vocabulary of some languages"),
    ):
        if asked:
            raise OptionError(f"{option} is for models that translate text; leave it out for a speech model")


def _lines(file: Path) -> list[str]:
    """The lines of a text that are not empty."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise OptionError(f"the calibration text {file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise OptionError(f"the calibration text {file} is not UTF-8") from None
    kept = [line.strip() for line in lines if line.strip()]
    if not kept:
        raise OptionError(f"the calibration text {file} is empty; a few hundred sentences, one per line, are expected")
    return kept


def check_selection(languages: Sequence[str], texts: Sequence[str | Path]) -> None:
    """Raise `OptionError` where texts are given without languages, or a language has no name."""
    if isinstance(languages, str) or isinstance(texts, str):
        raise OptionError(f"languages and texts are lists, {languages or texts!r} is a string")
    if texts and not languages:
        raise OptionError(f"text ({texts[0]}) is for the vocabulary of some languages; name them too")
    if not all(name.strip() for name in languages):
        raise OptionError(f"languages {','.join(languages)!r}: one of them has no name")


def match_tensors(
    checkpoint: Checkpoint, family: Family, spec: ModelSpec, graphs: dict[str, Builder]
) -> dict[str, TensorEntry]:
    """The tensors that the graphs need, by canonical name; `CheckpointError` lists everything that does not fit."""
    names = family.tensor_names(spec)
    problems: list[str] = []
    found: dict[str, TensorEntry] = {}
    for builder in graphs.values():
        for weight in builder.weights.values():
            for source in weight.sources:
                entry = _find(checkpoint, names[source], weight.source_shape, problems)
                if entry is not None:
                    found[source] = entry
    known = {candidate for candidates in names.values() for candidate in candidates}
    problems += [
        f"{name}: left over, no part of this architecture"
        for name in sorted(checkpoint.tensors.keys() - known)
        if not any(re.fullmatch(pattern, name) for pattern in family.leftovers)
    ]
    if problems:
        listed = "; ".join(dict.fromkeys(problems))
        raise CheckpointError(f"{checkpoint.folder}: the tensors do not fit config.json: {listed}")
    return found


def _find(
    checkpoint: Checkpoint, candidates: tuple[str, ...], shape: tuple[int, ...], problems: list[str]
) -> TensorEntry | None:
    """The tensor under the first of its possible names; tied duplicates under the others must be equal to it."""
    present = [name for name in candidates if name in checkpoint.tensors]
    if not present:
        problems.append(f"{candidates[0]}: missing")
        return None
    entry = checkpoint.tensors[present[0]]
    if entry.shape != shape:
        problems.append(f"{present[0]}: shape {list(entry.shape)}, expected {list(shape)}")
        return None
    for name in present[1:]:
        if not equal(entry, checkpoint.tensors[name]):
            problems.append(f"{name}: differs from {present[0]}, to which it is tied")
    return entry


def _write_graphs(
    graphs: dict[str, Builder], tensors: dict[str, TensorEntry], folder: Path, progress: Progress
) -> dict[str, FileEntry]:
    total = sum(map(_weight_bytes, graphs.values()))
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    written: dict[str, FileEntry] = {}
    for builder in graphs.values():
        written |= writer.write(builder, tensors, folder, advance)
    return written


def _weight_bytes(builder: Builder) -> int:
    return sum(weight.nbytes for weight in builder.weights.values())


def _write_tokenizer(
    source: Path, description: Description, pruned: Pruned | None, folder: Path
) -> dict[str, FileEntry]:
    """The tokeniser's files, and a `tokenizer.json` for readers in other languages where one can be had.

    A checkpoint's own has the ids of its whole vocabulary: a pruned model goes without it.
    """
    made = dict(description.made_files) | (pruned.files if pruned else {})
    names = list(pruned.files) if pruned else list(dict.fromkeys((*description.tokenizer_files, *made)))
    for name in names:
        if name in made:
            (folder / name).write_bytes(made[name])
        else:
            shutil.copyfile(source / name, folder / name)
    spec = None if pruned or tokenizer_json.NAME in names else description.tokenizer
    if spec is not None and tokenizer_json.write(folder, spec):
        names.append(tokenizer_json.NAME)
    return {name: file_entry(folder / name) for name in names}


def _manifest(
    spec: ModelSpec,
    description: Description,
    written: dict[str, FileEntry],
    precision: str,
    origin: Origin,
    pruning: Pruning | None,
) -> Manifest:
    return Manifest(
        family=spec.family,
        name=origin.name,
        revision=origin.revision,
        license=origin.license,
        precision=precision,
        layout="quartet",
        shapes=Shapes(
            d_model=spec.d_model,
            vocab_size=spec.vocab_size,
            encoder_layers=spec.encoder.layers,
            decoder_layers=spec.decoder.layers,
            decoder_heads=spec.decoder.heads,
            head_size=spec.size_of_head(spec.decoder),
            max_source_length=description.max_source_length,
            max_target_length=description.max_target_length or description.max_source_length,
            source_vocab_size=spec.source_vocab_size,
            embed_scale=spec.embed_scale,
        ),
        tokens=description.tokens,
        generation=description.generation,
        source_prompt=description.source_prompt,
        target_prompt=description.target_prompt,
        safe_length=origin.safe_length or description.safe_length,
        languages=description.languages,
        tokenizer=description.tokenizer,
        files=written,
        pruning=pruning,
        speech=description.speech,
    )


@contextlib.contextmanager
def _staged(out_dir: Path, force: bool) -> Iterator[Path]:
    """A folder beside `out_dir` that takes its place when the block ends well, and vanishes when it does not."""
    target = out_dir.resolve()  # where a link leads
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    except OSError as error:
        raise OutputError(f"cannot write to {out_dir.parent}: {error.strerror}") from None
    try:
        yield staging
        _move(staging, target, force)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {out_dir}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(store.packed_folder(staging), ignore_errors=True)  # calibration text was translated with it


def _move(staging: Path, out_dir: Path, force: bool) -> None:
    check_output(out_dir, force)
    staging.chmod(0o755)  # mkdtemp's folders are private
    if not out_dir.exists():
        staging.rename(out_dir)
        return
    old = staging.with_suffix(".old")
    out_dir.rename(old)
    try:
        staging.rename(out_dir)
    except OSError:
        old.rename(out_dir)
        raise
    shutil.rmtree(old, ignore_errors=True)
