"""The cache folder: converted models, and what each machine derives from them."""

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from quartet.catalog import alias_of
from quartet.derived import claim, is_marked
from quartet.errors import ManifestError, ModelNotFoundError, OutputError, did_you_mean
from quartet.spec import CACHE_INITIALIZER, DECODER, ENCODER, LM_HEAD, Manifest
from quartet.staging import STAGED, bytes_of, remove_abandoned, remove_at_once

PACKED = "packed"  # folder in the cache for weights as this machine packs them, see `runtime.machine.packing`
HEADS = "heads"  # likewise for heads of one target language, see `runtime.machine.head_selection`
ENTRY = re.compile(r"[\w.-]+--[0-9a-f]{12}")  # name of a converted model in the cache
DERIVED = re.compile(r"[0-9a-f]{16}|[0-9a-f]{12}-[0-9a-f]{12}")  # names of folders that packed weights are in
OPENED = (ENCODER, CACHE_INITIALIZER, DECODER, LM_HEAD)
UNMARKED = {f"{file}.onnx{ending}" for file in OPENED for ending in ("", ".data")} | {"unusable", "rows.npy"}
MOST_NAMED = 5  # of what is left alone

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedModel:
    """A converted model in the cache."""

    name: str
    precision: str
    revision: str | None
    license: str | None
    folder: Path
    bytes: int


def cache_folder() -> Path:
    """Where converted models are kept: `$QUARTET_HOME`, else the platform's folder for caches.

    Raises `OutputError` where the user has no home, in which that folder would be.
    """
    home = os.environ.get("QUARTET_HOME", "").strip()
    try:
        # older versions of platformdirs leave the `~` of a user without a home as it is
        return Path(home or platformdirs.user_cache_dir("quartet", appauthor=False)).expanduser()
    except (RuntimeError, KeyError):
        named = f"QUARTET_HOME is {home}, but that" if home else "this"
        raise OutputError(f"{named} user has no home folder; set QUARTET_HOME to a folder for models") from None


def models_folder() -> Path:
    """Where in it the models are."""
    return cache_folder() / "models"


def list_cached() -> list[CachedModel]:
    """The converted models in the cache, by name."""
    models = []
    for folder in _inside(models_folder()):
        if ENTRY.fullmatch(folder.name):
            with contextlib.suppress(ManifestError):
                manifest = Manifest.load(folder)
                facts = (manifest.name, manifest.precision, manifest.revision, manifest.license)
                models.append(CachedModel(*facts, folder, bytes_of(folder)))
    return sorted(models, key=lambda model: (model.name, model.precision))


def clear_cache(name: str | None = None) -> int:
    """Delete converted models, their packed weights, and what interrupted conversions left; returns the bytes freed.

    name: only the conversions of this model (a name, alias or repository, as `list_cached` or the user spells it).
    What is being converted or packed at the moment is left alone, and so is everything that quartet has not marked as
    its own: a warning names it. Raises `ModelNotFoundError` where the cache has no such model, and `OutputError` where
    something cannot be deleted.
    """
    left: list[Path] = []
    if name is None:
        derived_folders = (cache_folder() / PACKED, cache_folder() / HEADS)
        freed = sum(_clear_derived(folder, left) for folder in derived_folders) + _clear_models(left)
    else:
        folders = _of_model(name)
        freed = sum(_remove_model(folder, left) + _clear_derived(packed_folder(folder), left) for folder in folders)
    if left:
        names = ", ".join(str(path) for path in left[:MOST_NAMED])
        more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
        logger.warning("left alone, since quartet did not make it or does not know it: %s%s", names, more)
    return freed


def _of_model(name: str) -> list[Path]:
    cached = list_cached()
    alias = alias_of(name)
    folders = [model.folder for model in cached if model.name in (name, alias and alias.repo)]
    if not folders:
        raise ModelNotFoundError(f"the cache has no model {name!r}{did_you_mean(name, [m.name for m in cached])}")
    return folders


