"""From a model's name to the folder of a converted one, downloaded and converted where it is not in the cache.

A model that is already converted is found without a network and without importing what conversion and download need.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from quartet import store
from quartet.catalog import DEMO, Source, aliases, resolve, safe_length_of
from quartet.checkpoint.card import license_of
from quartet.checkpoint.source_files import source_files
from quartet.errors import CheckpointError, OptionError, QuartetError
from quartet.options.declared import CONVERSION, MODEL
from quartet.options.kinds import checked
from quartet.progress import Bars, Progress, silent, terminal_bar
from quartet.quantize.recipes import DEFAULT_PRECISION, SPEECH_PRECISION, QuantizationOptions
from quartet.spec import FORMAT_VERSION, MANIFEST_NAME, Manifest, Origin

log = logging.getLogger("quartet")


class Convert(Protocol):
    """A conversion of a checkpoint's folder, as the cache needs it: it writes `out_dir` completely or not at all."""

    def __call__(self, folder: Path, out_dir: Path, *, precision: str, origin: Origin, progress: Progress) -> object:
        """Write a quartet to `out_dir`, which does not exist yet."""


def _convert_folder(folder: Path, out_dir: Path, *, precision: str, origin: Origin, progress: Progress) -> object:
    from quartet.conversion.convert import convert_folder  # noqa: PLC0415 - onnx_ir is slow to import

    return convert_folder(folder, out_dir, precision=precision, origin=origin, progress=progress)


def ready(
    name: str | Path,
    precision: str | None = None,
    revision: str | None = None,
    *,
    bars: Bars = terminal_bar,
    convert: Convert = _convert_folder,
) -> Path:
    """The folder of a converted model; converts it first, and downloads it before that, where it is not cached.

    precision: a recipe's name; None is the usual one for the kind of model (int4 for text, int8 for speech), or
    whatever a folder that is a quartet already has.
    bars: how progress is shown.

    A model on the hub is converted once for each revision asked for, and no newer commit of a branch is looked for
    afterwards. A folder is converted again when its files change. Raises what `resolve`, the download and the
    conversion raise, and `OutputError` where the cache cannot be written.
    """
    revision, precision = checked(MODEL["revision"], revision), checked(MODEL["precision"], precision)
    source = resolve(checked(MODEL["model"], name), revision)
    if source.kind == "quartet" and source.folder:
        return _as_asked(source.folder, precision)
    return _converted(source, precision) or _made(source, precision, bars, convert)


def _made(source: Source, precision: str | None, bars: Bars, convert: Convert) -> Path:
    """The entry of the cache, made by the process that comes first."""
    entry = _entry(source, precision or DEFAULT_PRECISION)
    with contextlib.ExitStack() as locks:
        locks.enter_context(store.locked(entry.name, wait=True))
        if found := _converted(source, precision):  # another process may have converted it meanwhile
            return found
        folder, origin = fetch(source, bars)
        precision = precision or _usual_precision(folder)
        if entry != _entry(source, precision):
            entry = _entry(source, precision)
            locks.enter_context(store.locked(entry.name, wait=True))
        if not store.is_whole(entry):
            store.remove_all_of(entry)
            with bars(f"converting {origin.name}", "bytes") as progress:
                convert(folder, entry, precision=precision, origin=origin, progress=progress)
            store.mark(entry)
            said = origin.license or "not stated"
            log.info("converted %s to %s once; licence of the model: %s", origin.name, precision, said)
        return entry


def _converted(source: Source, precision: str | None) -> Path | None:
    """The entry of the cache where it is whole; without a precision, that of the usual one for the model in it."""
    if precision is not None:
        entry = _entry(source, precision)
        return entry if store.is_whole(entry) else None
    for usual in (DEFAULT_PRECISION, SPEECH_PRECISION):
        entry = _entry(source, usual)
        if store.is_whole(entry) and _hears(entry) == (usual == SPEECH_PRECISION):
            return entry
    return None


def _entry(source: Source, precision: str) -> Path:
    return store.models_folder() / entry_name(source, precision)


def _hears(entry: Path) -> bool:
    """Whether a converted model that is whole is one of speech; one that was deleted meanwhile is none."""
    try:
        return json.loads((entry / MANIFEST_NAME).read_bytes()).get("speech") is not None
    except OSError:
        return False


def _usual_precision(folder: Path) -> str:
    """By the kind of checkpoint; one that cannot be opened is for the conversion to refuse."""
    from quartet.checkpoint import opened  # noqa: PLC0415 - as above
    from quartet.families import find  # noqa: PLC0415

    try:
        with opened(folder) as checkpoint:
            spec = find(checkpoint.config).read_spec(checkpoint.config)
    except QuartetError:
        return DEFAULT_PRECISION
    return SPEECH_PRECISION if spec.front_end else DEFAULT_PRECISION


