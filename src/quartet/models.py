"""From a model's name to the folder of a converted one: names, aliases, and the cache of conversions.

A name is, in this order: a folder (a quartet or a checkpoint), `demo`, an alias from `models.toml`, an `org/name`
on the hub. A model that is already converted is found without a network and without importing what conversion and
download need.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import platformdirs

from quartet.checkpoint import CONFIG, is_checkpoint, is_openai_file
from quartet.checkpoint.card import license_of
from quartet.checkpoint.ctranslate2 import argos
from quartet.errors import ManifestError, ModelNotFoundError, OptionError, OutputError, did_you_mean
from quartet.quantize.recipes import DEFAULT_PRECISION, recipe_of
from quartet.spec import FORMAT_VERSION, MANIFEST_NAME, Manifest, Origin

DEMO = "demo"
DEMO_FOLDER = Path(__file__).parent / "demo"

REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*")
OPUS_MT = re.compile(r"opus-mt-[A-Za-z_]{2,}-[A-Za-z_]{2,}")
PACKED = "packed"  # folder in the cache for weights as this machine packs them, see `runtime.packing`
HEADS = "heads"  # likewise for heads of one target language, see `vocabulary.head`
ENTRY = re.compile(r"(?P<entry>[\w.-]+--[0-9a-f]{12})(?P<leftover>.*)")  # of the cache; a leftover has a longer name
SOURCE_SUFFIXES = {".json", ".safetensors", ".bin", ".model", ".spm", ".onnx", ".onnx_data"}  # what a conversion reads
SOURCE_ENDINGS = ("vocabulary.txt", "merges.txt")  # likewise

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alias:
    """A short name for a repository on the hub."""

    name: str
    repo: str
    license: str | None
    parameters: int | None  # millions
    about: str


@dataclass(frozen=True)
class Source:
    """What a name stands for: a folder with a quartet, a folder with a checkpoint, or a repository on the hub."""

    kind: Literal["quartet", "checkpoint", "hub"]
    name: str  # to display, and for the manifest: the repository, `demo`, or the folder's name
    folder: Path | None = None  # None for the hub
    revision: str | None = None
    license: str | None = None  # as far as the table of aliases knows


@dataclass(frozen=True)
class CachedModel:
    """A converted model in the cache."""

    name: str
    precision: str
    revision: str | None
    license: str | None
    folder: Path
    bytes: int


# ---- names --------------------------------------------------------------------------------------------------------


def aliases() -> dict[str, Alias]:
    """The table of aliases, by name."""
    return {
        name: Alias(name, f"{group['organisation']}/{name}", group["license"], entry.get("parameters"), entry["about"])
        for group in _table()["group"]
        for name, entry in group["models"].items()
    }


def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("models.toml").read_text(encoding="utf-8"))


def resolve(name: str, revision: str | None = None) -> Source:
    """What a model's name stands for; looks at the file system, not at the network.

    Raises `ModelNotFoundError` where it stands for nothing, and `OptionError` for a revision of something that
    has none.
    """
    source = _local(name) or _on_the_hub(name, revision)
    if source.folder and revision is not None:
        raise OptionError(f"{name} has no revision {revision!r}: only models on the hub have revisions")
    return source


def _local(name: str) -> Source | None:
    folder = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises for an unknown user
    is_folder = bool(name.strip()) and os.path.isdir(folder)  # noqa: PTH112 - Path.is_dir raises on overlong names
    if is_folder and (folder / MANIFEST_NAME).is_file():
        return Source("quartet", folder.resolve().name, folder)
    if is_folder and is_checkpoint(folder):
        return Source("checkpoint", folder.resolve().name, folder)
    if is_openai_file(folder):
        return Source("checkpoint", folder.stem, folder)
    if folder.suffix == argos.SUFFIX and os.path.isfile(folder):  # noqa: PTH113 - as above
        return Source("checkpoint", folder.resolve().stem, folder)
    if name == DEMO:
        return Source("checkpoint", DEMO, DEMO_FOLDER)
    if is_folder and _alias(name) is None:
        raise ModelNotFoundError(f"{name} is no model: it has neither {MANIFEST_NAME} nor {CONFIG}")
    return None


def _on_the_hub(name: str, revision: str | None) -> Source:
    alias = _alias(name)
    if alias:
        return Source("hub", alias.repo, revision=revision, license=alias.license)
    if _looks_like_path(name):
        hint = "it is a file; name the folder that holds it" if os.path.isfile(name) else "no such folder"  # noqa: PTH113
        raise ModelNotFoundError(f"no model {name!r}: {hint}")
    if REPO_ID.fullmatch(name):
        known = {a.repo: a for a in aliases().values()}
        return Source("hub", name, revision=revision, license=known[name].license if name in known else None)
    hint = did_you_mean(name, [DEMO, *aliases()])
    raise ModelNotFoundError(
        f"no model {name!r}{hint}; a model is a folder, `{DEMO}`, "
        "an alias (`quartet models` lists them) or org/name on the hub"
    )


def _alias(name: str) -> Alias | None:
    if OPUS_MT.fullmatch(name):
        return aliases().get(name) or Alias(name, f"Helsinki-NLP/{name}", None, None, "")
    return aliases().get(name)


def _looks_like_path(name: str) -> bool:
    return (
        name.startswith((".", "/", "~"))
        or name.endswith(("/", os.sep))
        or "\\" in name
        or name.count("/") > 1
        or os.path.isfile(name)  # noqa: PTH113 - as above
    )


# ---- checkpoints -------------------------------------------------------------------------------------------------


def fetch(source: Source, progress: bool = True) -> tuple[Path, Origin]:
    """The folder of a source's checkpoint, downloaded where it is on the hub, and what the manifest says of it.

    progress: a bar for the download, where stderr is a terminal. Raises what `quartet.checkpoint.hub.download` does.
    """
    folder, commit = source.folder, None
    if folder is None:
        from quartet.checkpoint import hub  # noqa: PLC0415 - huggingface_hub is slow to import

        known = [alias.repo for alias in aliases().values()]
        folder, commit = hub.download(source.name, source.revision, progress=progress, known=known)
    measured = _table().get("safe_length", {}).get(source.name)
    return folder, Origin(source.name, commit, license_of(folder) or source.license, measured)


def tokenizer_folder(name: str) -> Path:
    """The folder of the tokeniser's files that a name stands for: itself, or those of a model on the hub, downloaded.

    Raises `ModelNotFoundError` where the name stands for nothing, and what the download does.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    source = resolve(name)
    if source.folder:
        return source.folder
    from quartet.checkpoint import hub  # noqa: PLC0415 - huggingface_hub is slow to import

    return hub.download_tokenizer(source.name)


