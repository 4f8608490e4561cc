"""Exports by Optimum (`optimum-cli export onnx --task text2text-generation-with-past`, or for Whisper
`automatic-speech-recognition-with-past`) as a source of weights.

The graphs are not kept: the weights in them are found by what they do (`onnx_weights`), and named as in our own graphs.
This module is imported wherever a checkpoint is looked at, so it imports nothing that reads ONNX.
"""

from pathlib import Path

from quartet.checkpoint.shards import Tensors
from quartet.errors import CheckpointError

FOLDERS = ("", "onnx/")  # Optimum's own layout, and that of repositories for JavaScript
KINDS = ("", "_fp16", "_quantized", "_int8", "_uint8")  # by what the weights are stored as, best first
UNREAD = {  # other kinds
    "_q4": "weights of 4 bits",
    "_q4f16": "weights of 4 bits",
    "_bnb4": "weights of 4 bits",
    "_q2": "weights of 2 bits",
    "_q2f16": "weights of 2 bits",
    "_q1": "weights of 1 bit",
    "_q1f16": "weights of 1 bit",
    "_optimized": "an optimised graph, which cannot be taken apart",
}
ENCODER = "encoder_model"
DECODERS = ("decoder_model", "decoder_model_merged")  # the decoder with past lacks half of cross-attention
WITH_PAST = "decoder_with_past_model"
NAMES = (ENCODER, DECODERS[1], DECODERS[0], WITH_PAST)
FILES = tuple(f"{folder}{name}{kind}.onnx" for folder in FOLDERS for kind in (*KINDS, *UNREAD) for name in NAMES)


def index(folder: Path) -> Tensors:
    """All weights of an export, by our canonical names. Raises `CheckpointError` where a part is missing or unknown."""
    from quartet.checkpoint import onnx_weights  # noqa: PLC0415  slow to import

    encoder, decoder = _pair(folder)
    found = onnx_weights.encoder_weights(encoder)
    return onnx_weights.joined(found, onnx_weights.decoder_weights(decoder, positions=onnx_weights.hears(found)))


def _pair(folder: Path) -> tuple[Path, Path]:
    """Encoder and decoder of the best kind that both have, else each of its own best kind; both from one folder."""
    for where in FOLDERS:
        encoders, decoders = _kinds(folder / where, (ENCODER,)), _kinds(folder / where, DECODERS)
        kind = next((kind for kind in encoders if kind in decoders), None)
        if kind is not None:
            return encoders[kind], decoders[kind]
        if encoders and decoders:
            return next(iter(encoders.values())), next(iter(decoders.values()))
    raise _half(folder)


def _kinds(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """The files of one part that are read, by kind, best first."""
    found = {kind: [path for name in names if (path := folder / f"{name}{kind}.onnx").is_file()] for kind in KINDS}
    return {kind: paths[0] for kind, paths in found.items() if paths}


def _half(folder: Path) -> CheckpointError:
    """The error that encoder or decoder lacks, or is there only in kinds that are not read."""
    found = [name for name in FILES if (folder / name).is_file()]
    unread = [name for name in found if _unread(name)]
    read = [name for name in found if name not in unread and WITH_PAST not in name]
    parts = {f"{ENCODER}.onnx": (ENCODER,), f"{DECODERS[0]}.onnx or {DECODERS[1]}.onnx": DECODERS}
    missing = [part for part, names in parts.items() if not any(name in path for name in names for path in read)]
    if not unread:
        return CheckpointError(f"{folder} is half an export: it has {', '.join(found)}, but no {missing[0]}")
    return CheckpointError(
        f"{folder} has {', '.join(f'{name} ({_unread(name)})' for name in unread[:2])}, which is not read; what is "
        f"missing is {' and '.join(missing)}, or the same with {', '.join(KINDS[1:])} at the end of the name"
    )


def _unread(name: str) -> str | None:
    """What a file has that is not read, by its name; None where it is read."""
    return next((words for kind, words in UNREAD.items() if name.endswith(f"{kind}.onnx")), None)
