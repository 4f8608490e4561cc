"""The cache folder: converted models, and what each machine derives from them."""

import contextlib
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from quartet.catalog import alias_of
from quartet.errors import ManifestError, ModelNotFoundError, OutputError, did_you_mean
from quartet.spec import Manifest

PACKED = "packed"  # folder in the cache for weights as this machine packs them, see `runtime.machine.packing`
HEADS = "heads"  # likewise for heads of one target language, see `runtime.machine.head_selection`
ENTRY = re.compile(r"(?P<entry>[\w.-]+--[0-9a-f]{12})(?P<leftover>.*)")  # of the cache; a leftover has a longer name

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
    """Where converted models are kept: `$QUARTET_HOME`, else the platform's folder for caches."""
    home = os.environ.get("QUARTET_HOME", "").strip()
    home = os.path.expanduser(home)  # noqa: PTH111 - Path.expanduser raises for an unknown user
    return Path(home) if home else Path(platformdirs.user_cache_dir("quartet", appauthor=False))


def models_folder() -> Path:
    """Where in it the models are."""
    return cache_folder() / "models"


def list_cached() -> list[CachedModel]:
    """The converted models in the cache, by name."""
    models = []
    for folder in _entries():
        with contextlib.suppress(ManifestError):
            manifest = Manifest.load(folder)
            facts = (manifest.name, manifest.precision, manifest.revision, manifest.license)
            models.append(CachedModel(*facts, folder, _bytes_of(folder)))
    return sorted(models, key=lambda model: (model.name, model.precision))


def clear_cache(name: str | None = None) -> int:
    """Delete converted models, their packed weights, and what interrupted conversions left; returns the bytes freed.

    name: only the conversions of this model (a name, alias or repository, as `list_cached` or the user spells it).
    What is being converted at the moment is left alone, and so is everything in the folder that quartet did not
    make. Raises `ModelNotFoundError` where the cache has no such model.
    """
    if name is None:
        derived = sum(_remove_packed(cache_folder() / name) for name in (PACKED, HEADS))
        return sum(map(_remove_unless_busy, _entries())) + derived
    cached = list_cached()
    alias = alias_of(name)
    folders = [model.folder for model in cached if model.name in (name, alias and alias.repo)]
    if not folders:
        raise ModelNotFoundError(f"the cache has no model {name!r}{did_you_mean(name, [m.name for m in cached])}")
    return sum(_remove_unless_busy(folder) + _remove_packed(packed_folder(folder)) for folder in folders)


def packed_folder(folder: Path) -> Path:
    """Where the weights of the quartet in `folder`, anywhere on the disk, are kept as this machine packs them."""
    return cache_folder() / PACKED / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def _remove_packed(path: Path) -> int:
    return _remove(path) if path.is_dir() else 0


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


def _entries() -> list[Path]:
    """Everything in the cache that quartet made: converted models and leftovers of interrupted conversions."""
    folder = models_folder()
    return sorted(path for path in folder.iterdir() if ENTRY.fullmatch(path.name)) if folder.is_dir() else []


def remove_all_of(entry: Path) -> None:
    """Delete a damaged entry and what interrupted conversions into it left; its lock is held."""
    for path in _entries():
        found = ENTRY.fullmatch(path.name)
        if found and found["entry"].lstrip(".") == entry.name:
            _remove(path)


def _remove_unless_busy(path: Path) -> int:
    found = ENTRY.fullmatch(path.name)
    assert found is not None
    with locked(found["entry"].lstrip("."), wait=False) as held:
        return _remove(path) if held else 0


def _remove(path: Path) -> int:
    size = _bytes_of(path)
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise OutputError(f"{path} cannot be deleted: {error.strerror}") from None
    return size


def _bytes_of(path: Path) -> int:
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(p.lstat().st_size for p in path.rglob("*") if p.is_symlink() or p.is_file())