def _clear_models(left: list[Path]) -> int:
    freed = 0
    for path in _inside(models_folder()):
        staged = STAGED.fullmatch(path.name)
        if ENTRY.fullmatch(staged["target"] if staged else path.name):
            freed += _remove_model(path, left)
        else:
            left.append(path)
    return freed


def _remove_model(path: Path, left: list[Path]) -> int:
    staged = STAGED.fullmatch(path.name)
    if not _is_dir(path) or not (staged or is_marked(path) or _is_named_as_its_manifest(path)):
        left.append(path)
        return 0
    with locked(staged["target"] if staged else path.name, wait=False) as held:
        return _remove(path) if held else 0


def _clear_derived(folder: Path, left: list[Path]) -> int:
    """Delete what is derived from models in a folder of the cache, and the folder if nothing else is in it."""
    freed = _removed_leftovers(folder)
    for path in _inside(folder):
        if _is_dir(path) and (is_marked(path) or _is_of_older_quartets(path)):
            freed += _remove(path)
        elif _is_dir(path) and DERIVED.fullmatch(path.name):
            freed += _clear_derived(path, left)
        elif not STAGED.fullmatch(path.name):  # these are being written
            left.append(path)
    with contextlib.suppress(OSError):
        folder.rmdir()
    return freed


def _removed_leftovers(folder: Path) -> int:
    return remove_abandoned(folder) if _is_dir(folder) else 0


def _is_dir(path: Path) -> bool:
    """Whether it is a folder and no link to one: quartet makes no links."""
    return path.is_dir() and not path.is_symlink()


def _is_named_as_its_manifest(folder: Path) -> bool:
    """Whether this is a model that an older quartet put there: it marked none."""
    with contextlib.suppress(ManifestError):
        manifest = Manifest.load(folder)
        return folder.name.startswith(f"{readable(manifest.name, manifest.precision)}--")
    return False


def _is_of_older_quartets(folder: Path) -> bool:
    """Likewise packed weights and heads of one language: they are told by their files."""
    names = {path.name for path in _inside(folder)}
    return bool(names) and names <= UNMARKED


def readable(name: str, precision: str) -> str:
    """The part of an entry's name that is for people."""
    return re.sub(r"[^\w.-]+", "-", f"{name}-{precision}", flags=re.ASCII).strip(".-")[:80]


def packed_folder(folder: Path) -> Path:
    """Where the weights of the quartet in `folder`, anywhere on the disk, are kept as this machine packs them."""
    return cache_folder() / PACKED / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def is_whole(folder: Path) -> bool:
    """Whether a folder has a manifest, and every file in it has its size."""
    try:
        files = Manifest.load(folder).files
        return all((folder / name).stat().st_size == file.bytes for name, file in files.items())
    except (ManifestError, OSError):
        return False


@contextlib.contextmanager
def locked(entry_name: str, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a cache entry; yields whether it is held. The system frees it when a process dies."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not needed where nothing is converted

    try:
        locks = cache_folder() / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        models_folder().mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{entry_name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                yield False
                return
            logger.warning("waiting for another process that is converting the same model (%s)", entry_name)
            lock.acquire()
    except OSError as error:
        raise OutputError(
            f"the cache folder {cache_folder()} cannot be written ({error.strerror}); QUARTET_HOME names another one"
        ) from None
    try:
        yield True
    finally:
        lock.release()


def _inside(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where there is none."""
    try:
        return sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise OutputError(f"the cache folder {folder} cannot be read: {error.strerror}") from None


def mark(entry: Path) -> None:
    """Mark a converted model as the cache's own, so that `clear_cache` knows it."""
    with contextlib.suppress(OSError):
        claim(entry)


def remove_all_of(entry: Path) -> None:
    """Delete a damaged entry and what interrupted conversions into it left; its lock is held."""
    for path in _inside(models_folder()):
        staged = STAGED.fullmatch(path.name)
        if path == entry or (staged and staged["target"] == entry.name):
            _remove(path)


def _remove(path: Path) -> int:
    size = bytes_of(path)
    try:
        remove_at_once(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be deleted: {error.strerror}") from None
    return size
