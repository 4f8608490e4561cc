"""A `tokenizer.json` made of a SentencePiece model, for readers in languages that have no SentencePiece library.

The same pieces, ids and normalisation as `runtime.text` has, written as the library `tokenizers` reads them. It is
checked before it is kept: where both cut one of `SAMPLES` otherwise, or the model asks for what the format cannot say,
there is none. Some things stay different, in text that hardly occurs: pieces that `vocab.json` lacks count as unknown
only after they were cut, unknown letters in a row are one token each way but not always the same run, and a language's
token typed as text (`<2fr>`) is cut as any text, not letter by letter.
"""

import base64
import json
from pathlib import Path
from typing import Any

from quartet.spec import AddedWord, TokenizerSpec
from quartet.text.json_tokenizer import json_tokenizer
from quartet.text.tokenizer import Tokenizer, load_tokenizer

NAME = "tokenizer.json"
UNREACHABLE = -1e6  # score of pieces that only the other side's model makes
SAMPLES = (
    "Where is the train station? It's 10:45 a.m., and I don't know!",
    "  Two  spaces,\ttabs and ﬁne ligatures １２３ ",
    "Où est la gare ? L'école a été fermée à Pâques.",
    "Der Straßenverkehrsordnungsänderungsantrag wurde «vertagt».",
    "¿Dónde está el niño? ¡Mañana!",
    "Где находится вокзал? Це наша країна.",
    "火车站在哪里？ 駅はどこですか。 기차역이 어디예요?",
    "أين محطة القطار؟ תחנת הרכבת",
    "She said “多谢” and left </s> >>fra<< 🙂.",
)

_UNIGRAM, _BPE = 1, 2  # model types of `sentencepiece_model.proto`
_NORMAL, _UNUSED = 1, 5  # types of pieces that BPE passes through


def write(folder: Path, spec: TokenizerSpec) -> bool:
    """Write `tokenizer.json` into a quartet's folder that has the other files; False where it cannot be had."""
    made = _make(folder, spec) if spec.kind != "tokenizers" and spec.target_vocab is None else None
    if made is None:
        return False
    (folder / NAME).write_text(json.dumps(made, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    if _agree(folder, load_tokenizer(folder, spec)):
        return True
    (folder / NAME).unlink()
    return False


def _agree(folder: Path, ours: Tokenizer) -> bool:
    try:
        theirs = json_tokenizer((folder / NAME).read_text("utf-8"))
    except ValueError:  # what the library has no place for: ids that are odd, a piece twice
        return False
    return all(theirs.encode(text, add_special_tokens=False).ids == ours.encode(text) for text in SAMPLES)


def _make(folder: Path, spec: TokenizerSpec) -> dict[str, Any] | None:
    from sentencepiece import sentencepiece_model_pb2  # noqa: PLC0415  only here

    model: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    try:
        model.ParseFromString((folder / spec.source_model).read_bytes())
    except Exception:  # of a class of its own: the library that reads text with it is less strict
        return None
    rules, trainer = model.normalizer_spec, model.trainer_spec
    usual = rules.add_dummy_prefix and rules.remove_extra_whitespaces and rules.escape_whitespaces
    of_bytes = bool(trainer.byte_fallback)  # letters that the vocabulary lacks, byte by byte
    if not usual or trainer.treat_whitespace_as_suffix or (of_bytes and trainer.model_type != _UNIGRAM):
        return None
    ids = _ids(folder, spec, [piece.piece for piece in model.pieces])
    scores = {p.piece: p.score for p in model.pieces if p.type in (_NORMAL, _UNUSED)}
    if trainer.model_type == _UNIGRAM:
        body = _unigram(ids, scores, spec.unk_id, of_bytes)
    elif trainer.model_type == _BPE:
        body = _bpe(ids, scores, spec.unk_id)
    else:
        return None
    return body and {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(word) for word in spec.added_words],
        "normalizer": _normalizer(rules.precompiled_charsmap),
        "pre_tokenizer": _METASPACE,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, _METASPACE]} if of_bytes else _METASPACE,
        "model": body,
    }


def _added(word: AddedWord) -> dict[str, Any]:
    flags = {"lstrip": False, "rstrip": False, "normalized": word.normalized, "special": word.special}
    return {"id": word.id, "content": word.text, "single_word": word.single_word, **flags}


_METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}


def _normalizer(charsmap: bytes) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    if charsmap:
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode("ascii")})
    steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
    return {"type": "Sequence", "normalizers": steps}


def _ids(folder: Path, spec: TokenizerSpec, pieces: list[str]) -> dict[str, int]:
    """The model's ids by piece, control tokens included."""
    if spec.vocab is not None:
        entries: dict[str, int] = json.loads((folder / spec.vocab).read_text(encoding="utf-8"))
        return entries
    return {piece: i + spec.offset for i, piece in enumerate(pieces)} | spec.special_tokens


def _unigram(ids: dict[str, int], scores: dict[str, float], unk_id: int, of_bytes: bool) -> dict[str, Any] | None:
    """Ids are places in the list here, so they have to be without gaps."""
    order = sorted(ids, key=lambda piece: ids[piece])
    if [ids[piece] for piece in order] != list(range(len(order))):
        return None
    vocab = [[piece, scores.get(piece, UNREACHABLE)] for piece in order]
    return {"type": "Unigram", "unk_id": unk_id, "vocab": vocab, "byte_fallback": of_bytes}


def _bpe(ids: dict[str, int], scores: dict[str, float], unk_id: int) -> dict[str, Any]:
    """Every way to make a piece of two is a merge; those of likelier pieces come first."""
    merges = [
        (piece[:cut], piece[cut:])
        for piece in sorted(scores, key=lambda piece: -scores[piece])
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    unknown = next((piece for piece, i in ids.items() if i == unk_id), None)
    vocab = dict.fromkeys(scores, unk_id) | ids
    return {"type": "BPE", "unk_token": unknown, "fuse_unk": True, "vocab": vocab, "merges": merges}
