"""Tokenisers: text to ids and back, as the checkpoint's own tokeniser does it.

Text never becomes a control token: `</s>` or `eng_Latn` typed by a user is ordinary text here, while transformers
turns it into the end or the language token. In all else the ids are those of transformers. Language and end tokens
are not made here: the pipeline puts them around the text after the manifest's prompts.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentencepiece import SentencePieceNormalizer, SentencePieceProcessor

from quartet.errors import ManifestError
from quartet.spec import TokenizerSpec
from quartet.text.added_words import Decode, Encode, with_added_words
from quartet.text.json_tokenizer import json_tokenizer

SPACE = "▁"  # how SentencePiece writes a space

# what transformers' `clean_up_tokenization` replaces, in its order
CLEAN_UPS = (
    *((f" {mark}", mark) for mark in ".?!,"),
    (" ' ", "'"),
    *((f" {ending}", ending) for ending in ("n't", "'m", "'s", "'ve", "'re")),
)


@dataclass(frozen=True)
class Tokenizer:
    """Text to ids and back."""

    to_ids: Encode  # of valid Unicode
    to_text: Decode
    clean_up_spaces: bool = False

    def encode(self, text: str) -> list[int]:
        """Ids of the pieces of `text`, without language and end tokens. A lone surrogate counts as U+FFFD."""
        return self.to_ids(valid_unicode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without control tokens and outer white space. Of a growing list, a growing text."""
        text = self.to_text(ids).strip()
        return clean_up(text) if self.clean_up_spaces else text

    def count(self, text: str) -> int:
        """Number of ids that `encode` gives."""
        return len(self.encode(text))


def load_tokenizer(folder: Path, spec: TokenizerSpec) -> Tokenizer:
    """The tokeniser of a quartet folder; raises `ManifestError` where one of its files is missing or damaged."""
    for name in (spec.source_model, spec.target_model, spec.vocab, spec.target_vocab):
        if name and not (folder / name).is_file():
            raise ManifestError(f"{folder} is not complete: it has no {name}, which its tokeniser needs")
    load = {"sentencepiece": _pieces, "sentencepiece-vocab": _vocabulary, "tokenizers": _tokenizers}[spec.kind]
    try:
        to_ids, to_text = load(folder, spec)
    except Exception as error:  # the libraries raise a bare Exception on a damaged file
        raise ManifestError(f"the tokeniser of {folder} is damaged: {error}") from None
    return Tokenizer(to_ids, to_text, spec.clean_up_spaces)


def valid_unicode(text: str) -> str:
    """The text with pairs of surrogates joined and lone ones replaced by U+FFFD: no UTF-8 encodes them."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_up(text: str) -> str:
    """Take out the spaces that English does not write, exactly as transformers does where a checkpoint asks for it."""
    for found, better in CLEAN_UPS:
        text = text.replace(found, better)
    return text


def _pieces(folder: Path, spec: TokenizerSpec) -> tuple[Encode, Decode]:
    """SentencePiece's own ids, shifted. A control token that the model makes of text (`<2fr>`) is spelled instead."""
    model = SentencePieceProcessor(model_file=str(folder / spec.source_model))
    unknown, size, offset = model.unk_id(), len(model), spec.offset
    dropped = {spec.unk_id, *spec.special_tokens.values()}
    spelled = {
        i - offset: [piece for letter in text for piece in _letter(model, letter)]
        for text, i in spec.special_tokens.items()
        if model.piece_to_id(text) == i - offset != unknown
    }

    def to_ids(text: str) -> list[int]:
        found = [i for piece in model.encode(text) for i in spelled.get(piece, (piece,))]
        return [spec.unk_id if i == unknown else i + offset for i in found]

    def to_text(ids: Sequence[int]) -> str:
        kept = [int(i) - offset for i in ids if i not in dropped and 0 <= i - offset < size]
        if any(map(model.is_byte, kept)):  # letters that the vocabulary lacks, byte by byte
            space = " " if model.id_to_piece(kept[0]).startswith(SPACE) else ""  # which the library takes away
            return space + str(model.decode(kept)).replace(SPACE, " ")
        return "".join(model.id_to_piece(kept)).replace(SPACE, " ")

    if not spec.added_words:
        return to_ids, to_text
    space = model.piece_to_id(SPACE)
    return with_added_words(
        to_ids, to_text, spec, _normalizer(folder / spec.source_model), None if space == unknown else space + offset
    )


def _normalizer(path: Path) -> Callable[[str], str]:
    """What a SentencePiece model makes of letters; spaces stay as they are."""
    normalizer = SentencePieceNormalizer(
        model_file=str(path), add_dummy_prefix=False, escape_whitespaces=False, remove_extra_whitespaces=False
    )
    return lambda text: str(normalizer.normalize(text))


def _letter(model: SentencePieceProcessor, letter: str) -> list[int]:
    """The piece of a letter, or where there is none, but pieces for bytes, those of its bytes."""
    piece = model.piece_to_id(letter)
    if piece != model.unk_id():
        return [piece]
    pieces = [model.piece_to_id(f"<0x{byte:02X}>") for byte in letter.encode("utf-8")]
    return pieces if model.unk_id() not in pieces else [piece]


def _vocabulary(folder: Path, spec: TokenizerSpec) -> tuple[Encode, Decode]:
    """SentencePiece's pieces, looked up in a table."""

    def table(name: str | None) -> dict[str, int]:
        entries = json.loads((folder / str(name)).read_text(encoding="utf-8"))
        if not set(map(type, entries.values())) <= {int}:
            raise ValueError(f"{name} has ids that are no integers")
        return {piece: i for piece, i in entries.items() if piece not in spec.special_tokens}

    source = SentencePieceProcessor(model_file=str(folder / spec.source_model))
    target = SentencePieceProcessor(model_file=str(folder / (spec.target_model or spec.source_model)))
    vocab = table(spec.vocab)
    pieces = {i: piece for piece, i in (table(spec.target_vocab) if spec.target_vocab else vocab).items()}

    def to_ids(text: str) -> list[int]:
        return [vocab.get(piece, spec.unk_id) for piece in source.encode(text, out_type=str)]

    def to_text(ids: Sequence[int]) -> str:
        known = [pieces[i] for i in ids if i in pieces]
        return str(target.decode_pieces(known)).replace(SPACE, " ")

    return with_added_words(to_ids, to_text, spec)


def _tokenizers(folder: Path, spec: TokenizerSpec) -> tuple[Encode, Decode]:
    """A `tokenizer.json`. It is slow to load and large in memory: the last resort."""
    model = json_tokenizer((folder / spec.source_model).read_text("utf-8"))
    model.encode_special_tokens = True  # text that looks like a special token stays text
    model.no_truncation()
    model.no_padding()

    def to_ids(text: str) -> list[int]:
        return list(model.encode(text, add_special_tokens=False).ids)

    def to_text(ids: Sequence[int]) -> str:
        return str(model.decode([int(i) for i in ids], skip_special_tokens=True))

    return with_added_words(to_ids, to_text, spec)
