"""Sentences with their translations, as ids: from the file beside this one, from the user's text, or at random.

The bundled sentences say the same in each of their languages, so that nothing has to be translated first. Of other
texts, and into other languages, the model that was just written makes the translations.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import permutations
from pathlib import Path
from typing import Literal

import numpy as np

from quartet.conversion.calibration.walk import Batch
from quartet.errors import LanguageError, OptionError
from quartet.runtime.batching import Batching
from quartet.runtime.decode import padded
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions
from quartet.runtime.requests import TextRequest, complete
from quartet.spec import Language, Manifest
from quartet.text.detect import detect
from quartet.text.languages import find, is_language
from quartet.text.prompts import prompt_ids
from quartet.text.tokenizer import Tokenizer, load_tokenizer

BATCH_SIZE = 16
GENERATED_TOGETHER = 32
DIRECTIONS = 4  # at most, for each sentence of a model of many languages
RANDOM_ROWS, RANDOM_LENGTH = 32, 24
LONGEST = 128  # tokens of a translation
HELD_OUT = 40  # sentences at most that are kept from calibration, for the search of where bits go
HELD_OUT_OF = 4  # one of so many lines of a user's text, where it is long enough
CHOICE_OF = 5  # one of so many of them is to choose by, the others are to compare on
Ids = list[int]
Origin = Literal["text", "random ids"]


@dataclass(frozen=True)
class Pair:
    """A sentence as the encoder and the decoder get it."""

    source: Ids
    prefix: Ids  # what the decoder begins with
    target: Ids | None  # what follows it, without the end; None: still to be translated


@dataclass(frozen=True)
class Sentences:
    """Pairs, and where they come from."""

    origin: Origin
    pairs: tuple[Pair, ...]

    @property
    def are_translated(self) -> bool:
        """Whether no translation is missing."""
        return all(pair.target is not None for pair in self.pairs)


@dataclass(frozen=True)
class Examples:
    """Pairs of source and target ids in batches, and where they come from."""

    origin: Origin
    batches: list[Batch]

    @property
    def sentences(self) -> int:
        """How many pairs."""
        return sum(len(batch.source_ids) for batch in self.batches)


def sentences_for(folder: Path, manifest: Manifest, lines: Sequence[str] | None = None) -> Sentences:
    """Pairs for a model: of `lines`, else of the bundled sentences. `folder` has the tokeniser's files.

    At random without a tokeniser, and where no bundled sentence is in a language that the model knows. Raises
    `OptionError` where none of the `lines` is.
    """
    if manifest.tokenizer is None:
        return Sentences("random ids", tuple(_random(manifest)))
    texts = _Texts(manifest, load_tokenizer(folder, manifest.tokenizer))
    pairs = tuple(_bundled(folder, texts) if lines is None else _of_lines(texts, lines))
    if not pairs and lines is None:
        return Sentences("random ids", tuple(_random(manifest)))
    if not pairs:
        raise OptionError("no line of the calibration text is in a language that the model translates from")
    return Sentences("text", pairs)


def translated(folder: Path, sentences: Sentences, pad: int) -> Examples:
    """The sentences in batches; translations that are missing are made by the quartet in `folder`."""
    missing = [pair for pair in sentences.pairs if pair.target is None]
    made = iter(generated(folder, [p.source for p in missing], [p.prefix for p in missing]) if missing else ())
    pairs = [(p.source, p.prefix + (next(made) if p.target is None else p.target)) for p in sentences.pairs]
    return Examples(sentences.origin, _batches(pairs, pad))


def generated(
    folder: Path, sources: Sequence[Ids], prefixes: Sequence[Ids], max_new_tokens: int = LONGEST
) -> list[Ids]:
    """What the quartet in `folder` makes of each source behind its prefix, without prefix and end."""
    engine = open_engine(folder)
    room = engine.manifest.shapes.max_target_length - max(map(len, prefixes))
    options = SearchOptions(max_new_tokens=min(max_new_tokens, room))
    requests = [TextRequest(source, prefix, options) for source, prefix in zip(sources, prefixes, strict=True)]
    found = complete(engine.submit(requests, Batching(GENERATED_TOGETHER)))
    return [list(best.tokens) for best, *_ in found]


def without_held_out(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Lines of a user's text to calibrate with, and lines that are kept from that; a short text is not divided."""
    held_out = set(range(0, len(lines), HELD_OUT_OF)[:HELD_OUT]) if len(lines) >= HELD_OUT_OF * HELD_OUT else set()
    return [line for i, line in enumerate(lines) if i not in held_out], [lines[i] for i in sorted(held_out)]


def held_out(folder: Path, manifest: Manifest, lines: Sequence[str] | None) -> tuple[Sentences, Sentences]:
    """Pairs to choose by, and pairs to compare on, which are still to be translated; none are in the calibration.

    Of a user's long text, or of bundled sentences. Both are empty for a model that reads none of these languages.
    """
    assert manifest.tokenizer is not None
    texts = _Texts(manifest, load_tokenizer(folder, manifest.tokenizer))
    kept = without_held_out(lines or ())[1]
    if kept:
        pairs = list(_of_lines(texts, kept))
    else:
        pairs = list(_bundled(folder, texts, "held_out.tsv", directions_of_each=1))
    choice, check = pairs[::CHOICE_OF], [replace(p, target=None) for i, p in enumerate(pairs) if i % CHOICE_OF]
    return Sentences("text", tuple(choice)), Sentences("text", tuple(check))


def bundled_sentences(file: str = "sentences.tsv") -> dict[str, list[str]]:
    """The sentences that come with quartet, by language; those of the same place say the same."""
    text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
    languages, *rows = (line.split("\t") for line in text.splitlines())
    return {language: list(column) for language, column in zip(languages, zip(*rows, strict=True), strict=True)}


