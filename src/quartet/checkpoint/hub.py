"""Download a checkpoint from the Hugging Face hub: exactly the files that conversion reads, each one verified.

`huggingface_hub` does the transfer, so its cache, offline mode (`HF_HUB_OFFLINE`), mirrors (`HF_ENDPOINT`) and
tokens work as they do everywhere. It checks sizes only, so the hashes are checked here. Importing it takes a while:
import this module only to download.
"""

import contextlib
import errno
import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from quartet.checkpoint import foreign
from quartet.checkpoint.shards import brief
from quartet.checkpoint.source_files import OTHER_FILES, WEIGHTS
from quartet.errors import CheckpointError, DownloadError, ModelNotFoundError, QuartetError, did_you_mean
from quartet.progress import Bars, Progress, terminal_bar

INDEX_SUFFIX = ".index.json"
TOKENIZERS = ("tokenizer.json", "sentencepiece.bpe.model", "spiece.model", "source.spm", "vocab.json")

ATTEMPTS = 3  # of one file, where the connection breaks
ANSWER_TIMEOUT = 30.0  # seconds for the list of files
CHUNK_BYTES = 1 << 20
HASH, SHA256_DIGITS = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}"), 64  # git's of a small file, SHA-256 of a large one
WATCH_SECONDS = 0.2
FINAL_STATUS = range(400, 500)
TRY_AGAIN_STATUS = (408, 429)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
DISK_REFUSES = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub lists it. `sha256` is known for large files (LFS), `blob_id`, git's hash, for small ones."""

    name: str
    size: int
    sha256: str | None
    blob_id: str | None


@dataclass(frozen=True)
class Listing:
    """The top-level files of a repository at a commit."""

    repo_id: str
    revision: str | None  # as asked for: a branch, a tag, a commit, or None for the main branch
    commit: str
    files: dict[str, RemoteFile]


def download(
    repo_id: str, revision: str | None = None, *, bars: Bars = terminal_bar, known: Iterable[str] = ()
) -> tuple[Path, str]:
    """Bring a checkpoint into huggingface_hub's cache; returns its folder there and the commit.

    What is cached and intact is not fetched again. Without a network, or in offline mode, a checkpoint that is
    completely in the cache is used, if its files have their hashes. `bars` shows how far it is; `known` are names to
    suggest where the hub has no such model.

    Raises `ModelNotFoundError` (no such repository or revision), `CheckpointError` (a repository without a
    checkpoint) and `DownloadError` (everything else: network, login, disk, damaged files).
    """
    with _clear_errors(repo_id, revision, known), _silent_library():
        try:
            listing = _listing(repo_id, revision)
        except Exception as error:
            folder = None if _is_refusal(error) else cached(repo_id, revision)
            if folder is None:
                raise
            _refuse_rot(folder)
            return folder, folder.name
        return _download(listing, bars), listing.commit


def download_tokenizer(repo_id: str) -> Path:
    """Bring the tokeniser's files of a repository into huggingface_hub's cache; returns their folder there.

    Without a network, what is in the cache is used. Raises as `download` does.
    """
    with _clear_errors(repo_id, None, ()), _silent_library():
        try:
            listing = _listing(repo_id, None)
        except Exception as error:
            found = None if _is_refusal(error) else _cached_tokenizer(repo_id)
            if found is None:
                raise
            return found
        files = [listing.files[name] for name in OTHER_FILES if name in listing.files]
        if not any(file.name in TOKENIZERS for file in files):
            raise CheckpointError(f"{repo_id} has no tokeniser: none of {', '.join(TOKENIZERS)} is there")
        return _fetch_all(listing, files, terminal_bar)


def _cached_tokenizer(repo_id: str) -> Path | None:
    """The folder of a tokeniser in huggingface_hub's cache, or None."""
    paths = (try_to_load_from_cache(repo_id, name) for name in TOKENIZERS)
    return next((Path(path).parent for path in paths if isinstance(path, str)), None)


