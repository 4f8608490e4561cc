"""Reads CTranslate2 models by laying them out as checkpoints of transformers.

The weights stay where they are, in `model.bin`: only their names are new. The small files beside it (config,
vocabulary) are written anew into a folder that conversion reads and then forgets. Translation models (OpenNMT, Argos,
opus-mt, M2M100, NLLB) and Whisper.
"""

from pathlib import Path

from quartet.checkpoint.ctranslate2 import argos, translation, whisper
from quartet.checkpoint.ctranslate2.model_bin import ModelBin, index_file
from quartet.checkpoint.ctranslate2.names import tensors
from quartet.checkpoint.ctranslate2.translation import Source
from quartet.checkpoint.shards import Tensors
from quartet.errors import UnsupportedModelError

FILE = "model.bin"
REVISIONS = {"TransformerSpec": (5, 7), "WhisperSpec": (2, 3)}  # oldest and newest that are read


def is_model(source: Path) -> bool:
    """Whether this is a CTranslate2 model: a folder with `model.bin`, or an Argos package, packed or not."""
    return (source / FILE).is_file() or argos.is_package(source)


def lay_out(source: Path, scratch: Path) -> tuple[Path, Tensors]:
    """A folder in `scratch` with the small files of a checkpoint, and its tensors.

    Raises `CheckpointError` where the model is damaged or incomplete, `UnsupportedModelError` where it is of a kind
    that quartet does not convert.
    """
    found = argos.unpack(source, scratch) if argos.is_package(source) else _plain(source)
    model = index_file(found.model / FILE)
    _check_kind(model)
    named = tensors(model)
    out = scratch / "checkpoint"
    out.mkdir()
    if model.kind == "WhisperSpec":
        whisper.lay_out(found.model, model, out)
    else:
        translation.lay_out(found, model, named, out)
    return out, named


def _plain(folder: Path) -> Source:
    return Source(model=folder, tokenizer=folder, name=folder.resolve().name)


def _check_kind(model: ModelBin) -> None:
    known = ", ".join(REVISIONS)
    if model.kind not in REVISIONS:
        raise UnsupportedModelError(f"{model.path} is a {model.kind or 'model without a name'}; read are {known}")
    oldest, newest = REVISIONS[model.kind]
    if not oldest <= model.revision <= newest:
        raise UnsupportedModelError(
            f"{model.path} has revision {model.revision} of {model.kind}; revisions {oldest} to {newest} are read"
        )
