"""From a text to what the search needs, and back: languages, prompts, pieces, and joining them again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from quartet.errors import LanguageError, OptionError
from quartet.spec import Language, Manifest
from quartet.text.detect import detect
from quartet.text.languages import display_name, is_language, offered, resolve
from quartet.text.prompts import prompt_ids
from quartet.text.sentences import Piece, join_pieces, split_text
from quartet.text.tokenizer import Encode, Tokenizer

log = logging.getLogger("quartet")

Split = Literal["auto", "sentences", "none"]
SPLITS: tuple[Split, ...] = ("auto", "sentences", "none")


@dataclass(frozen=True)
class Plan:
    """A text taken apart: its pieces, and the languages that it goes from and to."""

    text: str
    source: Language | None
    target: Language | None
    pieces: tuple[Piece, ...] = ()  # none: the text goes through unchanged
    source_ids: tuple[list[int], ...] = ()  # what the encoder reads for each piece
    prefix_ids: tuple[int, ...] = ()  # what the decoder is fed before it generates

    @property
    def source_code(self) -> str | None:
        """The source language in the model's own spelling."""
        return self.source.code if self.source else None

    @property
    def target_code(self) -> str | None:
        """The target language in the model's own spelling."""
        return self.target.code if self.target else None

    def join(self, translations: Sequence[str]) -> str:
        """The translated pieces with the text's own white space around them."""
        return join_pieces(self.pieces, translations, self.target_code)


@dataclass(frozen=True)
class Planner:
    """What a model can do with text."""

    manifest: Manifest
    tokenizer: Tokenizer

    def plan(self, text: str, source_name: str | None, target_name: str | None, split: Split) -> Plan:
        """Find the languages and take the text apart; raises `LanguageError` and `OptionError`."""
        if not isinstance(text, str):
            raise OptionError(f"a text is a str; this one is of type {type(text).__name__}")
        if split not in SPLITS:
            raise OptionError(f"split is {split!r}; it is one of {', '.join(SPLITS)}")
        target = self._target(target_name)
        if source_name is not None and target is not None and self._source(source_name, text) == target:
            name = display_name(target.code)
            raise LanguageError(f"source and target are both {name} ({target.code}); name two different languages")
        if not text.strip() or (source_name is None and self._is_in_no_language(text)):
            return Plan(text, None, target)
        source = self._source(source_name, text)
        if source is not None and source == target:
            log.warning("already in %s, left as it is: %s", display_name(source.code), _shortened(text))
            return Plan(text, source, target)
        encode = _encoding_once(self.tokenizer)

        def prompt(pattern: tuple[str, ...], text_ids: list[int]) -> list[int]:
            return prompt_ids(pattern, self.manifest.tokens, source, target, text_ids)

        pieces = self._pieces(text, source, split, encode)
        return Plan(
            text,
            source,
            target,
            tuple(pieces),
            tuple(prompt(self.manifest.source_prompt, encode(piece.text)) for piece in pieces),
            tuple(prompt(self.manifest.target_prompt, [])),
        )

    def _target(self, name: str | None) -> Language | None:
        codes = tuple(language.code for language in self.manifest.languages if language.target)
        return self._only_or_named(name, codes, "target", "--to LANG (target=...)")

    def _source(self, name: str | None, text: str) -> Language | None:
        codes = tuple(language.code for language in self.manifest.languages if language.source)
        if name is None and len(codes) > 1:
            return self._language(detect(text, codes))
        if len(codes) == 1 and not is_language(codes[0]):  # a group such as `roa`: whatever is named, it is in it
            return self._language(codes[0])
        return self._only_or_named(name, codes, "source", "--from LANG (source=...)")

    def _only_or_named(self, name: str | None, codes: tuple[str, ...], side: str, option: str) -> Language | None:
        if name is not None:
            if not codes:
                raise LanguageError(f"language {name!r}: the model names no {side} languages, so leave it out")
            return self._language(resolve(name, codes))
        if len(codes) > 1:
            raise LanguageError(f"name the {side} language with {option}; the model has{offered(codes)}")
        return self._language(codes[0]) if codes else None

    def _language(self, code: str) -> Language:
        return next(language for language in self.manifest.languages if language.code == code)

    def _is_in_no_language(self, text: str) -> bool:
        """Numbers and signs alone: nothing to detect, and nothing to translate."""
        several = sum(language.source for language in self.manifest.languages) > 1
        return several and not any(map(str.isalpha, text))

    def _pieces(self, text: str, source: Language | None, split: Split, encode: Encode) -> list[Piece]:
        def count(part: str) -> int:
            return len(encode(part.strip()))

        window = self.manifest.shapes.max_source_length - (len(self.manifest.source_prompt) - 1)
        code = source.code if source else None
        pieces = split_text(text, code, window, count, mode=split)
        for piece in pieces if split == "none" else ():
            if (tokens := count(piece.text)) > window:
                raise OptionError(f"a text of {tokens} tokens is longer than the model's {window}; use split auto")
        return pieces


def _encoding_once(tokenizer: Tokenizer) -> Encode:
    """The tokeniser for one text: what is counted first is encoded afterwards, and is the same."""
    known: dict[str, list[int]] = {}

    def encode(part: str) -> list[int]:
        if part not in known:
            known[part] = tokenizer.encode(part)
        return known[part]

    return encode


def _shortened(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