class Convert(Protocol):
    """A conversion of a checkpoint's folder, as the cache needs it: it writes `out_dir` completely or not at all."""

    def __call__(self, folder: Path, out_dir: Path, *, precision: str, origin: Origin) -> object:
        """Write a quartet to `out_dir`, which does not exist yet."""


def _convert(folder: Path, out_dir: Path, *, precision: str, origin: Origin) -> object:
    from quartet.conversion import convert_folder  # noqa: PLC0415 - onnx_ir is slow to import

    return convert_folder(folder, out_dir, precision=precision, origin=origin)


# ---- the cache ----------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where converted models are kept: `$QUARTET_HOME`, else the platform's folder for caches."""
    home = os.environ.get("QUARTET_HOME", "").strip()
    return Path(home).expanduser() if home else Path(platformdirs.user_cache_dir("quartet", appauthor=False))


def ready(
    name: str,
    precision: str | None = None,
    revision: str | None = None,
    *,
    progress: bool = True,
    convert: Convert = _convert,
) -> Path:
    """The folder of a converted model; converts it first, and downloads it before that, where it is not cached.

    precision: a recipe's name; None is the default recipe, or whatever a folder that is a quartet already has.
    progress: a bar for the download, where stderr is a terminal.
    convert: what to convert with; the default is `quartet.conversion.convert_folder` without a bar.

    A model on the hub is converted once for each revision asked for, and no newer commit of a branch is looked for
    afterwards. A folder is converted again when its files change. Raises what `resolve`, the download and the
    conversion raise, and `OutputError` where the cache cannot be written.
    """
    source = resolve(name, revision)
    if source.kind == "quartet" and source.folder:
        return _as_asked(source.folder, precision)
    precision = precision or DEFAULT_PRECISION
    recipe_of(precision)
    entry = _models_folder() / entry_name(source, precision)
    if not _is_whole(entry):
        with _locked(entry.name, wait=True):
            if not _is_whole(entry):  # another process may have converted it meanwhile
                _remove_all_of(entry)
                folder, origin = fetch(source, progress)
                convert(folder, entry, precision=precision, origin=origin)
    return entry


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
    alias = _alias(name)
    folders = [model.folder for model in cached if model.name in (name, alias and alias.repo)]
    if not folders:
        raise ModelNotFoundError(f"the cache has no model {name!r}{did_you_mean(name, [m.name for m in cached])}")
    return sum(_remove_unless_busy(folder) + _remove_packed(packed_folder(folder)) for folder in folders)


