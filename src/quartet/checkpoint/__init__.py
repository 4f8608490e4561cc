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

from quartet.checkpoint import (
    ctranslate2,
    foreign,
    openai,
    optimum,
    safetensors,
    special_tokens,
    torch_pickle,
    wrappers,
)
from quartet.checkpoint.shards import Tensors, brief, read_json_object
from quartet.checkpoint.special_tokens import CONFIG, GENERATION_CONFIG
from quartet.checkpoint.tensors import TensorEntry, equal, read, row_slices, same_bytes
from quartet.errors import CheckpointError, UnsupportedModelError

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

FORMATS = (  # of weights: file names and reader; the first one that a folder has is read
    (safetensors.FILES, safetensors.index),
    (torch_pickle.FILES, torch_pickle.index),
    (optimum.FILES, optimum.index),
)
ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")


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
        return Checkpoint(folder, config, {}, wrappers.unwrapped(tensors, folder), tokenizer or folder.parent)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder")
    if not (folder / CONFIG).is_file():
        found = foreign_in(folder)
        raise CheckpointError(f"{folder} is not a checkpoint: it has no {CONFIG}{f', but {found}' if found else ''}")
    return _checkpoint(folder, tokenizer)


def _checkpoint(folder: Path, tokenizer: Path | None, tensors: Tensors | None = None) -> Checkpoint:
    """The configs in a folder with these tensors; None: those in its own files."""
    config = read_json_object(folder / CONFIG)
    path = folder / GENERATION_CONFIG
    generation_config = read_json_object(path) if path.is_file() else {}
    _refuse_quantized(folder, config)
    _refuse_adapter(folder)
    return Checkpoint(
        folder=folder,
        config=special_tokens.merged(config, generation_config),
        generation_config=generation_config,
        tensors=wrappers.unwrapped(_index(folder) if tensors is None else tensors, folder),
        tokenizer_folder=tokenizer or folder,
    )


def _refuse_quantized(folder: Path, config: dict[str, Any]) -> None:
    """Weights that transformers stores in its own ways of fewer bits; exports and CTranslate2 do not say so here."""
    settings = config.get("quantization_config")
    if settings:
        method = settings.get("quant_method") if isinstance(settings, dict) else None
        raise UnsupportedModelError(
            f"{folder} holds weights quantised by {brief(method or 'bitsandbytes')} (quantization_config in {CONFIG}): "
            "take the model that they were made from, or save it dequantised"
        )


def _refuse_adapter(folder: Path) -> None:
    """An adapter beside weights: nothing says whether these have it already."""
    found = next((name for name in ADAPTER if (folder / name).is_file()), None)
    if found is not None:
        raise UnsupportedModelError(
            f"{folder} holds an adapter ({found}): merge it into its model (PEFT's merge_and_unload) and save that; "
            "where it is merged already, remove the file"
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


def foreign_in(folder: Path) -> str | None:
    """What of other kinds is in a folder, as `foreign.named` says it."""
    try:
        names = [path.relative_to(folder).as_posix() for part in (folder, folder / "onnx") for path in part.glob("*")]
    except OSError:
        return None
    found, adapter = foreign.named(names), folder / foreign.ADAPTER_CONFIG
    if found is None or not adapter.is_file():
        return found
    with contextlib.suppress(CheckpointError):
        base = read_json_object(adapter).get("base_model_name_or_path")
        return found if base is None else f"{found}, {brief(base)}"
    return found


def _foreign(folder: Path) -> str:
    """What is there instead."""
    found = foreign_in(folder)
    return f"not {found}" if found else "and none of them is there"