def cached(repo_id: str, revision: str | None = None) -> Path | None:
    """The folder of a checkpoint that is completely in huggingface_hub's cache, or None."""
    config = try_to_load_from_cache(repo_id, "config.json", revision=revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    names = {path.name for path in folder.iterdir() if path.exists()}
    first = next((name for name in WEIGHTS if name in names), None)
    complete = first is not None and set(_weight_files(folder, first)) <= names
    return folder if complete else None


# ---- the files ----------------------------------------------------------------------------------------------------


def _listing(repo_id: str, revision: str | None) -> Listing:
    info = HfApi().model_info(repo_id, revision=revision, files_metadata=True, timeout=ANSWER_TIMEOUT)
    files = {
        s.rfilename: RemoteFile(s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else None, None if s.lfs else s.blob_id)
        for s in info.siblings or ()
    }
    if info.sha is None:
        raise DownloadError(f"the hub's answer for {repo_id} names no commit")
    return Listing(repo_id, revision, info.sha, files)


def _download(listing: Listing, bars: Bars) -> Path:
    """Weights come last: a folder that has them has everything, which is what `cached` relies on."""
    first = _first_weights(listing)
    small = [listing.files[name] for name in (*OTHER_FILES, first) if name in listing.files]
    if not first.endswith(INDEX_SUFFIX):
        return _fetch_all(listing, small, bars)
    folder = _fetch_all(listing, small, bars)
    missing = [name for name in _weight_files(folder, first) if name not in listing.files]
    if missing:
        raise CheckpointError(f"{listing.repo_id} is incomplete: {first} names {missing[0]}, which is not there")
    return _fetch_all(listing, [listing.files[name] for name in _weight_files(folder, first)], bars)


def _first_weights(listing: Listing) -> str:
    other = foreign.named(listing.files)
    if "config.json" not in listing.files:
        but = f", but {other}" if other else ""
        raise CheckpointError(f"{listing.repo_id} holds no checkpoint: it has no config.json{but}")
    first = next((name for name in WEIGHTS if name in listing.files), None)
    if first is None:
        raise CheckpointError(
            f"{listing.repo_id} has no weights that quartet reads (model.safetensors or pytorch_model.bin, "
            f"or one of them in shards, or CTranslate2's model.bin){f': it has {other}' if other else ''}"
        )
    return first


def _weight_files(folder: Path, first: str) -> list[str]:
    """The files with the weights: `first` itself, or the shards that it lists."""
    if not first.endswith(INDEX_SUFFIX):
        return [first]
    try:
        index = json.loads((folder / first).read_text(encoding="utf-8"))
        return sorted(set(map(str, index["weight_map"].values())))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / first} is no index of weights: {type(error).__name__} {error}") from None


def _fetch_all(listing: Listing, files: list[RemoteFile], bars: Bars) -> Path:
    missing = sum(file.size for file in files if not _is_cached(listing, file))
    _check_space(listing.repo_id, missing)
    with bars(f"downloading {listing.repo_id}", "bytes") as progress, _watched(listing.repo_id, missing, progress):
        paths = [_fetch_intact(listing, file) for file in files]
    return paths[0].parent


def _is_cached(listing: Listing, file: RemoteFile) -> bool:
    return isinstance(try_to_load_from_cache(listing.repo_id, file.name, revision=listing.commit), str)


def _fetch_intact(listing: Listing, file: RemoteFile) -> Path:
    """Fetch a file and compare its hash with the hub's; a damaged one is fetched once more."""
    for _ in range(2):
        path = _fetch(listing, file)
        if path.parent.name != listing.commit:
            raise DownloadError(f"{listing.repo_id} was changed on the hub during the download: try again")
        if _is_intact(path, file):
            return path
        _delete(path)
    raise DownloadError(
        f"{file.name} of {listing.repo_id} arrived damaged twice: its hash is not the one that the hub lists. "
        "It has been deleted; try again later or from another network"
    )


def _fetch(listing: Listing, file: RemoteFile) -> Path:
    for attempt in range(1, ATTEMPTS):
        try:
            return Path(hf_hub_download(listing.repo_id, file.name, revision=listing.revision))
        except Exception as error:
            if _is_final(error):
                raise
            time.sleep(attempt)
    return Path(hf_hub_download(listing.repo_id, file.name, revision=listing.revision))


def _is_intact(path: Path, file: RemoteFile) -> bool:
    size = path.stat().st_size
    if file.sha256:
        return size == file.size and _digest(path, "sha256", b"") == file.sha256
    if file.blob_id:
        return _digest(path, "sha1", b"blob %d\0" % size) == file.blob_id  # git's hash of a file
    return size == file.size


def _refuse_rot(folder: Path) -> None:
    """Without the hub's list: a cached file is a link to one whose name is the hash that the hub had for it."""
    for path in sorted(folder.iterdir()):
        blob = path.resolve()
        if blob.parent.name == "blobs" and HASH.fullmatch(blob.name):
            large = len(blob.name) == SHA256_DIGITS
            expected = RemoteFile(path.name, blob.stat().st_size, *((blob.name, None) if large else (None, blob.name)))
            if not _is_intact(blob, expected):
                raise DownloadError(f"{path} is damaged: its hash is not the one that the hub listed. Delete {blob}")


