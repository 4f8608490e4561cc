"""`Translator`: text in, text out. Planning (`plan`), the engine's search, and joining around it."""

import copy
import numbers
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

from quartet import provision
from quartet.errors import OptionError
from quartet.options.declared import GENERATION, MODEL, TEXT, TEXTS, TRANSLATION
from quartet.options.kinds import REQUIRED, Integer, Many, Option, bad_value, check_fields, checked, too_long
from quartet.progress import Progress, silent
from quartet.runtime.batching import Batching, BatchType
from quartet.runtime.engine import Engine, of_this_process, open_engine
from quartet.runtime.generate import SearchOptions, new_tokens
from quartet.runtime.machine import packing
from quartet.runtime.machine.head_selection import selected_head
from quartet.runtime.requests import Submit, TextRequest, complete
from quartet.runtime.search import Hypothesis
from quartet.spec import Language, Manifest
from quartet.text.glossary import Glossary
from quartet.text.tokenizer import Tokenizer, load_tokenizer
from quartet.translation.drafts import Draft, Outcome
from quartet.translation.plan import Plan, Planner, Reading, Split

OPTIONS = {name: option for name, option in TRANSLATION.items() if name not in ("target", "source", "progress")}


@dataclass(frozen=True)
class TranslationOptions:
    """How to translate, see `Translator.translate_batch`."""

    beam_size: int = 1
    num_hypotheses: int = 1
    length_penalty: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    max_length: int | None = None
    max_batch_size: int = 32
    batch_type: BatchType = "examples"
    split: Split = "auto"
    wrapped: bool = False
    raw: bool = False
    strict: bool = True
    loop_guard: bool = True
    glossary: Glossary | Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Raise `OptionError` for values that make no sense."""
        check_fields(self, OPTIONS)

    @property
    def search(self) -> SearchOptions:
        """Of each piece of a text."""
        return SearchOptions(
            beam_size=self.beam_size,
            num_hypotheses=self.num_hypotheses,
            length_penalty=self.length_penalty,
            repetition_penalty=self.repetition_penalty,
            no_repeat_ngram_size=self.no_repeat_ngram_size,
            max_new_tokens=self.max_length,
            loop_guard=self.loop_guard,
        )

    @property
    def reading(self) -> Reading:
        """Of each text."""
        limited = self.max_length is not None
        return Reading(self.split, self.wrapped, self.raw, self.strict, self.glossary, limited=limited)

    @property
    def batching(self) -> Batching:
        """Of all pieces."""
        return Batching(self.max_batch_size, self.batch_type)


@dataclass(frozen=True)
class Translation:
    """A translated text. Languages are in the model's own codes; `alternatives` are further ones, best first.

    `score` is the log probability of the tokens divided by their number (to the power of `length_penalty`); for a
    text translated in several pieces, their mean. None where nothing was generated. `complete` says whether every
    piece was translated to its end, and all that was looked for is there; `missing` is what is not: sentences whose
    translation has no end, and numbers, names and the like of the source.
    """

    text: str
    score: float | None
    source: str | None
    target: str | None
    alternatives: tuple["Translation", ...] = ()
    complete: bool = True
    missing: tuple[str, ...] = ()


class Translator:
    """A model ready to translate.

    model: a folder (a quartet or a checkpoint), `demo`, an alias, or `org/name` on the hub; what is no quartet yet
    is converted once into the cache. threads: per operator, None for all cores. verify: check the hashes of
    its files, and of what is derived from them in the cache.
    vocabulary: what a translation may be made of, a smaller choice being faster: None for all that the model knows,
    `auto` for what is written in the target language's script, or a file of text in the target language, for what
    occurs in it. `generate` is not limited by it.

    Translators of one folder share one open model, and each may be called from any number of threads. In a process that
    is forked the model is opened anew when it is first used there.

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
        vocabulary: Literal["auto"] | str | Path | None = None,
    ) -> None:
        threads, verify = checked(MODEL["threads"], threads), checked(MODEL["verify"], verify)
        vocabulary = checked(MODEL["vocabulary"], vocabulary)
        self.folder = provision.ready(model, precision=precision, revision=revision)
        self._texts_to_select = _texts_to_select(vocabulary)
        self._heads: dict[str | None, Path] = {}  # by target language
        self._engine: Engine | None = open_engine(self.folder, threads, verify)
        self.manifest: Manifest = self._engine.manifest
        if self.manifest.speech is not None:
            raise OptionError(f"{self.manifest.name} hears speech and translates no text; name a translation model")
        spec = self.manifest.tokenizer
        self._planner = Planner(self.manifest, load_tokenizer(self.folder, spec)) if spec else None
        self._submit: Submit = Engine.submit

    def close(self) -> None:
        """Let go of the model: its memory is given back with the last translator of it. Calls afterwards fail.

        Translations that other threads have begun come to their end.
        """
        self._engine = self._planner = None
        packing.trim()

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
        batch_type: BatchType = "examples",
        split: Split = "auto",
        wrapped: bool = False,
        raw: bool = False,
        strict: bool = True,
        loop_guard: bool = True,
        glossary: Glossary | Mapping[str, str] | None = None,
    ) -> Translation:
        """Translate one text. See `translate_batch`."""
        options = TranslationOptions(
            beam_size=beam_size,
            num_hypotheses=num_hypotheses,
            length_penalty=length_penalty,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            max_length=max_length,
            max_batch_size=max_batch_size,
            batch_type=batch_type,
            split=split,
            wrapped=wrapped,
            raw=raw,
            strict=strict,
            loop_guard=loop_guard,
            glossary=glossary,
        )
        return self._translated([checked(TEXT, text)], target, source, options, silent)[0]

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
        batch_type: BatchType = "examples",
        split: Split = "auto",
        wrapped: bool = False,
        raw: bool = False,
        strict: bool = True,
        loop_guard: bool = True,
        glossary: Glossary | Mapping[str, str] | None = None,
        progress: Progress = silent,
    ) -> list[Translation]:
        """Translate texts of any length, in the order given.

        target, source: language codes or names in any common spelling. Without a target: the model's only one.
        Without a source: the model's only one, else each text's language is detected; a text that is in the target
        language already comes back unchanged.
        max_length: most tokens per piece, the end included. max_batch_size: most rows decoded together, or with the
        batch_type `tokens` their source tokens, padding included.
        split: `auto` and `sentences` translate each sentence by itself, `none` the whole text. wrapped: a single
        line break inside a paragraph is a space. raw: the model gets the text as it is, once; else what must not
        change is kept, and what is missing is tried again (docs/translate.md). strict: a text in no language of the
        model is an error; else it comes back as it is, incomplete. loop_guard: stop a phrase from being repeated
        without end. glossary: terms, and what each is to become; what is not in a translation is in its `missing`.
        progress: told how many of how many pieces are done.

        The texts of a call are taken for parts of one document: short ones have the language of those around them.

        Raises `LanguageError`, `OptionError`.
        """
        if isinstance(texts, str):
            raise OptionError("translate_batch takes a list of texts, this is one; use translate")
        texts = checked(TEXTS, texts)
        options = TranslationOptions(
            beam_size=beam_size,
            num_hypotheses=num_hypotheses,
            length_penalty=length_penalty,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            max_length=max_length,
            max_batch_size=max_batch_size,
            batch_type=batch_type,
            split=split,
            wrapped=wrapped,
            raw=raw,
            strict=strict,
            loop_guard=loop_guard,
            glossary=glossary,
        )
        return self._translated(texts, target, source, options, progress)

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
        wrapped: bool = False,
        raw: bool = False,
        strict: bool = True,
        loop_guard: bool = True,
        glossary: Glossary | Mapping[str, str] | None = None,
    ) -> Iterator[str]:
        """Translate greedily; yields the text so far, each time that it has grown. The last one is the translation."""
        options = TranslationOptions(
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            max_length=max_length,
            split=split,
            wrapped=wrapped,
            raw=raw,
            strict=strict,
            loop_guard=loop_guard,
            glossary=glossary,
        )
        target, source = checked(TRANSLATION["target"], target), checked(TRANSLATION["source"], source)
        engine, planner = self._open, self._texts.for_a_call()
        self._check_lengths(options)
        (plan,) = planner.plans([checked(TEXT, text)], source, target, options.reading)
        return self._streamed(engine, planner, plan, options)

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
        batch_type: BatchType = "examples",
        loop_guard: bool = False,
    ) -> list[list[int]]:
        """Ids in, ids out: no splitting, no guard unless it is asked for, nothing hidden.

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
            loop_guard=loop_guard,
        )
        batching, shapes = Batching(max_batch_size, batch_type), self.manifest.shapes
        rows = _token_rows("ids", ids, shapes.source_vocab_size or shapes.vocab_size, shapes.max_source_length)
        prefixes = self._prefixes(prefix_ids, len(rows))
        room = shapes.max_target_length - max(map(len, prefixes), default=1)
        for name, count in (("min_new_tokens", min_new_tokens), ("max_new_tokens", max_new_tokens)):
            checked(new_tokens(GENERATION[name], room), count)
        requests = [TextRequest(row, prefix, search) for row, prefix in zip(rows, prefixes, strict=True)]
        found = self._searched(self._open, requests, batching, silent)
        return [list(hypotheses[0].tokens) for hypotheses in found]

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back, without the special tokens around a text (the manifest's prompts say which)."""
        return self._texts.tokenizer

    def check_languages(self, target: str | None, source: str | None) -> None:
        """Raise `LanguageError` where the model cannot translate between these; None stands as in `translate`."""
        self._texts.check_languages(source, target)

    def through(self, submit: Submit) -> "Translator":
        """The same translator, whose rows are decoded by whoever `submit` hands them to."""
        found = copy.copy(self)
        found._submit = submit
        return found

    def _prefixes(self, given: Sequence[int] | Sequence[Sequence[int]] | None, rows: int) -> Sequence[Sequence[int]]:
        """The first decoder tokens of each row."""
        if given is None:
            return [(self.manifest.tokens.decoder_start,)] * rows
        shapes = self.manifest.shapes
        given = checked(GENERATION["prefix_ids"], given)
        limits = shapes.vocab_size, shapes.max_target_length - 1
        if isinstance(given[0], numbers.Integral):
            return _token_rows("prefix_ids", [given], *limits) * rows
        if len(given) != rows:
            raise OptionError(f"{len(given)} prefixes for {rows} rows; give one for all, or one per row")
        return _token_rows("prefix_ids", given, *limits)

    def _check_lengths(self, options: TranslationOptions) -> None:
        """Raise `OptionError` for more tokens than the model has room for."""
        room = self.manifest.shapes.max_target_length - len(self.manifest.target_prompt)
        checked(new_tokens(TRANSLATION["max_length"], room), options.max_length)

    # ---- inside -------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> Engine:
        engine = self._engine
        if engine is None:
            raise OptionError("this translator is closed; make a new one")
        if engine.process != os.getpid():
            self._engine = engine = of_this_process(engine)
        return engine

    @property
    def _texts(self) -> Planner:
        planner = self._planner
        _ = self._open  # which says so where another thread has closed it
        if planner is None:
            raise OptionError(
                f"{self.manifest.name} has no tokeniser: generate() takes ids, or convert it with its tokeniser's files"
            )
        return planner

    def _translated(
        self,
        texts: Sequence[str],
        target: str | None,
        source: str | None,
        options: TranslationOptions,
        progress: Progress,
    ) -> list[Translation]:
        target, source = checked(TRANSLATION["target"], target), checked(TRANSLATION["source"], source)
        progress = checked(TRANSLATION["progress"], progress)
        engine, planner = self._open, self._texts.for_a_call()
        self._check_lengths(options)
        plans = planner.plans(texts, source, target, options.reading)
        search, batching = options.search, options.batching
        ways = planner.ways(options.reading)
        drafts = [[Draft(sentence, ways) for sentence in plan.sentences] for plan in plans]
        opened = [(plan, draft) for plan, of_text in zip(plans, drafts, strict=True) for draft in of_text]
        while opened:
            requests = [self._requests(engine, planner, plan, draft.texts, search) for plan, draft in opened]
            found = iter(self._searched(engine, list(chain.from_iterable(requests)), batching, progress))
            for (_, draft), of_draft in zip(opened, requests, strict=True):
                draft.receive([next(found) for _ in of_draft], planner.tokenizer.decode)
            opened = [(plan, draft) for plan, draft in opened if draft.attempt is not None]
            progress = silent  # of what is tried again there is little
        return [_joined(plan, [draft.best for draft in of_text]) for plan, of_text in zip(plans, drafts, strict=True)]

    def _streamed(self, engine: Engine, planner: Planner, plan: Plan, options: TranslationOptions) -> Iterator[str]:
        ways = planner.ways(options.reading)
        texts: list[str] = []
        shown = None
        for piece, sentence in zip(plan.pieces, plan.sentences, strict=True):
            draft = Draft(sentence, ways)
            begun = replace(plan, pieces=(*plan.pieces[: len(texts)], replace(piece, after="")))
            first = draft.attempt
            while draft.attempt is not None:
                for sentence_so_far in self._attempted(engine, planner, plan, draft, options.search):
                    text = begun.join([*texts, sentence_so_far])
                    if draft.attempt is first and text != (shown or ""):
                        yield text
                        shown = text
            texts.append(draft.best.texts[0])
        whole = plan.join(texts)
        if whole != shown:
            yield whole

    def _attempted(
        self, engine: Engine, planner: Planner, plan: Plan, draft: Draft, search: SearchOptions
    ) -> Iterator[str]:
        """A sentence's translation so far, as it grows; the draft receives it at the end."""
        decode = planner.tokenizer.decode
        found: list[list[Hypothesis]] = []
        for request in self._requests(engine, planner, plan, draft.texts, search):
            (pending,) = self._submit(engine, [request], Batching())
            done = [decode(hypotheses[0].tokens) for hypotheses in found]
            for tokens in pending.tokens():
                yield draft.begun([*done, decode(tokens)])
            found.append(pending.result())
        draft.receive(found, decode)

    def _requests(
        self, engine: Engine, planner: Planner, plan: Plan, texts: Sequence[str], search: SearchOptions
    ) -> list[TextRequest]:
        """One for each text that the model gets."""
        head = self._head_for(engine, plan.target) if texts else None
        prefix = planner.prefix_ids(plan)
        return [TextRequest(planner.source_ids(plan, text), prefix, search, head) for text in texts]

    def _searched(
        self, engine: Engine, requests: Sequence[TextRequest], batching: Batching, progress: Progress
    ) -> list[list[Hypothesis]]:
        """The hypotheses of each request."""
        found = complete(self._submit(engine, requests, batching), progress)
        if len(requests) > 1:  # of one text there is little, and the next one wants it
            packing.trim()
        return found

    def _head_for(self, engine: Engine, target: Language | None) -> Path | None:
        """The folder of the head for a target language, where a vocabulary is selected."""
        if self._texts_to_select is None:
            return None
        key = target.code if target else None
        with engine.selecting:
            if key not in self._heads or not self._heads[key].is_dir():  # the cache may have been cleared meanwhile
                self._heads[key] = selected_head(
                    self.folder, self.manifest, target, self._texts_to_select, verify=engine.verify
                )
            return self._heads[key]


