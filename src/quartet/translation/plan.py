"""From texts to sentences that are translated by themselves, and back: languages, prompts, and joining again."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from quartet.errors import LanguageError, ManifestError, OptionError
from quartet.json_schema import shown
from quartet.options.declared import TRANSLATION
from quartet.options.kinds import check_fields
from quartet.spec import Language, Manifest
from quartet.text.added_words import Encode
from quartet.text.detect import Detected, detect_all
from quartet.text.glossary import Glossary
from quartet.text.kept import KeptSpan, kept_spans
from quartet.text.languages import display_name, find, is_language, offered, resolve, typed_tag
from quartet.text.prompts import prompt_ids
from quartet.text.scripts import is_foreign
from quartet.text.sentences import Piece, join_pieces, split_text
from quartet.text.stand_ins import STYLES, UNTRIED
from quartet.text.tidy import plain
from quartet.text.tokenizer import Tokenizer, valid_unicode
from quartet.text.unknown import is_replaced, unknown_stretches
from quartet.translation.attempts import Sentence, Ways, sentence_of, with_stand_ins

log = logging.getLogger("quartet")

Split = Literal["auto", "sentences", "none"]
READING = {name: TRANSLATION[name] for name in ("split", "wrapped", "raw", "strict", "glossary")}
LONGER = 1.5  # most tokens of a translation for each of its source, nearly always
SAFE_LENGTHS = 2.5  # times a model's safe length: so long a single sentence is translated whole (docs/log.md)


@dataclass(frozen=True)
class Reading:
    """How texts are read."""

    split: Split = "auto"
    wrapped: bool = False  # a single line break is white space inside of a paragraph
    raw: bool = False  # the model gets the text as it is typed
    strict: bool = True  # a text in no language that is known is an error, not left as it is
    glossary: Glossary | Mapping[str, str] | None = None  # what terms are to become
    limited: bool = False  # the caller has said how many tokens at most are generated

    def __post_init__(self) -> None:
        """Raise `OptionError` for a value that there is not."""
        check_fields(self, READING)
        if self.glossary is not None and self.raw:
            raise OptionError("with raw the model gets the text as it is, so there is no use for a glossary")
        if self.glossary is not None and not isinstance(self.glossary, Glossary):
            object.__setattr__(self, "glossary", Glossary(self.glossary))


@dataclass(frozen=True)
class Plan:
    """A text taken apart: its sentences, and the languages that it goes from and to."""

    text: str
    source: Language | None
    target: Language | None
    pieces: tuple[Piece, ...] = ()  # none: the text goes through unchanged
    sentences: tuple[Sentence, ...] = ()  # of the pieces
    lead: str = ""  # stays before the text
    problem: str | None = None  # why the text goes through unchanged, where it should not

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
        if not self.pieces:
            return self.lead + self.text
        return self.lead + join_pieces(self.pieces, translations, self.target_code)


@dataclass(frozen=True)
class Planner:
    """What a model can do with text."""

    manifest: Manifest
    tokenizer: Tokenizer

    def for_a_call(self) -> "Planner":
        """The same, which tokenises a text once: what is counted first is encoded afterwards, and is the same."""
        return replace(self, tokenizer=replace(self.tokenizer, to_ids=_once(self.tokenizer.to_ids)))

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self.tokenizer.count(text.strip())

    def plans(
        self, texts: Sequence[str], source_name: str | None, target_name: str | None, reading: Reading
    ) -> list[Plan]:
        """Find the languages and take the texts apart; raises `LanguageError` and `OptionError`."""
        if source_name is not None and (target_name is not None or len(self._codes("target")) == 1):
            self.check_languages(source_name, target_name)
        asked = [self._asked(valid_unicode(text), target_name, reading) for text in texts]
        found = self._detected([rest for _, rest, _ in asked], source_name, target_name)
        plans = [
            self._plan(rest, lead, self._source_of(source_name, detected), target, detected, reading)
            for (lead, rest, target), detected in zip(asked, found, strict=True)
        ]
        _tell_of_what_stays([plan for plan in plans if plan.text.strip() and plan.source == plan.target is not None])
        return plans

    def check_languages(self, source_name: str | None, target_name: str | None) -> None:
        """Raise `LanguageError` where the model cannot translate between these."""
        target = self._target(target_name)
        if source_name is None:
            return
        source = self._source(source_name)
        if target is not None and source == target:
            name = display_name(target.code)
            raise LanguageError(f"source and target are both {name} ({target.code}); name two different languages")

    def ways(self, reading: Reading) -> Ways | None:
        """What may be tried with a sentence; None where it is sent as it is."""
        if reading.raw:
            return None
        tried = self.manifest.stand_ins
        styles = UNTRIED if tried is None else [style for name in tried for style in STYLES if style == name]
        return Ways(self.count, self.max_tokens(reading), styles, reading.limited)

    def source_ids(self, plan: Plan, text: str) -> list[int]:
        """What the encoder reads for a part of the plan's text. Raises `ManifestError` for ids without a row."""
        ids, shapes = self.tokenizer.encode(text), self.manifest.shapes
        rows = shapes.source_vocab_size or shapes.vocab_size
        if ids and not 0 <= min(ids) <= max(ids) < rows:
            wrong = next(i for i in ids if not 0 <= i < rows)
            raise ManifestError(
                f"the tokeniser of {self.manifest.name} makes the id {shown(wrong)}, "
                f"outside of its vocabulary of {rows}; convert the model again"
            )
        return prompt_ids(self.manifest.source_prompt, self.manifest.tokens, plan.source, plan.target, ids)

    def prefix_ids(self, plan: Plan) -> list[int]:
        """What the decoder is fed before it generates."""
        return prompt_ids(self.manifest.target_prompt, self.manifest.tokens, plan.source, plan.target)

    def max_tokens(self, reading: Reading) -> int:
        """Of a part that is sent: what fits the window, what may be generated, and what is translated safely."""
        if reading.raw or reading.split == "none":
            return self._window
        room = self.manifest.generation.max_length - len(self.manifest.target_prompt)
        return max(1, min(self._window, int(room / LONGER), int(SAFE_LENGTHS * self.manifest.safe_length)))

    @property
    def _window(self) -> int:
        return self.manifest.shapes.max_source_length - (len(self.manifest.source_prompt) - 1)

    # ---- languages ----------------------------------------------------------------------------------------------

    def _asked(self, text: str, target_name: str | None, reading: Reading) -> tuple[str, str, Language | None]:
        """What stays before a text, the text, and its target: the one typed before it, where the model has it."""
        tag = None if reading.raw else typed_tag(text)
        codes = self._codes("target")
        if tag is None:
            return "", text, self._target(target_name)
        if (code := find(tag[0], codes)) is not None:
            return text[: len(text) - len(text.lstrip())], tag[1], self._language(code)
        lead = text.removesuffix(tag[1])
        log.warning("%s is no target language of the model, and is left as it is: %s", lead.strip(), _shortened(text))
        return lead, tag[1], self._target(target_name)

    def _detected(
        self, texts: Sequence[str], source_name: str | None, target_name: str | None
    ) -> Sequence[Detected | None]:
        codes = self._codes("source")
        if source_name is not None or len(codes) < 2:
            return [None] * len(texts)
        target = self._target(target_name) if target_name is not None or len(self._codes("target")) == 1 else None
        return detect_all(texts, codes, target.code if target else None)

    def _source_of(self, name: str | None, detected: Detected | None) -> Language | None:
        if detected is None:
            return self._source(name)
        return self._language(detected.code) if detected.code else None

    def _source(self, name: str | None) -> Language | None:
        codes = self._codes("source")
        if len(codes) == 1 and not is_language(codes[0]):  # a group such as `roa`: whatever is named, it is in it
            return self._language(codes[0])
        return self._only_or_named(name, codes, "source", "--from LANG (source=...)")

    def _target(self, name: str | None) -> Language | None:
        return self._only_or_named(name, self._codes("target"), "target", "--to LANG (target=...)")

    def _only_or_named(self, name: str | None, codes: tuple[str, ...], side: str, option: str) -> Language | None:
        if name is not None:
            if not codes:
                raise LanguageError(f"language {name!r}: the model names no {side} languages, so leave it out")
            return self._language(resolve(name, codes))
        if len(codes) > 1:
            raise LanguageError(f"name the {side} language with {option}; the model has{offered(codes)}")
        return self._language(codes[0]) if codes else None

    def _codes(self, side: Literal["source", "target"]) -> tuple[str, ...]:
        return tuple(language.code for language in self.manifest.languages if getattr(language, side))

    def _language(self, code: str) -> Language:
        return next(language for language in self.manifest.languages if language.code == code)

    # ---- sentences ----------------------------------------------------------------------------------------------

    def _plan(
        self,
        text: str,
        lead: str,
        source: Language | None,
        target: Language | None,
        detected: Detected | None,
        reading: Reading,
    ) -> Plan:
        plan = Plan(text, source, target, lead=lead)
        if not text.strip():
            return replace(plan, source=None)
        if detected is not None and detected.code is None:
            if detected.reason is not None and reading.strict:
                raise LanguageError(detected.reason)
            return replace(plan, problem=detected.reason)
        if source is not None and source == target:
            return plan
        spans = [] if reading.raw else kept_spans(text)
        pieces = self._pieces(text, plan.source_code, spans, reading)
        if reading.split == "none" and (tokens := sum(self.count(piece.text) for piece in pieces)) > self._window:
            problem = f"a text of {tokens} tokens is longer than the model's {self._window}; use split auto"
            if reading.strict:
                raise OptionError(problem)
            return replace(plan, problem=problem)
        sentences = _sentences(plan, pieces, spans)
        if not reading.raw:
            sentences = tuple(map(self._with_unknown, sentences))
        if isinstance(reading.glossary, Glossary):
            sentences = tuple(_with_terms(sentence, reading.glossary) for sentence in sentences)
        return replace(plan, pieces=tuple(pieces), sentences=sentences)

    def _pieces(self, text: str, language: str | None, spans: Sequence[KeptSpan], reading: Reading) -> list[Piece]:
        kept = [(span.start, span.end) for span in spans]
        return split_text(
            text,
            language,
            self.max_tokens(reading),
            with_stand_ins(self.count) if kept else self.count,
            mode=reading.split,
            wrapped=reading.wrapped,
            kept=kept,
        )

    def _with_unknown(self, sentence: Sentence) -> Sentence:
        """The sentence with what the model cannot spell among the spans that are kept."""
        unknown = self.manifest.tokenizer.unk_id if self.manifest.tokenizer else None
        language = [sentence.source] if sentence.source else []
        encode = self.tokenizer.encode

        def is_unknown(part: str) -> bool:
            part = plain(part, sentence.source)
            return is_replaced(part) or bool(language and is_foreign(part, language)) or unknown in encode(part)

        if not is_unknown(sentence.text):
            return sentence
        found = [
            KeptSpan(start, end, "unknown")
            for start, end in unknown_stretches(sentence.text, is_unknown)
            if not any(span.start < end and start < span.end for span in sentence.spans)
        ]
        spans = sorted((*sentence.spans, *found), key=lambda span: span.start)
        return sentence_of(sentence.text, spans, sentence.source, sentence.target)