@dataclass(frozen=True)
class _Texts:
    """What a model can read, and what it makes of a text."""

    manifest: Manifest
    tokenizer: Tokenizer

    @property
    def sources(self) -> list[Language]:
        """The languages that it translates from."""
        return [language for language in self.manifest.languages if language.source]

    @property
    def targets(self) -> list[Language]:
        """The languages that it translates to."""
        return [language for language in self.manifest.languages if language.target]

    def pair(self, text: str, source: Language | None, target: Language | None) -> Pair | None:
        """A sentence still to be translated; None where it is in the target language, empty, or too long."""
        window = self.manifest.shapes.max_source_length - (len(self.manifest.source_prompt) - 1)
        ids = self.tokenizer.encode(text.strip())
        if not 0 < len(ids) <= window or (source is not None and source == target):
            return None
        tokens = self.manifest.tokens
        return Pair(
            prompt_ids(self.manifest.source_prompt, tokens, source, target, ids),
            prompt_ids(self.manifest.target_prompt, tokens, source, target),
            None,
        )


def _bundled(
    folder: Path, texts: _Texts, file: str = "sentences.tsv", directions_of_each: int = DIRECTIONS
) -> Iterator[Pair]:
    """Each sentence in a few directions; with translations where the model's target language is among the bundled."""
    sentences = bundled_sentences(file)
    sources = _sources(sentences, texts)
    targets = _spoken(sentences, texts.targets)
    directions = [
        (s, t) for s, t in permutations(sentences, 2) if s in sources and t in targets and sources[s] != targets[t]
    ]
    if not directions:
        yield from _of_lines(texts, [line for name in sources or sentences for line in sentences[name]])
        return
    encode = _target_tokenizer(folder, texts.manifest).encode
    for i in range(len(next(iter(sentences.values())))):
        for k in range(min(directions_of_each, len(directions))):
            s, t = directions[(directions_of_each * i + k) % len(directions)]
            pair = texts.pair(sentences[s][i], sources[s], targets[t])
            if pair is not None:
                yield replace(pair, target=encode(sentences[t][i]))


def _sources(names: Mapping[str, object], texts: _Texts) -> dict[str, Language]:
    """Those of the bundled languages that the model translates from, as it spells them."""
    only = texts.sources[0] if len(texts.sources) == 1 else None
    if only and not is_language(only.code):  # a group such as `roa`: each of the bundled languages may be in it
        return dict.fromkeys(names, only)
    return _spoken(names, texts.sources)


def _target_tokenizer(folder: Path, manifest: Manifest) -> Tokenizer:
    """Text of the target side to ids."""
    spec = manifest.tokenizer
    assert spec is not None
    model, vocab = spec.target_model or spec.source_model, spec.target_vocab or spec.vocab
    return load_tokenizer(folder, replace(spec, source_model=model, vocab=vocab))


def _spoken(names: Mapping[str, object], languages: Sequence[Language]) -> dict[str, Language]:
    """Those of the bundled languages that are among the model's, as the model spells them."""
    by_code = {language.code: language for language in languages}
    return {name: by_code[code] for name in names if (code := find(name, list(by_code)))}


def _of_lines(texts: _Texts, lines: Sequence[str]) -> Iterator[Pair]:
    """Each line in its own language, into the model's only other one, or into a few in turn."""
    known = list(_spoken(bundled_sentences(), texts.targets).values())
    wanted = known if len(known) > 1 else texts.targets
    for i, line in enumerate(lines):
        source = _language_of(line, texts.sources)
        if source is None and texts.sources:
            continue
        others = [target for target in wanted if len(wanted) == 1 or target != source]
        pair = texts.pair(line, source, others[i % len(others)] if others else None)
        if pair is not None:
            yield pair


def _language_of(line: str, languages: Sequence[Language]) -> Language | None:
    """The language that a line is in; None where it is in none of these."""
    if len(languages) < 2:
        return next(iter(languages), None)
    try:
        code = detect(line, [language.code for language in languages])
    except LanguageError:
        return None
    return next(language for language in languages if language.code == code)


def _random(manifest: Manifest) -> Iterator[Pair]:
    """Ids of no meaning between the special tokens of real ones; always the same."""
    random = np.random.default_rng(0)
    shapes = manifest.shapes
    window = min(shapes.max_source_length, shapes.max_target_length)
    languages = [language for language in manifest.languages if language.token_id is not None]

    def text(vocabulary: int) -> Ids:
        length = int(random.integers(4, max(min(RANDOM_LENGTH, window - 4), 5)))
        return [int(i) for i in random.integers(4, max(vocabulary, 5), length)]

    def framed(pattern: tuple[str, ...], ids: Ids) -> Ids:
        language = languages[int(random.integers(len(languages)))] if languages else None
        return prompt_ids(pattern, manifest.tokens, language, language, ids)

    for _ in range(RANDOM_ROWS):
        source = framed(manifest.source_prompt, text(shapes.source_vocab_size or shapes.vocab_size))
        prefix = framed(manifest.target_prompt, [])
        yield Pair(source, prefix, text(shapes.vocab_size))


def _batches(pairs: Sequence[tuple[Ids, Ids]], pad: int) -> list[Batch]:
    """Pairs of similar length together."""
    ordered = sorted(pairs, key=lambda pair: (len(pair[0]), len(pair[1])))
    groups = [ordered[start : start + BATCH_SIZE] for start in range(0, len(ordered), BATCH_SIZE)]
    return [Batch(*padded([s for s, _ in group], pad), *padded([t for _, t in group], pad)) for group in groups]
