"""Exports by Optimum (`optimum-cli export onnx --task text2text-generation-with-past`, or for Whisper
`automatic-speech-recognition-with-past`) as a source of weights.

The graphs are not kept: the weights in them are found by what they do (`onnx_weights`), and named as in our own graphs.
This module is imported wherever a checkpoint is looked at, so it imports nothing that reads ONNX.
"""

from pathlib import Path

from quartet.checkpoint.shards import Tensors
from quartet.errors import CheckpointError

FOLDERS = ("", "onnx/")  # Optimum's own layout, and that of repositories for JavaScript
KINDS = ("", "_quantized")
ENCODER = "encoder_model"
DECODERS = ("decoder_model", "decoder_model_merged")  # the decoder with past lacks half of cross-attention
WITH_PAST = "decoder_with_past_model"
FILES = tuple(
    f"{folder}{name}{kind}.onnx"
    for folder in FOLDERS
    for kind in KINDS
    for name in (ENCODER, DECODERS[1], DECODERS[0], WITH_PAST)
)


def index(folder: Path) -> Tensors:
    """All weights of an export, by our canonical names. Raises `CheckpointError` where a part is missing or unknown."""
    from quartet.checkpoint import onnx_weights  # noqa: PLC0415  slow to import

    encoder, decoder = _pair(folder)
    found = onnx_weights.encoder_weights(encoder)
    return onnx_weights.joined(found, onnx_weights.decoder_weights(decoder, positions=onnx_weights.hears(found)))


def _pair(folder: Path) -> tuple[Path, Path]:
    """Encoder and decoder of one kind: in float32 where both kinds are there."""
    for where in FOLDERS:
        for kind in KINDS:
            encoder = folder / f"{where}{ENCODER}{kind}.onnx"
            decoder = next(
                (path for name in DECODERS if (path := folder / f"{where}{name}{kind}.onnx").is_file()), None
            )
            if encoder.is_file() and decoder:
                return encoder, decoder
    found = [name for name in FILES if (folder / name).is_file()]
    if not any(ENCODER in name for name in found):
        missing = f"{ENCODER}.onnx"
    elif any(WITH_PAST not in name and ENCODER not in name for name in found):
        raise CheckpointError(f"{folder} mixes two exports: {', '.join(found)} are not of one kind")
    else:
        missing = f"{DECODERS[0]}.onnx or {DECODERS[1]}.onnx"
    raise CheckpointError(f"{folder} is half an export: it has {', '.join(found)}, but no {missing}")
