"""`Translator`: text in, text out. Languages, prompts, splitting and batching around `generate`."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from quartet import models
from quartet.errors import LanguageError, OptionError
from quartet.progress import Progress, silent
from quartet.runtime.detect import detect
from quartet.runtime.generate import SearchOptions, generate_batch, stream
from quartet.runtime.languages import display_name, is_language, resolve
from quartet.runtime.search import Hypothesis
from quartet.runtime.sessions import Sessions, open_sessions
from quartet.runtime.split import Piece, join_pieces, split_text
from quartet.runtime.text import Tokenizer, load_tokenizer
from quartet.spec import Language, Manifest

log = logging.getLogger("quartet")

Split = Literal["auto", "sentences", "none"]
SPLITS: tuple[Split, ...] = ("auto", "sentences", "none")


@dataclass(frozen=True)
class Translation:
    """A translated text. Languages are in the model's own codes; `alternatives` are further ones, best first.

    `score` is the log probability of the tokens divided by their number (to the power of `length_penalty`); for a
    text translated in several pieces, their mean. None where nothing was generated.
    """

    text: str
    score: float | None
    source: str | None
    target: str | None
    alternatives: tuple["Translation", ...] = ()


@dataclass(frozen=True)
class _Plan:
    """A text taken apart: its pieces, and the languages that it goes from and to."""

    text: str
    source: Language | None
    target: Language | None
    pieces: tuple[Piece, ...]  # none: the text goes through unchanged

    @property
    def source_code(self) -> str | None:
        return self.source.code if self.source else None

    @property
    def target_code(self) -> str | None:
        return self.target.code if self.target else None


class Translator:
    """A model ready to translate.

    model: a folder (a quartet or a checkpoint), `demo`, an alias, or `org/name` on the hub; what is no quartet yet
    is converted once into the cache. threads: per operator, None for all cores. verify: check the files' hashes.

    Raises `ModelNotFoundError`, `ManifestError`, and what conversion raises. Usable in a `with` statement.
    """

    def __init__(
        self,
        model: str | Path = "demo",
        *,
        precision: str | None = None,
        revision: str | None = None,
        threads: int | None = None,
        verify: bool = False,
    ) -> None:
        self.folder = models.ready(str(model), precision=precision, revision=revision)
        self._sessions: Sessions | None = open_sessions(self.folder, threads, verify)
        self.manifest: Manifest = self._sessions.manifest
        spec = self.manifest.tokenizer
        self._tokenizer = load_tokenizer(self.folder, spec) if spec else None
        self._languages = {language.code: language for language in self.manifest.languages}

    def close(self) -> None:
        """Give the memory back. The translator cannot be used afterwards."""
        self._sessions = None
        self._tokenizer = None

    def __enter__(self) -> "Translator":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def source_languages(self) -> tuple[str, ...]:
        """Codes of the languages that can be translated from."""
        return tuple(language.code for language in self.manifest.languages if language.source)

    @property
    def target_languages(self) -> tuple[str, ...]:
        """Codes of the languages that can be translated to."""
        return tuple(language.code for language in self.manifest.languages if language.target)

    def translate(
        self,
        text: str,
        target: str | None = None,
        source: str | None = None,
        *,
        beam_size: int = 1,
        num_hypotheses: int = 1,
        length_penalty: float | None = None,
        repetition_penalty: float | None = None,
        no_repeat_ngram_size: int | None = None,
        max_length: int | None = None,
        max_batch_size: int = 32,
        split: Split = "auto",
        loop_guard: bool = True,
    ) -> Translation:
        """Translate one text. See `translate_batch`."""
        return self.translate_batch(
            [text],
            target,
            source,
            beam_size=beam_size,
            num_hypotheses=num_hypotheses,
            length_penalty=length_penalty,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            max_length=max_length,
            max_batch_size=max_batch_size,
            split=split,
            loop_guard=loop_guard,
        )[0]

    def translate_batch(
        self,
        texts: Sequence[str],
        target: str | None = None,
        source: str | None = None,
        *,
        beam_size: int = 1,
        num_hypotheses: int = 1,
        length_penalty: float | None = None,
        repetition_penalty: float | None = None,
        no_repeat_ngram_size: int | None = None,
        max_length: int | None = None,
        max_batch_size: int = 32,
        split: Split = "auto",
        loop_guard: bool = True,
        progress: Progress = silent,
    ) -> list[Translation]:
        """Translate texts of any length, in the order given.

        target, source: language codes or names in any common spelling. Without a target: the model's only one.
        Without a source: the model's only one, else each text's language is detected; a text that is in the target
        language already comes back unchanged.
        max_length: most tokens per piece, the end included. max_batch_size: rows decoded together.
        split: `auto` takes a text apart only where it is longer than the model translates safely, `sentences`
        always, `none` never. loop_guard: stop a phrase from being repeated without end.
        progress: is told how many of how many pieces are done.

        Raises `LanguageError`, `OptionError`.
        """
        if isinstance(texts, str):
            raise OptionError("translate_batch takes a list of texts, this is one; use translate")
        search = SearchOptions(
            beam_size=beam_size,
            num_hypotheses=num_hypotheses,
            length_penalty=length_penalty,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            max_new_tokens=max_length,
            loop_guard=loop_guard,
        )
        plans = [self._plan(text, source, target, split) for text in texts]
        rows = [(plan, piece.text) for plan in plans for piece in plan.pieces]
        sources = [self._source_ids(plan, text) for plan, text in rows]
        prefixes = [self._prefix_ids(plan) for plan, _ in rows]
        found = iter(self._search(sources, prefixes, search, max_batch_size, progress))
        return [self._join(plan, [next(found) for _ in plan.pieces]) for plan in plans]

    def stream(
        self,
        text: str,
        target: str | None = None,
        source: str | None = None,
        *,
        repetition_penalty: float | None = None,
        no_repeat_ngram_size: int | None = None,
        max_length: int | None = None,
        split: Split = "auto",
        loop_guard: bool = True,
    ) -> Iterator[str]:
        """Translate greedily; yields the text so far, each time that it has grown. The last one is the translation."""
        search = SearchOptions(
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            max_new_tokens=max_length,
            loop_guard=loop_guard,
        )
        plan = self._plan(text, source, target, split)
        return self._stream(plan, search)

    def generate(
        self,
        ids: Sequence[Sequence[int]],
        prefix_ids: Sequence[int] | Sequence[Sequence[int]] | None = None,
        *,
        beam_size: int = 1,
        length_penalty: float | None = None,
        repetition_penalty: float | None = None,
        no_repeat_ngram_size: int | None = None,
        min_new_tokens: int = 0,
        max_new_tokens: int | None = None,
        max_batch_size: int = 32,
    ) -> list[list[int]]:
        """Ids in, ids out: no splitting, no guard, nothing hidden.

        ids: source tokens of each row, special ones included. prefix_ids: the first decoder tokens, one list for all
        rows or one per row; None for the decoder start alone. min_new_tokens and max_new_tokens count what comes
        after the prefix, the end token included. Returns for each row the best hypothesis' new tokens, without
        prefix and end token. What the checkpoint's generation config forbids or forces holds here too.
        """
        search = SearchOptions(
            beam_size=beam_size,
            length_penalty=length_penalty,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            min_new_tokens=min_new_tokens,
            max_new_tokens=max_new_tokens,
        )
        prefixes = _prefix_per_row(prefix_ids, len(ids), self.manifest.tokens.decoder_start)
        shapes = self.manifest.shapes
        _check_ids(ids, shapes.source_vocab_size or shapes.vocab_size)
        _check_ids(prefixes, shapes.vocab_size)
        found = self._search(ids, prefixes, search, max_batch_size, silent)
        return [list(hypotheses[0].tokens) for hypotheses in found]

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without the special ones around it."""
        return self._text.count(text)

    def check_languages(self, target: str | None, source: str | None) -> None:
        """Raise `LanguageError` where the model cannot translate between these; None stands as in `translate`."""
        self._plan("", source, target, "auto")

    # ---- languages ----------------------------------------------------------------------------------------------

    def _target(self, name: str | None) -> Language | None:
        return self._only_or_named(name, self.target_languages, "target", "--to LANG (target=...)")

    def _source(self, name: str | None, text: str) -> Language | None:
        codes = self.source_languages
        if name is None and len(codes) > 1:
            return self._languages[detect(text, codes)]
        if len(codes) == 1 and not is_language(codes[0]):  # a group such as `roa`: whatever is named, it is in it
            return self._languages[codes[0]]
        return self._only_or_named(name, codes, "source", "--from LANG (source=...)")

    def _is_in_no_language(self, text: str) -> bool:
        """Numbers and signs alone: nothing to detect, and nothing to translate."""
        return len(self.source_languages) > 1 and not any(map(str.isalpha, text))

    def _only_or_named(self, name: str | None, codes: tuple[str, ...], side: str, option: str) -> Language | None:
        if name is not None:
            if not codes:
                raise LanguageError(f"language {name!r}: the model names no {side} languages, so leave it out")
            return self._languages[resolve(name, codes)]
        if len(codes) > 1:
            raise LanguageError(f"name the {side} language with {option}; the model has {len(codes)}")
        return self._languages[codes[0]] if codes else None

    # ---- from text to pieces and back ---------------------------------------------------------------------------

    def _plan(self, text: str, source_name: str | None, target_name: str | None, split: Split) -> _Plan:
        if split not in SPLITS:
            raise OptionError(f"split is {split!r}; it is one of {', '.join(SPLITS)}")
        _ = self._text  # a model without a tokeniser knows no languages either: say the cause, not the consequence
        target = self._target(target_name)
        if source_name is not None and target is not None and self._source(source_name, text) == target:
            name = display_name(target.code)
            raise LanguageError(f"source and target are both {name} ({target.code}); name two different languages")
        if not text.strip() or (source_name is None and self._is_in_no_language(text)):
            return _Plan(text, None, target, ())
        source = self._source(source_name, text)
        if source is not None and source == target:
            log.warning("already in %s, left as it is: %s", display_name(source.code), _shortened(text))
            return _Plan(text, source, target, ())
        return _Plan(text, source, target, tuple(self._pieces(text, source, split)))

    def _pieces(self, text: str, source: Language | None, split: Split) -> list[Piece]:
        window = self.manifest.shapes.max_source_length - (len(self.manifest.source_prompt) - 1)
        code = source.code if source else None
        pieces = split_text(text, code, self.manifest.safe_length, window, self._text.count, split)
        for piece in pieces if split == "none" else ():
            if (tokens := self._text.count(piece.text)) > window:
                raise OptionError(f"a text of {tokens} tokens is longer than the model's {window}; use split auto")
        return pieces

    @property
    def _text(self) -> Tokenizer:
        _ = self._open
        if self._tokenizer is None:
            raise OptionError(
                f"{self.manifest.name} has no tokeniser: generate() takes ids, or convert it with its tokeniser's files"
            )
        return self._tokenizer

    def _source_ids(self, plan: _Plan, text: str) -> list[int]:
        return self._prompt(self.manifest.source_prompt, plan, self._text.encode(text))

    def _prefix_ids(self, plan: _Plan) -> list[int]:
        return self._prompt(self.manifest.target_prompt, plan, [])

    def _prompt(self, pattern: tuple[str, ...], plan: _Plan, text_ids: list[int]) -> list[int]:
        tokens = self.manifest.tokens
        words = {
            "source": _token(plan.source),
            "target": _token(plan.target),
            "text": text_ids,
            "eos": [tokens.eos],
            "decoder_start": [tokens.decoder_start],
        }
        return [token for word in pattern for token in words[word]]

    def _join(self, plan: _Plan, found: list[list[Hypothesis]]) -> Translation:
        if not plan.pieces:
            return Translation(plan.text, None, plan.source_code, plan.target_code)
        ranks = range(min(len(hypotheses) for hypotheses in found))
        best, *others = [self._joined(plan, [hypotheses[i] for hypotheses in found]) for i in ranks]
        return replace(best, alternatives=tuple(others))

    def _joined(self, plan: _Plan, hypotheses: list[Hypothesis]) -> Translation:
        texts = [self._text.decode(h.tokens) for h in hypotheses]
        text = join_pieces(plan.pieces, texts, plan.target_code)
        score = sum(h.score for h in hypotheses) / len(hypotheses)
        return Translation(text, score, plan.source_code, plan.target_code)

    # ---- batches ------------------------------------------------------------------------------------------------

    def _search(
        self,
        sources: Sequence[Sequence[int]],
        prefixes: Sequence[Sequence[int]],
        options: SearchOptions,
        max_batch_size: int,
        progress: Progress,
    ) -> list[list[Hypothesis]]:
        """Search in batches of similar length; results in the order of the sources."""
        if max_batch_size < 1:
            raise OptionError(f"max_batch_size is {max_batch_size}; 1 or more is expected")
        results: list[list[Hypothesis]] = [[] for _ in sources]
        longest_first = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
        for start in range(0, len(sources), max_batch_size):
            rows = longest_first[start : start + max_batch_size]
            found = generate_batch(self._open, [sources[i] for i in rows], [prefixes[i] for i in rows], options)
            for row, hypotheses in zip(rows, found, strict=True):
                results[row] = hypotheses
            progress(start + len(rows), len(sources))
        return results

    def _stream(self, plan: _Plan, options: SearchOptions) -> Iterator[str]:
        texts: list[str] = []
        shown = ""
        for piece in plan.pieces:
            texts.append("")
            begun = [*plan.pieces[: len(texts) - 1], replace(piece, after="")]
            for tokens in stream(self._open, self._source_ids(plan, piece.text), self._prefix_ids(plan), options):
                texts[-1] = self._text.decode(tokens)
                text = join_pieces(begun, texts, plan.target_code)
                if text != shown:
                    yield text
                shown = text
        whole = join_pieces(plan.pieces, texts, plan.target_code) if plan.pieces else plan.text
        if whole != shown or not plan.pieces:
            yield whole

    @property
    def _open(self) -> Sessions:
        if self._sessions is None:
            raise OptionError("this translator is closed; make a new one")
        return self._sessions


def _check_ids(rows: Sequence[Sequence[int]], vocab_size: int) -> None:
    for row in rows:
        if not row:
            raise OptionError("a row of ids is empty; the model wants at least one token")
        for token in (min(row), max(row)):
            if not 0 <= token < vocab_size:
                raise OptionError(f"id {token} is outside the vocabulary of {vocab_size}")


def _token(language: Language | None) -> list[int]:
    return [] if language is None or language.token_id is None else [language.token_id]


def _shortened(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _prefix_per_row(
    prefix_ids: Sequence[int] | Sequence[Sequence[int]] | None, rows: int, decoder_start: int
) -> list[list[int]]:
    if not prefix_ids:
        return [[decoder_start]] * rows
    if isinstance(prefix_ids[0], int):
        return [[int(token) for token in prefix_ids]] * rows  # type: ignore[arg-type]
    if len(prefix_ids) != rows:
        raise OptionError(f"{len(prefix_ids)} prefixes for {rows} rows; give one for all, or one per row")
    return [list(prefix) for prefix in prefix_ids]  # type: ignore[arg-type]
