"""A SentencePiece model made of a `tokenizer.json`: all that transformers 5 keeps of the tokenisers of NLLB and T5.

The same pieces, ids and normalisation, in the file that loads in milliseconds and can be cut down to some languages.
It is made where the two formats certainly mean the same: the steps around the model are among those that SentencePiece
has too, and byte pairs are merged in one order for each piece, in every way that its parts allow. SentencePiece takes
the best piece that two neighbours make, whatever they are; the other library takes the first of a list of pairs.
"""

import base64
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from quartet.errors import CheckpointError
from quartet.families.added_tokens import Spacing, read_json
from quartet.protobuf_wire import FIXED32, bytes_field, number_field, varint
from quartet.text.sentencepiece_file import BYTE, CONTROL, NORMAL, UNKNOWN

UNIGRAM, BPE = 1, 2  # model types of `sentencepiece_model.proto`

# of a model: pieces, the trainer's and the normaliser's settings; of these what follows
_PIECE, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _BYTE_FALLBACK = 3, 35
_CHARSMAP, _DUMMY_PREFIX, _REMOVE_SPACES, _ESCAPE_SPACES = 2, 3, 4, 5

_BYTES = {f"<0x{byte:02X}>" for byte in range(256)}
_EMPTY_TO = (" ", "▁")  # what spaces in a row are replaced by


class JsonTokenizer(NamedTuple):
    """What a `tokenizer.json` holds, where a SentencePiece model can hold it too."""

    pieces: dict[str, float]  # scores, in the order of their ids, which are 0, 1, ...
    model_type: int
    charsmap: bytes
    spacing: Spacing


def read(path: Path) -> JsonTokenizer | None:
    """None where there are steps that SentencePiece lacks. Raises `CheckpointError` where the file is damaged."""
    content = read_json(path)
    try:
        charsmap, strips = _normalizer(content.get("normalizer"))
        splits = _pre_tokenizer(content.get("pre_tokenizer"))
        _decoder(content.get("decoder"))
        model_type, pieces = _model(content["model"])
    except _Other:
        return None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path} is damaged: {type(error).__name__} {error}") from None
    return JsonTokenizer(pieces, model_type, charsmap, _spacing(strips, splits))


def spacing_of(path: Path) -> Spacing:
    """What the tokeniser in a `tokenizer.json` makes of white space; without a file, as transformers 4 has it."""
    found = read(path) if path.is_file() else None
    return found.spacing if found else _spacing(strips=True, splits=False)


def _spacing(strips: bool, splits: bool) -> Spacing:
    return Spacing(before_normalized=not splits, before_typed=not (splits or strips), words_apart=splits)


def model_file(found: JsonTokenizer, kinds: Mapping[str, int]) -> bytes:
    """The SentencePiece model. kinds: of pieces that are not normal ones, unknown and control among them."""
    of_bytes = found.model_type == UNIGRAM and found.pieces.keys() >= _BYTES
    kinds = (dict.fromkeys(_BYTES, BYTE) if of_bytes else {}) | dict(kinds)
    pieces = b"".join(_piece(text, score, kinds.get(text, NORMAL)) for text, score in found.pieces.items())
    trainer = number_field(_MODEL_TYPE, found.model_type) + number_field(_BYTE_FALLBACK, of_bytes)
    rules = bytes_field(_CHARSMAP, found.charsmap) if found.charsmap else b""
    rules += b"".join(number_field(rule, 1) for rule in (_DUMMY_PREFIX, _REMOVE_SPACES, _ESCAPE_SPACES))
    return pieces + bytes_field(_TRAINER, trainer) + bytes_field(_NORMALIZER, rules)


def _piece(text: str, score: float, kind: int) -> bytes:
    number = varint(_SCORE << 3 | FIXED32) + struct.pack("<f", score)
    return bytes_field(_PIECE, bytes_field(_TEXT, text.encode()) + number + number_field(_KIND, kind))


def kinds_of(unknown: str, control: set[str]) -> dict[str, int]:
    """Kinds of pieces: one is for what is unknown, text never becomes the others."""
    return dict.fromkeys(control, CONTROL) | {unknown: UNKNOWN}


# ---- the steps of a tokenizer.json ---------------------------------------------------------------------------------


class _Other(Exception):  # noqa: N818  it goes no further than `read`
    """A step that a SentencePiece model cannot have."""


def _steps(step: Any, inside: str) -> list[Any]:
    """The steps of a sequence."""
    if step is None:
        return []
    return list(step[inside]) if step["type"] == "Sequence" else [step]


def _normalizer(step: Any) -> tuple[bytes, bool]:
    """The table of letters, and whether white space at the end of a text is taken away."""
    charsmap, strips = b"", False
    for part in _steps(step, "normalizers"):
        match part["type"]:
            case "Precompiled" if not charsmap:
                charsmap = base64.b64decode(part["precompiled_charsmap"] or "", validate=True)
            case "Strip" if part["strip_right"]:
                strips = True
            case "Replace" if part["pattern"] == {"Regex": " {2,}"} and part["content"] in _EMPTY_TO:
                pass
            case _:
                raise _Other
    return charsmap, strips


def _pre_tokenizer(step: Any) -> bool:
    """Whether text is split at white space before spaces become signs."""
    kinds = [part["type"] for part in _steps(step, "pretokenizers")]
    if kinds not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
        raise _Other
    _check_metaspace(_steps(step, "pretokenizers")[-1])
    return len(kinds) > 1


def _decoder(step: Any) -> None:
    (*others, last) = _steps(step, "decoders")
    if any(part["type"] != "ByteFallback" for part in others) or last["type"] != "Metaspace":
        raise _Other
    _check_metaspace(last)


def _check_metaspace(step: Any) -> None:
    """A space comes before every text: older files say so in another way."""
    always = step.get("add_prefix_space", True) and step.get("prepend_scheme", "always") == "always"
    if step["replacement"] != "▁" or not always:
        raise _Other


def _model(model: Any) -> tuple[int, dict[str, float]]:
    if model["type"] == "Unigram":
        pieces = {str(text): float(score) for text, score in model["vocab"]}
        if len(pieces) != len(model["vocab"]):
            raise ValueError("a piece comes twice")
        return UNIGRAM, pieces
    plain = not any(model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
    if model["type"] != "BPE" or not plain or model.get("byte_fallback") or not model.get("fuse_unk"):
        raise _Other
    return BPE, _byte_pairs(model["vocab"], model["merges"])


def _byte_pairs(vocab: dict[str, int], merges: list[Any]) -> dict[str, float]:
    """Scores that let SentencePiece merge in the order of the list: the earlier a piece is made, the higher."""
    order = sorted(vocab, key=lambda text: vocab[text])
    if [vocab[text] for text in order] != list(range(len(order))):
        raise _Other
    pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else (pair[0], pair[1]) for pair in merges]
    made: dict[str, int] = {}
    last = ""
    for rank, (left, right) in enumerate(pairs):
        if (piece := left + right) != last and made.setdefault(piece, rank) != rank:
            raise _Other  # made in two places of the list
        last = piece
    ways = sum(piece[:cut] in vocab and piece[cut:] in vocab for piece in vocab for cut in range(1, len(piece)))
    if ways != len(set(pairs)) or not made.keys() <= vocab.keys():
        raise _Other
    lowest = len(pairs)
    return {text: -float(made.get(text, lowest)) for text in order}