def _joined(plan: Plan, outcomes: Sequence[Outcome]) -> Translation:
    """A text's translation, from those of its sentences."""
    if not outcomes:
        problems = (plan.problem,) if plan.problem else ()
        return Translation(plan.join([]), None, plan.source_code, plan.target_code, (), not problems, problems)
    missing = tuple(text for outcome in outcomes for text in outcome.missing)
    best, *others = [
        Translation(
            plan.join([outcome.texts[rank] for outcome in outcomes]),
            sum(outcome.scores[rank] for outcome in outcomes) / len(outcomes),
            plan.source_code,
            plan.target_code,
        )
        for rank in range(min(len(outcome.texts) for outcome in outcomes))
    ]
    return replace(best, alternatives=tuple(others), complete=not missing, missing=missing)


def _texts_to_select(vocabulary: str | Path | None) -> tuple[Path, ...] | None:
    """Texts to select by, none for the script alone; None where nothing is selected."""
    if vocabulary is None:
        return None
    if vocabulary == "auto":
        return ()
    if not Path(vocabulary).is_file():
        raise bad_value("vocabulary", str(vocabulary), "auto or a file of text")
    return (Path(vocabulary),)


def _token_rows(name: str, rows: object, vocab_size: int, longest: int) -> list[tuple[int, ...]]:
    """Rows of token ids that a model knows, none too long for it; raises `OptionError` naming the place."""
    kind = Many(Integer(0, vocab_size - 1, why="the model's vocabulary"), "token ids", 1)
    found = checked(Option(name, Many(kind, "rows of token ids", most=2**31), REQUIRED, ""), rows)
    for place, row in enumerate(found):
        if len(row) > longest:
            raise too_long(f"{name}[{place}]", len(row), longest, "the model's window")
    return list(found)
