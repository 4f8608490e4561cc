"""How many bytes of weights does one decode step read? Of a quartet's files and of a CTranslate2 model.

Matrices of which a step gathers single rows (embeddings, positions) count for nothing: a row is a few kilobytes.
"""

import re
import struct
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

from quartet.spec import DECODER, EMBED_AND_LM_HEAD

# cross attention's keys and values are computed once per source, embeddings and positions are gathered
CTRANSLATE2_NOT_PER_STEP = re.compile(r"decoder/(embeddings/|position_encodings|layer_\d+/attention/linear_1/)")


def quartet_bytes_per_step(folder: Path) -> int:
    """Initialisers of the decoder and the head that any node reads whole; one that two share counts once."""
    return sum(bytes_read(folder, file) for file in (DECODER, EMBED_AND_LM_HEAD))


def bytes_read(folder: Path, file: str) -> int:
    """Initialisers that a run of one of a quartet's files reads whole."""
    return sum(_read_whole(ir.load(folder / f"{file}.onnx")).values())


def _read_whole(model: ir.Model) -> dict[object, int]:
    """Bytes of initialisers by where they lie in the data file."""
    found: dict[object, int] = {}
    for node in model.graph.all_nodes():
        for value in node.inputs if not node.op_type.startswith("Gather") else ():
            tensor = value.const_value if value is not None else None
            if isinstance(tensor, ir.ExternalTensor):
                found[tensor.location, tensor.offset] = tensor.nbytes
    return found


def ctranslate2_bytes_per_step(folder: Path) -> int:
    """Variables of the decoder that every step multiplies by."""
    with (folder / "model.bin").open("rb") as file:
        _unsigned(file), _string(file), _unsigned(file)  # versions of the format, and the kind of model
        sizes = dict(_variable(file) for _ in range(_unsigned(file)))
        aliases = {_string(file): _string(file) for _ in range(_unsigned(file))}
    sizes |= {alias: sizes[name] for alias, name in aliases.items()}
    return sum(
        size for name, size in sizes.items() if name.startswith("decoder/") and not CTRANSLATE2_NOT_PER_STEP.match(name)
    )


def _variable(file: BinaryIO) -> tuple[str, int]:
    """Name and size of the next variable; its values are skipped."""
    name = _string(file)
    file.seek(file.read(1)[0] * 4 + 1, 1)  # its dimensions and its type
    size = _unsigned(file)
    file.seek(size, 1)
    return name, size


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<H", file.read(2))
    return file.read(length)[:-1].decode()


def _unsigned(file: BinaryIO) -> int:
    (value,) = struct.unpack("<I", file.read(4))
    return int(value)