def convert(
    source: str | Path,
    out_dir: str | Path,
    *,
    precision: str | None = None,
    options: QuantizationOptions = QuantizationOptions(),  # noqa: B008  frozen
    calibration_text: str | Path | None = None,
    report: bool = False,
    revision: str | None = None,
    tokenizer: str | Path | None = None,
    languages: Sequence[str] = (),
    texts: Sequence[str | Path] = (),
    layout: str = "quartet",
    force: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Convert the model that `source` names (a folder, `demo`, an alias, `org/name` on the hub) to `out_dir`.

    tokenizer: a folder, an alias, or `org/name` on the hub that has the tokeniser's files, where `source` has none.
    precision, options, calibration_text, report, languages, texts, layout: as in `conversion.convert.convert_folder`.

    Raises what `convert_folder` raises, `ModelNotFoundError`, and `DownloadError`.
    """
    from quartet.conversion.convert import convert_checkpoint  # noqa: PLC0415 - as above
    from quartet.conversion.publish import check_output  # noqa: PLC0415
    from quartet.conversion.request import ConversionRequest, read_calibration_text  # noqa: PLC0415

    name: str = checked(CONVERSION["source"], source)
    folder_to_make: Path = checked(CONVERSION["out_dir"], out_dir)
    progress = checked(CONVERSION["progress"], progress)
    tokenizer_name: str | None = checked(CONVERSION["tokenizer"], tokenizer)
    request = ConversionRequest(
        precision=precision,
        options=options,
        calibration=None if calibration_text is None else read_calibration_text(calibration_text),
        report=report,
        languages=languages,
        texts=texts,
        layout=layout,
        force=force,
    )
    check_output(folder_to_make, force)
    found = resolve(name, checked(CONVERSION["revision"], revision))
    if found.kind == "quartet":
        raise CheckpointError(f"{source} is a quartet already; name the checkpoint it was made from")
    folder, origin = fetch(found)
    if tokenizer_name is not None:
        request = replace(request, tokenizer=tokenizer_folder(tokenizer_name))
    return convert_checkpoint(folder, folder_to_make, request, origin, progress)


def fetch(source: Source, bars: Bars = terminal_bar) -> tuple[Path, Origin]:
    """The folder of a source's checkpoint, downloaded where it is on the hub, and what the manifest says of it.

    bars: how progress of a download is shown. Raises what `quartet.checkpoint.hub.download` does.
    """
    folder, commit = source.folder, None
    if folder is None:
        hub = _hub()
        known = [alias.repo for alias in aliases().values()]
        folder, commit = hub.download(source.name, source.revision, bars=bars, known=known)
    license_ = license_of(folder) or source.license
    return folder, Origin(source.name, commit, license_, safe_length_of(source.name))


def tokenizer_folder(name: str) -> Path:
    """The folder of the tokeniser's files that a name stands for: itself, or those of a model on the hub, downloaded.

    Raises `ModelNotFoundError` where the name stands for nothing, and what the download does.
    """
    folder = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises for an unknown user
    if folder.is_dir():
        return folder
    source = resolve(name)
    if source.folder:
        return source.folder
    downloaded: Path = _hub().download_tokenizer(source.name)
    return downloaded


def _hub() -> Any:
    """Downloads, imported when they are needed: huggingface_hub is slow to import, and reads numbers in `HF_...`."""
    try:
        from quartet.checkpoint import hub  # noqa: PLC0415
    except ValueError as error:
        raise OptionError(f"huggingface_hub cannot read a variable of the environment (HF_...): {error}") from None
    return hub


def _as_asked(folder: Path, precision: str | None) -> Path:
    """A quartet is what it is: another precision needs the checkpoint it was made from."""
    if precision is not None:
        found = Manifest.load(folder).precision
        if found != precision:
            raise OptionError(f"{folder} is converted at precision {found}; for {precision} name its checkpoint")
    return folder


def entry_name(source: Source, precision: str) -> str:
    """A readable name and a hash of all that the conversion depends on."""
    key = json.dumps([source.kind, _identity(source), precision, FORMAT_VERSION])
    return f"{store.readable(source.name, precision)}--{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _identity(source: Source) -> list[object]:
    """For the hub the revision as it was asked for, so that a conversion is found again without a network."""
    if source.folder is None:
        return [source.name, source.revision or "main"]
    files = source_files(source.folder)
    if source.name == DEMO:  # by content: a new installation of the same files is no reason to convert again
        return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    return [
        str(source.folder.resolve()),
        [(f"{path.parent.name}/{path.name}", *_size_and_time(path)) for path in files],
    ]


def _size_and_time(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
