"""The rows that text in some languages can need.

With text: every piece that it is made of, and all single characters of the languages' scripts, digits and signs, so
that anything else can still be spelled. Without text: every piece that is written in these scripts.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quartet.errors import OptionError
from quartet.spec import TokenizerSpec
from quartet.text.scripts import is_spelling, is_written_in, script_words
from quartet.text.sentencepiece_file import BYTE, TEXT_TYPES, USER_DEFINED, read_pieces

MUCH_UNSEEN = 0.002  # share of tokens

log = logging.getLogger("quartet")


@dataclass(frozen=True)
class Side:
    """A vocabulary: what the text of one side, or of both, can become."""

    ids: dict[str, int]  # piece -> id, without control tokens
    specials: dict[str, int]  # control tokens, by their text
    always: frozenset[int]  # bytes, pieces that the model's maker has named, added words: no text can do without
    models: tuple[Path, ...]  # the SentencePiece models that make these pieces


def sides(folder: Path, spec: TokenizerSpec) -> tuple[Side, ...]:
    """The vocabulary that both sides share, or those of source and target.

    Raises `OptionError` where the tokeniser is no SentencePiece model.
    """
    source = folder / spec.source_model
    if spec.kind == "tokenizers":
        raise OptionError(f"the vocabulary is selected by SentencePiece models, and there is only {spec.source_model}")
    if spec.kind == "sentencepiece":
        made = [(piece, i + spec.offset) for i, piece in enumerate(read_pieces(source)) if piece.type in TEXT_TYPES]
        always = frozenset(i for piece, i in made if piece.type in (BYTE, USER_DEFINED)) | _words(spec)
        return (Side({piece.text: i for piece, i in made}, spec.special_tokens, always, (source,)),)
    target = folder / (spec.target_model or spec.source_model)
    if spec.target_vocab is None:
        return (_looked_up(folder / str(spec.vocab), spec, tuple(dict.fromkeys((source, target)))),)
    of_target = _looked_up(folder / spec.target_vocab, spec, (target,))
    return _looked_up(folder / str(spec.vocab), spec, (source,)), of_target


def _looked_up(path: Path, spec: TokenizerSpec, models: tuple[Path, ...]) -> Side:
    entries = json.loads(path.read_text(encoding="utf-8"))
    specials = {piece: i for piece, i in entries.items() if piece in spec.special_tokens}
    ids = {piece: i for piece, i in entries.items() if piece not in specials}
    named = {piece.text for model in models for piece in read_pieces(model) if piece.type in (BYTE, USER_DEFINED)}
    return Side(ids, specials, frozenset(ids[piece] for piece in named & ids.keys()) | _words(spec), models)


def _words(spec: TokenizerSpec) -> frozenset[int]:
    return frozenset(word.id for word in spec.added_words)


def rows_of(side: Side, languages: Sequence[str], texts: Sequence[Path]) -> set[int]:
    """Ids of the pieces that the languages (codes) need, by their scripts and, where there are any, by texts.

    Raises `OptionError` where a text cannot be read, or a language has neither a known script nor a text.
    """
    words = script_words(languages, bool(texts))
    fits = is_spelling if texts else is_written_in
    kept = {i for piece, i in side.ids.items() if fits(piece, words) or is_spelling(piece, words)} | side.always
    if texts:
        counts = _pieces_of(side, texts)
        kept |= {side.ids[piece] for piece in counts if piece in side.ids}
        _warn_of_little_text(counts)
    letters = {letter for piece, i in side.ids.items() if i in kept for letter in piece}
    return kept | {side.ids[letter] for letter in letters if letter in side.ids}


def _pieces_of(side: Side, texts: Sequence[Path]) -> Counter[str]:
    """All pieces that the texts are made of, and how often they come."""
    from sentencepiece import SentencePieceProcessor  # noqa: PLC0415

    counts: Counter[str] = Counter()
    for model in side.models:
        processor = SentencePieceProcessor(model_file=str(model))
        for line in lines(texts):
            counts.update(processor.encode(line, out_type=str))
    return counts


def _warn_of_little_text(counts: Counter[str]) -> None:
    """Say so where much of other text would have to be spelled.

    The share of tokens not seen yet is about that of the tokens seen once (Good 1953, after Turing).
    """
    unseen = sum(count == 1 for count in counts.values()) / counts.total() if counts else 1
    if unseen > MUCH_UNSEEN:
        log.warning(
            "the text is too short for this: in other text like it, 1 token in %d would be missing and have to be "
            "spelled, and translations would get worse; give more text, or none to keep all of the languages' script",
            round(1 / unseen),
        )


def lines(texts: Iterable[Path]) -> Iterator[str]:
    """The lines of text files; raises `OptionError` where one cannot be read or is not UTF-8."""
    for path in texts:
        try:
            with path.open(encoding="utf-8") as file:
                yield from file
        except UnicodeDecodeError as error:
            raise OptionError(f"{path} is not UTF-8: {error.reason}") from None
        except OSError as error:
            raise OptionError(f"{path} cannot be read: {error.strerror}") from None
