"""The end of a conversion: check what was written, put it into its layout, and let it appear under its name."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from quartet.conversion import layouts, verify
from quartet.conversion.describe import Blueprint
from quartet.conversion.trial_run import run_once
from quartet.errors import ManifestError, OutputError
from quartet.spec import MANIFEST_NAME, Manifest, file_entry
from quartet.staging import staged_folder

SHOWN = 3  # names of files in a message


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
    others = sorted(path.name for path in out_dir.iterdir() if path.name not in _own_files(out_dir))
    if others:
        shown = ", ".join(others[:SHOWN]) + (f" and {len(others) - SHOWN} more" if len(others) > SHOWN else "")
        raise OutputError(f"{out_dir} holds other files beside its model ({shown}); name another folder, or move them")


def _own_files(folder: Path) -> set[str]:
    """The names of what conversion has put there; raises `OutputError` where the manifest does not say."""
    try:
        return {MANIFEST_NAME, *Manifest.load(folder).files}
    except ManifestError as error:
        raise OutputError(f"{folder} is not replaced: what of it is a model cannot be told ({error})") from None


@contextlib.contextmanager
def staged_output(out_dir: Path, force: bool) -> Iterator[Path]:
    """A folder that takes the place of `out_dir` when the block ends well; raises `OutputError`."""
    target = out_dir.resolve()  # where a link leads
    try:
        with staged_folder(target, replace=True) as staging:
            yield staging
            check_output(target, force)  # others may have put something there meanwhile
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {out_dir}: {error.strerror or error}") from None


def publish(blueprint: Blueprint, manifest: Manifest, staging: Path) -> Manifest:
    """Check and arrange the files in `staging`, hash them, and write the manifest, which is returned.

    Raises `ManifestError` where something was written wrongly, `CheckpointError` where no numbers come out of it.
    """
    verify.verify(staging, manifest.files)
    run_once(staging, manifest)
    manifest = layouts.arrange(
        staging, manifest, blueprint.layout, blueprint.spec, blueprint.recipe, blueprint.graphs.values()
    )
    manifest = replace(manifest, files={name: file_entry(staging / name) for name in manifest.files})
    manifest.save(staging)
    return manifest
