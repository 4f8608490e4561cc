"""CTranslate2 models for the tests: unpacked fixtures, and a writer of `model.bin` for what no converter makes."""

import json
import struct
import tarfile
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parent / "fixtures"
TYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")

Variables = dict[str, np.ndarray]


def unpack(folder: Path, name: str) -> Path:
    """The folders of `ctranslate2-NAME.tar.xz`, one per type of weights."""
    with tarfile.open(FIXTURES / f"ctranslate2-{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def write_model_bin(
    path: Path,
    variables: Variables,
    aliases: dict[str, str] | None = None,
    kind: str = "TransformerSpec",
    revision: int = 7,
    version: int = 6,
) -> None:
    """What CTranslate2's `ModelSpec._serialize` writes."""
    parts = [struct.pack("<I", version), _string(kind), struct.pack("<II", revision, len(variables))]
    for name, array in variables.items():
        parts += [_string(name), struct.pack("<B", array.ndim), *(struct.pack("<I", n) for n in array.shape)]
        parts += [struct.pack("<BI", TYPES.index(array.dtype.name), array.nbytes), array.tobytes()]
    parts.append(struct.pack("<I", len(aliases or {})))
    parts += [_string(text) for pair in (aliases or {}).items() for text in pair]
    path.write_bytes(b"".join(parts))


def _string(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def write_model(
    folder: Path, changes: Variables | None = None, settings: dict[str, object] | None = None, rows: int = 9
) -> Path:
    """A translation model of one layer, 4 channels and zeros, with `changes` to its variables."""
    folder.mkdir(parents=True)
    write_model_bin(folder / "model.bin", variables(rows) | (changes or {}))
    tokens = ["<unk>", "<s>", "</s>", *(f"t{i}" for i in range(3, rows))]
    (folder / "shared_vocabulary.json").write_text(json.dumps(tokens))
    (folder / "config.json").write_text(json.dumps(settings or {}))
    return folder


def variables(rows: int = 9) -> Variables:
    """All that a translation model of OpenNMT has; positions are computed."""
    made: Variables = {}
    for side, attentions in (("encoder", {"self_attention": 2}), ("decoder", {"self_attention": 2, "attention": 3})):
        made |= {f"{side}/num_heads": np.int16(2), f"{side}/pre_norm": np.int8(1), f"{side}/activation": np.int8(0)}
        layer = f"{side}/layer_0"
        for attention, count in attentions.items():
            for i in range(count):
                outputs = (
                    12 if (attention, i) == ("self_attention", 0) else 8 if (attention, i) == ("attention", 1) else 4
                )
                made |= _linear(f"{layer}/{attention}/linear_{i}", outputs, 4)
            made |= _norm(f"{layer}/{attention}/layer_norm")
        made |= _linear(f"{layer}/ffn/linear_0", 6, 4) | _linear(f"{layer}/ffn/linear_1", 4, 6)
        made |= _norm(f"{layer}/ffn/layer_norm") | _norm(f"{side}/layer_norm")
    embeddings = ("encoder/embeddings_0", "decoder/embeddings", "decoder/projection")
    return made | {f"{module}/weight": np.zeros((rows, 4), np.float32) for module in embeddings}


def _linear(module: str, outputs: int, inputs: int) -> Variables:
    return {
        f"{module}/weight": np.zeros((outputs, inputs), np.float32),
        f"{module}/bias": np.zeros(outputs, np.float32),
    }


def _norm(module: str) -> Variables:
    return {f"{module}/gamma": np.ones(4, np.float32), f"{module}/beta": np.zeros(4, np.float32)}