def _digest(path: Path, algorithm: str, prefix: bytes) -> str:
    digest = hashlib.new(algorithm, prefix, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _delete(path: Path) -> None:
    """Delete a file of the cache and what it links to, so that it is fetched again."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)


def _check_space(repo_id: str, needed: int) -> None:
    folder = _cache_root()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"no space for {repo_id}: it needs {needed / 1e9:.2f} GB in {folder}, where {free / 1e9:.2f} GB are free "
            "(HF_HOME names another folder)"
        )


def _cache_root() -> Path:
    return Path(constants.HF_HUB_CACHE)


# ---- what the user sees -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _silent_library() -> Iterator[None]:
    """Switch huggingface_hub's own bars off (one per file, in another style)."""
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextlib.contextmanager
def _watched(repo_id: str, total: int, progress: Progress) -> Iterator[None]:
    """Tell how much of all files has arrived, by looking: that works for every version and every transport."""
    if not total:
        yield
        return
    blobs = _cache_root() / f"models--{repo_id.replace('/', '--')}" / "blobs"
    before = _bytes_in(blobs, complete_only=True)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(WATCH_SECONDS):
            progress(min(total, _bytes_in(blobs) - before), total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _bytes_in(folder: Path, complete_only: bool = False) -> int:
    """Bytes of the files in a folder; one that vanishes meanwhile counts nothing."""
    total = 0
    for path in folder.glob("*"):
        if complete_only and path.suffix == ".incomplete":
            continue
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


# ---- errors -------------------------------------------------------------------------------------------------------


def _is_refusal(error: Exception) -> bool:
    """The hub has answered that there is no such thing, or not for this user; a cached copy would hide that."""
    return isinstance(error, RepositoryNotFoundError | RevisionNotFoundError | HFValidationError)


def _is_final(error: Exception) -> bool:
    """Trying again would not help."""
    if isinstance(error, LocalEntryNotFoundError):  # in spite of its name: the connection failed
        return isinstance(error.__cause__, OfflineModeIsEnabled)
    status = _status(error)
    return (
        _is_refusal(error)
        or isinstance(error, EntryNotFoundError | OfflineModeIsEnabled)
        or (isinstance(error, OSError) and error.errno in DISK_FULL + DISK_REFUSES)
        or (status in FINAL_STATUS and status not in TRY_AGAIN_STATUS)
    )


def _status(error: BaseException) -> int | None:
    """HTTP status of an error that has one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


@contextlib.contextmanager
def _clear_errors(repo_id: str, revision: str | None, known: Iterable[str]) -> Iterator[None]:
    """Turn whatever huggingface_hub and its HTTP client raise into one of quartet's errors."""
    try:
        yield
    except QuartetError:
        raise
    except Exception as error:
        raise explain(error, repo_id, revision, known) from error


def explain(error: Exception, repo_id: str, revision: str | None, known: Iterable[str] = ()) -> QuartetError:
    """One clear line for an error of huggingface_hub, its HTTP client or the file system."""
    root = error.__cause__ if isinstance(error.__cause__, OfflineModeIsEnabled) else error
    if isinstance(root, RepositoryNotFoundError | HFValidationError) and not isinstance(root, GatedRepoError):
        hint = did_you_mean(repo_id, known)
        return ModelNotFoundError(f"the hub has no model {repo_id}, or shows it only after a login{hint}")
    if isinstance(root, RevisionNotFoundError):
        return ModelNotFoundError(f"{repo_id} has no revision {brief(revision)} on the hub")
    return DownloadError(f"{repo_id} could not be downloaded: {_reason(root)}")


def _reason(error: Exception) -> str:
    match error:
        case GatedRepoError():
            return "accept its terms on its page on the hub, then log in with `hf auth login` or set HF_TOKEN"
        case OfflineModeIsEnabled():
            return "it is not completely in the cache, and HF_HUB_OFFLINE is set"
        case OSError(errno=number) if number in DISK_FULL:
            return f"the disk with {_cache_root()} is full (HF_HOME names another folder)"
        case OSError(errno=number) if number in DISK_REFUSES:
            return f"{_cache_root()} cannot be written: {error.strerror}"
    return _refusal_or_break(error)


def _innermost(error: Exception) -> str:
    """What an HTTP client says in the end: it wraps the cause, such as a name that is not found, in several others."""
    wrapped = error.args[0] if error.args else None
    cause = getattr(wrapped, "reason", None) or error
    lines = str(cause).strip().splitlines() or ["no details"]
    return f"{type(cause).__name__}: {lines[0].rpartition('): ')[2][:200]}"


def _refusal_or_break(error: Exception) -> str:
    status = _status(error)
    if status is None:
        return f"no connection to the hub, or it broke ({_innermost(error)})"
    if status in (401, 403):
        return f"the hub refuses the login (HTTP status {status}); check HF_TOKEN or run `hf auth login`"
    return f"the hub answers with HTTP status {status}; try again later"