def packed_folder(folder: Path) -> Path:
    """Where the weights of the quartet in `folder`, anywhere on the disk, are kept as this machine packs them."""
    return cache_folder() / PACKED / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def _remove_packed(path: Path) -> int:
    return _remove(path) if path.is_dir() else 0


def _as_asked(folder: Path, precision: str | None) -> Path:
    """A quartet is what it is: another precision needs the checkpoint it was made from."""
    if precision is not None:
        found = Manifest.load(folder).precision
        if found != precision:
            raise OptionError(f"{folder} is converted at precision {found}; for {precision} name its checkpoint")
    return folder


def _models_folder() -> Path:
    return cache_folder() / "models"


def entry_name(source: Source, precision: str) -> str:
    """A readable name and a hash of all that the conversion depends on."""
    key = json.dumps([source.kind, _identity(source), precision, FORMAT_VERSION])
    readable = re.sub(r"[^\w.-]+", "-", f"{source.name}-{precision}", flags=re.ASCII).strip(".-")[:80]
    return f"{readable}--{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _identity(source: Source) -> list[object]:
    """For the hub the revision as it was asked for, so that a conversion is found again without a network."""
    if source.folder is None:
        return [source.name, source.revision or "main"]
    files = _source_files(source.folder)
    if source.folder == DEMO_FOLDER:  # by content: a new installation of the same files is no reason to convert again
        return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    return [str(source.folder.resolve()), [(path.name, *_size_and_time(path)) for path in files]]


def _source_files(folder: Path) -> list[Path]:
    """What a conversion may read of a checkpoint's folder or an Argos package."""
    if folder.suffix == argos.SUFFIX:
        return [folder]
    if folder.is_file():  # the tokeniser lies beside it
        return [folder, *_source_files(folder.parent)]
    inside = [path for part in (folder, folder / argos.MODEL) if part.is_dir() for path in part.iterdir()]
    read = (path for path in inside if path.suffix in SOURCE_SUFFIXES or path.name.endswith(SOURCE_ENDINGS))
    return sorted(path for path in read if path.is_file())


def _size_and_time(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _is_whole(folder: Path) -> bool:
    """Has a manifest, and every file in it has its size."""
    try:
        files = Manifest.load(folder).files
        return all((folder / name).stat().st_size == file.bytes for name, file in files.items())
    except (ManifestError, OSError):
        return False


@contextlib.contextmanager
def _locked(entry_name: str, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a cache entry; yields whether it is held. The system frees it when a process dies."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not needed where nothing is converted

    try:
        locks = cache_folder() / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        _models_folder().mkdir(parents=True, exist_ok=True)
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
    folder = _models_folder()
    return sorted(path for path in folder.iterdir() if ENTRY.fullmatch(path.name)) if folder.is_dir() else []


def _remove_all_of(entry: Path) -> None:
    """Delete a damaged entry and what interrupted conversions into it left; its lock is held."""
    for path in _entries():
        found = ENTRY.fullmatch(path.name)
        if found and found["entry"].lstrip(".") == entry.name:
            _remove(path)


def _remove_unless_busy(path: Path) -> int:
    found = ENTRY.fullmatch(path.name)
    assert found is not None
    with _locked(found["entry"].lstrip("."), wait=False) as held:
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