def _sentences(plan: Plan, pieces: Sequence[Piece], spans: Sequence[KeptSpan]) -> tuple[Sentence, ...]:
    """The pieces with those of the spans that are in each."""
    found, first = [], 0
    for piece in pieces:
        inside = []
        end = piece.start + len(piece.text)
        while first < len(spans) and spans[first].start < end:
            span = spans[first]
            if span.start >= piece.start and span.end <= end:
                inside.append(span.from_place(piece.start))
            first += 1
        found.append(sentence_of(piece.text, inside, plan.source_code, plan.target_code))
    return tuple(found)


def _with_terms(sentence: Sentence, glossary: Glossary) -> Sentence:
    return replace(sentence, terms=tuple(glossary.found(sentence.text, sentence.spans)))


def _tell_of_what_stays(plans: Sequence[Plan]) -> None:
    """One line for all texts that are in the target language already."""
    if plans:
        more = f" (and {len(plans) - 1} more)" if len(plans) > 1 else ""
        name = display_name(plans[0].target_code or "")
        log.warning("already in %s, left as it is: %s%s", name, _shortened(plans[0].text), more)


def _once(encode: Encode) -> Encode:
    known: dict[str, list[int]] = {}

    def encode_once(text: str) -> list[int]:
        if text not in known:
            known[text] = encode(text)
        return known[text]

    return encode_once


def _shortened(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
