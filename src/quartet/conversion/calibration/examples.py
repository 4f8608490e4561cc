"""Sentences with their translations, as ids: from the file beside this one, from the user's text, or at random.

The bundled sentences say the same in each of their languages, so that nothing has to be translated first. Of other
texts, and into other languages, the model that was just written makes the translations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import permutations
from pathlib import Path
from typing import Literal

import numpy as np

from quartet.conversion.calibration.walk import Batch
from quartet.errors import LanguageError, OptionError
from quartet.runtime.decode import padded
from quartet.spec import Manifest
from quartet.text.detect import detect
from quartet.text.languages import find
from quartet.text.tokenizer import load_tokenizer
from quartet.translation.plan import Plan, Planner
from quartet.translation.translator import Translator

BATCH_SIZE = 16
DIRECTIONS = 4  # at most, for each sentence of a model of many languages
RANDOM_ROWS, RANDOM_LENGTH = 32, 24
LONGEST = 128  # tokens of a translation
Ids = list[int]


@dataclass(frozen=True)
class Examples:
    """Pairs of source and target ids in batches, and where they come from."""

    origin: Literal["text", "random ids"]
    batches: list[Batch]

    @property
    def sentences(self) -> int:
        """How many pairs."""
        return sum(len(batch.source_ids) for batch in self.batches)


@dataclass(frozen=True)
class _Pair:
    plan: Plan
    source: Ids
    prefix: Ids
    target: Ids | None  # None: still to be translated


def examples(folder: Path, manifest: Manifest, lines: Sequence[str] | None = None) -> Examples:
    """Pairs for the quartet in `folder`: of `lines`, else of the bundled sentences.

    At random without a tokeniser, and where no bundled sentence is in a language that the model knows.
    """
    if manifest.tokenizer is None:
        return Examples("random ids", _batches(_random(manifest), manifest.tokens.pad))
    planner = Planner(manifest, load_tokenizer(folder, manifest.tokenizer))
    pairs = [*(_bundled(folder, planner) if lines is None else _of_lines(planner, lines))]
    if not pairs and lines is None:
        return Examples("random ids", _batches(_random(manifest), manifest.tokens.pad))
    if not pairs:
        raise OptionError("no line of the calibration text is in a language that the model translates from")
    return Examples("text", _batches(_translated(folder, pairs), manifest.tokens.pad))


def bundled_sentences() -> dict[str, list[str]]:
    """The sentences that come with quartet, by language; those of the same place say the same."""
    text = resources.files(__package__).joinpath("sentences.tsv").read_text(encoding="utf-8")
    languages, *rows = (line.split("\t") for line in text.splitlines())
    return {language: list(column) for language, column in zip(languages, zip(*rows, strict=True), strict=True)}


def _bundled(folder: Path, planner: Planner) -> Iterator[_Pair]:
    """Each sentence in a few directions; with translations where the model's target language is among the bundled."""
    sentences = bundled_sentences()
    count = len(next(iter(sentences.values())))
    spec = planner.manifest.tokenizer
    assert spec is not None
    model, vocab = spec.target_model or spec.source_model, spec.target_vocab or spec.vocab
    encode = load_tokenizer(folder, replace(spec, source_model=model, vocab=vocab)).encode
    pairs = [(s, t) for s, t in permutations(sentences, 2) if _plan(planner, "", s, t)]
    if not pairs:
        known = [language for language in sentences if _plan(planner, "", language, None)]
        yield from _of_lines(planner, [line for language in known or sentences for line in sentences[language]])
    for i in range(count if pairs else 0):
        for k in range(min(DIRECTIONS, len(pairs))):
            source, target = pairs[(DIRECTIONS * i + k) % len(pairs)]
            pair = _pair(planner, sentences[source][i], source, target)
            if pair is not None:
                yield replace(pair, target=encode(sentences[target][i]))


def _of_lines(planner: Planner, lines: Sequence[str]) -> Iterator[_Pair]:
    """Each line in its own language, into the model's only other one, or into a few in turn."""
    sources, targets = (
        [language.code for language in planner.manifest.languages if getattr(language, side)]
        for side in ("source", "target")
    )
    known = [code for language in bundled_sentences() if (code := find(language, targets))]
    wanted = known if len(known) > 1 else targets
    for i, line in enumerate(lines):
        source = detect(line, sources) if len(sources) > 1 else None
        others = [code for code in wanted if code != source] if len(targets) > 1 else [None]
        pair = _pair(planner, line, source, others[i % len(others)])
        if pair is not None:
            yield pair


def _pair(planner: Planner, text: str, source: str | None, target: str | None) -> _Pair | None:
    """A sentence ready to be translated; None where the model cannot, or the text is in the target language."""
    plan = _plan(planner, text, source, target)
    if plan is None or len(plan.pieces) != 1 or (plan.source is not None and plan.source == plan.target):
        return None
    return _Pair(plan, plan.source_ids[0], list(plan.prefix_ids), None)


def _plan(planner: Planner, text: str, source: str | None, target: str | None) -> Plan | None:
    try:
        return planner.plan(text, source, target, "none")
    except (LanguageError, OptionError):
        return None


def _translated(folder: Path, pairs: list[_Pair]) -> list[tuple[Ids, Ids]]:
    """Source ids, and prefix with target ids; translations that are missing are made by the model in `folder`."""
    missing = [pair for pair in pairs if pair.target is None]
    made: Iterator[Ids] = iter(())
    if missing:
        with Translator(folder) as model:
            sources, prefixes = [pair.source for pair in missing], [pair.prefix for pair in missing]
            made = iter(model.generate(sources, prefixes, max_new_tokens=LONGEST))
    return [(p.source, p.prefix + (next(made) if p.target is None else p.target)) for p in pairs]


def _random(manifest: Manifest) -> list[tuple[Ids, Ids]]:
    """Ids of no meaning between the special tokens of real ones; always the same."""
    random = np.random.default_rng(0)
    tokens, shapes = manifest.tokens, manifest.shapes
    window = min(shapes.max_source_length, shapes.max_target_length)
    languages = [language.token_id for language in manifest.languages if language.token_id is not None]

    def words(vocabulary: int) -> Ids:
        length = int(random.integers(4, max(min(RANDOM_LENGTH, window - 4), 5)))
        return [int(i) for i in random.integers(4, max(vocabulary, 5), length)]

    def framed(pattern: tuple[str, ...], text: Ids) -> Ids:
        one = [languages[int(random.integers(len(languages)))]] if languages else []
        known = {
            "source": one,
            "target": one,
            "text": text,
            "eos": [tokens.eos],
            "decoder_start": [tokens.decoder_start],
            "space": [] if tokens.space is None else [tokens.space],
        }
        return [token for word in pattern for token in known[word]]

    sizes = shapes.source_vocab_size or shapes.vocab_size, shapes.vocab_size
    return [
        (framed(manifest.source_prompt, words(sizes[0])), framed(manifest.target_prompt, []) + words(sizes[1]))
        for _ in range(RANDOM_ROWS)
    ]


def _batches(pairs: Sequence[tuple[Ids, Ids]], pad: int) -> list[Batch]:
    """Pairs of similar length together."""
    ordered = sorted(pairs, key=lambda pair: (len(pair[0]), len(pair[1])))
    groups = [ordered[start : start + BATCH_SIZE] for start in range(0, len(ordered), BATCH_SIZE)]
    return [Batch(*padded([s for s, _ in group], pad), *padded([t for _, t in group], pad)) for group in groups]
