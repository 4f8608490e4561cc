"""Argos packages: a zip file `*.argosmodel` of one folder with `metadata.json`, `model/`, and `sentencepiece.model`.

Argos Translate keeps them unpacked; such a folder is read too. Its sentence splitters (`stanza/`) are not needed.
"""

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from quartet.checkpoint.archives import DAMAGE, check_sizes, open_zip
from quartet.checkpoint.ctranslate2.translation import SENTENCEPIECE, Source
from quartet.checkpoint.shards import read_json_object
from quartet.errors import CheckpointError, UnsupportedModelError

SUFFIX = ".argosmodel"
METADATA = "metadata.json"
MODEL = "model"
BPE = "bpe.model"
LENGTH_PENALTY = 0.2  # that Argos Translate searches with


def is_package(source: Path) -> bool:
    """Whether this is an Argos package: a file of that name, or a folder with its metadata and model."""
    if source.suffix == SUFFIX and source.is_file():
        return True
    return (source / METADATA).is_file() and (source / MODEL / "model.bin").is_file()


def unpack(source: Path, scratch: Path) -> Source:
    """The parts of a package, unpacked into `scratch` where it is a zip file.

    Raises `CheckpointError` where it is damaged or incomplete, `UnsupportedModelError` where it does not translate.
    """
    folder = _unzip(source, scratch / "package") if source.is_file() else source
    metadata = read_json_object(folder / METADATA)
    if metadata.get("type", "translate") != "translate":
        kind = metadata["type"]
        raise UnsupportedModelError(f"{source} is a package of type {kind!r}; read are those that translate")
    if (folder / BPE).is_file() and not any((folder / name).is_file() for name in SENTENCEPIECE):
        raise UnsupportedModelError(f"{source} cuts text by Moses and BPE ({BPE}); read are those with SentencePiece")
    return Source(
        model=folder / MODEL,
        tokenizer=folder,
        name=source.resolve().stem if source.is_file() else source.resolve().name,
        source_lang=metadata.get("from_code"),
        target_lang=metadata.get("to_code"),
        target_prefix=metadata.get("target_prefix") or "",
        length_penalty=LENGTH_PENALTY,
    )


def _unzip(source: Path, out: Path) -> Path:
    """What a conversion reads of a package: the files beside its metadata and in `model/`."""
    try:
        with source.open("rb") as file, open_zip(source, file) as archive:
            root = _root(source, archive)
            places = {info: PurePosixPath(info.filename) for info in archive.infolist() if not info.is_dir()}
            wanted = {info: path for info, path in places.items() if path.parent in (root, root / MODEL)}
            check_sizes(source, wanted)
            for info, path in wanted.items():
                _extract(archive, info, out / path.relative_to(root))
    except OSError as error:
        raise CheckpointError(f"{source} cannot be unpacked: {error.strerror or error}") from None
    except DAMAGE as error:
        raise CheckpointError(f"{source} is truncated, damaged, or no Argos package: {error}") from None
    return out


def _root(source: Path, archive: zipfile.ZipFile) -> PurePosixPath:
    """The folder in the archive that has the metadata and the model."""
    names = set(archive.namelist())
    roots = [path.parent for name in names if (path := PurePosixPath(name)).name == METADATA]
    found = [root for root in roots if str(root / MODEL / "model.bin") in names]
    if len(found) != 1 or ".." in found[0].parts:
        raise CheckpointError(f"{source} is no Argos package: it has no folder with {METADATA} and {MODEL}/model.bin")
    return found[0]


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as packed, path.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
