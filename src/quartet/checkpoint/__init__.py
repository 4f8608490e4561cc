"""Reads a checkpoint: its configs, and where in its files each tensor lies. Tensors are read later, in slices.

A format of weights is one module with `FILES` (names that show that a folder has it) and `index(folder)`; to add one,
write its module and name it in `FORMATS`. A format that is more than weights under other names is laid out anew, as
`ctranslate2` is, by `opened`.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quartet.checkpoint import ctranslate2, openai, optimum, safetensors, torch_pickle
from quartet.checkpoint.shards import Tensors, read_json_object
from quartet.checkpoint.tensors import TensorEntry, equal, read, row_slices, same_bytes
from quartet.errors import CheckpointError

__all__ = [
    "Checkpoint",
    "TensorEntry",
    "equal",
    "is_checkpoint",
    "open_checkpoint",
    "opened",
    "read",
    "row_slices",
    "same_bytes",
]

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
FORMATS = (  # of weights: file names and reader; the first one that a folder has is read
    (safetensors.FILES, safetensors.index),
    (torch_pickle.FILES, torch_pickle.index),
    (optimum.FILES, optimum.index),
)
FOREIGN = ("tf_model.h5", "flax_model.msgpack", "rust_model.ot", "*.gguf", "*.onnx", "*.ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """A folder in the layout of transformers, or what stands for one. `generation_config` may be empty."""

    folder: Path
    config: dict[str, Any]
    generation_config: dict[str, Any]
    tensors: dict[str, TensorEntry]
    tokenizer_folder: Path  # where the tokeniser's files are, if anywhere


def is_checkpoint(source: Path) -> bool:
    """Whether this looks like a checkpoint, complete or not.

    A folder with `config.json`, a CTranslate2 model, or a `.pt` file of OpenAI's.
    """
    return (source / CONFIG).is_file() or ctranslate2.is_model(source) or is_openai_file(source)


@contextlib.contextmanager
def opened(source: Path, tokenizer: Path | None = None) -> Iterator[Checkpoint]:
    """The checkpoint in a folder, or what a CTranslate2 model (a folder or an Argos package) is as one.

    The latter has a folder of its own, which is gone after the block. Raises what `open_checkpoint` does.
    """
    if _has_weights(source) or not ctranslate2.is_model(source):
        yield open_checkpoint(source, tokenizer)
        return
    with tempfile.TemporaryDirectory(prefix="quartet-") as scratch:
        folder, tensors = ctranslate2.lay_out(source, Path(scratch))
        yield _checkpoint(folder, tokenizer, tensors)


def is_openai_file(path: Path) -> bool:
    """Whether this is a file that OpenAI's Whisper may be in."""
    return path.suffix == openai.SUFFIX and path.is_file()


def open_checkpoint(folder: Path, tokenizer: Path | None = None) -> Checkpoint:
    """Read the configs and index the weights: safetensors where there are any, else torch's files.

    folder: or a `.pt` file of OpenAI's Whisper. tokenizer: the folder of the tokeniser's files, where they are not
    beside the weights.

    Raises `CheckpointError` where the folder is none, has no config or no weights, or these are damaged.
    """
    if is_openai_file(folder):
        config, tensors = openai.read_file(folder)
        return Checkpoint(folder, config, {}, tensors, tokenizer or folder.parent)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder")
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder} is not a checkpoint: it has no {CONFIG}")
    return _checkpoint(folder, tokenizer)


def _checkpoint(folder: Path, tokenizer: Path | None, tensors: Tensors | None = None) -> Checkpoint:
    """The configs in a folder with these tensors; None: those in its own files."""
    config = read_json_object(folder / CONFIG)
    generation_config = folder / GENERATION_CONFIG
    return Checkpoint(
        folder=folder,
        config=config,
        generation_config=read_json_object(generation_config) if generation_config.is_file() else {},
        tensors=_index(folder) if tensors is None else tensors,
        tokenizer_folder=tokenizer or folder,
    )


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for names, _ in FORMATS for name in names)


def _index(folder: Path) -> dict[str, TensorEntry]:
    for names, index in FORMATS:
        if any((folder / name).is_file() for name in names):
            return index(folder)
    raise CheckpointError(f"{folder} has no weights that are read: {_names_read()} are, {_foreign(folder)}")


def _names_read() -> str:
    return ", ".join(name for names, _ in FORMATS for name in names[:2])


def _foreign(folder: Path) -> str:
    """What is there instead."""
    found = sorted(path.name for pattern in FOREIGN for path in folder.glob(pattern))
    return f"{', '.join(found)} not" if found else "and none of them is there"
