"""From a checkpoint to a quartet, the whole conversion on one page.

Read the config, let the family describe the architecture, build the four graphs, match the tensors they name with
those of the checkpoint, stream the weights into place, and move the finished folder to where it was asked for.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from quartet import families, models
from quartet.checkpoint import Checkpoint, open_checkpoint
from quartet.checkpoint.tensors import TensorEntry, equal
from quartet.errors import CheckpointError, OutputError
from quartet.families import Family
from quartet.families.description import Description
from quartet.graph import files, verify, writer
from quartet.graph.builder import Builder
from quartet.progress import Progress, silent
from quartet.quantize.recipes import DEFAULT_PRECISION, recipe_of
from quartet.spec import MANIFEST_NAME, FileEntry, Manifest, ModelSpec, Origin, Shapes, file_entry


def convert(
    source: str | Path,
    out_dir: str | Path,
    *,
    precision: str = DEFAULT_PRECISION,
    revision: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Convert the model that `source` names (a folder, `demo`, an alias, `org/name` on the hub) to `out_dir`.

    Raises what `convert_folder` raises, `ModelNotFoundError`, and `DownloadError`.
    """
    out_dir = Path(out_dir)
    recipe_of(precision)
    check_output(out_dir, force)
    found = models.resolve(str(source), revision)
    if found.kind == "quartet":
        raise CheckpointError(f"{source} is a quartet already; name the checkpoint it was made from")
    folder, origin = models.fetch(found)
    return convert_folder(folder, out_dir, precision=precision, origin=origin, force=force, progress=progress)


def convert_folder(
    folder: Path,
    out_dir: Path,
    *,
    precision: str = DEFAULT_PRECISION,
    origin: Origin | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Convert the checkpoint in `folder` to a quartet in `out_dir`; returns its manifest.

    The folder appears under its name only when complete: it is written beside its place and moved there, so that an
    interrupted conversion leaves nothing that looks like a model. `force` replaces a quartet that is there already.

    Raises `CheckpointError` (unreadable, or tensors missing, misshapen or left over: all of them are listed),
    `UnsupportedModelError`, `OutputError` (`out_dir` exists or cannot be written).
    """
    recipe = recipe_of(precision)
    check_output(out_dir, force)
    checkpoint = open_checkpoint(folder)
    family = families.find(checkpoint.config)
    spec = family.read_spec(checkpoint.config)
    graphs = files.build(spec, recipe)
    tensors = match_tensors(checkpoint, family, spec, graphs)
    description = family.describe(checkpoint)
    with _staged(out_dir, force) as staging:
        written = _write_graphs(graphs, tensors, staging, progress)
        written |= _copy_tokenizer(checkpoint.folder, description.tokenizer_files, staging)
        manifest = _manifest(spec, description, written, precision, origin or Origin(folder.resolve().name))
        manifest.save(staging)
        verify.verify(staging, written)
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
    total = sum(weight.nbytes for builder in graphs.values() for weight in builder.weights.values())
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    written: dict[str, FileEntry] = {}
    for builder in graphs.values():
        written |= writer.write(builder, tensors, folder, advance)
    return written


def _copy_tokenizer(source: Path, names: tuple[str, ...], folder: Path) -> dict[str, FileEntry]:
    for name in names:
        shutil.copyfile(source / name, folder / name)
    return {name: file_entry(folder / name) for name in names}


def _manifest(
    spec: ModelSpec, description: Description, written: dict[str, FileEntry], precision: str, origin: Origin
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
            head_size=spec.d_model // spec.decoder.heads,
            max_source_length=description.max_source_length,
            max_target_length=description.max_source_length,
            source_vocab_size=spec.source_vocab_size,
        ),
        tokens=description.tokens,
        generation=description.generation,
        source_prompt=description.source_prompt,
        target_prompt=description.target_prompt,
        safe_length=origin.safe_length or description.safe_length,
        languages=description.languages,
        tokenizer=description.tokenizer,
        files=written,
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
