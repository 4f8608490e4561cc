"""Lines of several short sentences, and which of the sentences are in a line's translation.

What a sentence should have become is known in other words only: the engine's own translation of the sentence alone,
and translations by people. So the line's translation is cut at words into as many stretches as there are sentences,
in their order and some of them empty, such that as many letters as possible find their like: character trigrams that
a stretch shares with one of the wordings of its sentence. No word counts for two sentences. A sentence is lost where
its stretch has less than `ENOUGH` of the trigrams of each of its wordings. But where a translation has as many
sentences as its line, one in words that nobody foresaw (of the right length, and not another's) stands for the sentence
in its place: it may be translated badly, but is not lost.

`rates` says how often that is wrong, on lines of which the truth is known.
"""

import gzip
import hashlib
import random
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

LANGUAGES = ("en", "fr", "de", "es")
HELD_OUT = range(6)  # MD5 of the English sentence modulo 1000, as in training/demo.py
SHORT = 40  # letters of a sentence, at most
ENOUGH = 0.3  # of the trigrams of a wording: of 700 sentences that were taken out 0 to 3 are found, see `rates`
LIKE = (0.4, 2.5)  # lengths, divided by a wording's, that a sentence in other words may have
OTHERS = 0.5  # of its trigrams, at most, may be in a wording of another sentence
_ENDS = re.compile(r"[.!?…]+(?=[\"'”’»)\]]*(?:\s|$))")
_ONE_SENTENCE = re.compile(r"[^.!?…]+[.!?]")

Groups = dict[str, dict[str, list[str]]]  # sentences that mean the same: by the English one, then by language
Translate = Callable[[list[str]], list[str]]  # what an engine is here: texts to their translations


@dataclass(frozen=True)
class Sentence:
    """A sentence and what people made of it."""

    text: str
    references: tuple[str, ...]


Line = tuple[Sentence, ...]


@dataclass(frozen=True)
class Loss:
    """What is missing from the translations of some lines."""

    sentences: int
    lost: int
    lines: int
    lines_with_loss: int
    marks: int  # ends of sentences that a line's source has more than its translation
    examples: tuple[tuple[str, str, str], ...]  # line, translation, the sentence that is lost

    @property
    def rate(self) -> float:
        """Lost sentences among all."""
        return self.lost / self.sentences


# ---- lines -----------------------------------------------------------------------------------------------------------


def read_groups(pairs: Path) -> Groups:
    """The held-out sentences of `en-fr.tsv.gz` and the others."""
    groups: Groups = defaultdict(lambda: defaultdict(list))
    for language in LANGUAGES[1:]:
        with gzip.open(pairs / f"en-{language}.tsv.gz", "rt", encoding="utf-8") as file:
            for english, other in (line.rstrip("\n").split("\t") for line in file):
                if int(hashlib.md5(english.encode()).hexdigest(), 16) % 1000 in HELD_OUT:
                    groups[english]["en"] = [english]
                    groups[english][language].append(other)
    return groups


def sentences_of(groups: Groups, source: str, target: str) -> list[Sentence]:
    """Those that are short and single on both sides; German and French meet by way of their English."""
    found: dict[str, list[str]] = defaultdict(list)
    for english in sorted(groups):
        for text in filter(_is_one_short_sentence, groups[english][source]):
            found[text] += filter(_is_one_short_sentence, groups[english][target])
    return [Sentence(text, tuple(references)) for text, references in found.items() if references]


def _is_one_short_sentence(text: str) -> bool:
    return len(text) <= SHORT and _ONE_SENTENCE.fullmatch(text) is not None


def make_lines(sentences: Sequence[Sentence], count: int, seed: int = 0) -> list[Line]:
    """So many lines of 2 to 8 different sentences."""
    rng = random.Random(seed)
    return [tuple(rng.sample(sentences, rng.randint(2, 8))) for _ in range(count)]


def text_of(line: Line) -> str:
    return " ".join(sentence.text for sentence in line)


# ---- what is lost ----------------------------------------------------------------------------------------------------


def alone_of(lines: Sequence[Line], translate: Translate) -> dict[str, str]:
    """The translation of each sentence by itself."""
    texts = sorted({sentence.text for line in lines for sentence in line})
    return dict(zip(texts, translate(texts), strict=True))


def loss(lines: Sequence[Line], translations: Sequence[str], alone: dict[str, str]) -> Loss:
    """What the translations of lines lack; `alone`: of each sentence the translation by itself."""
    lost, marks, examples, with_loss = 0, 0, [], 0
    for line, translation in zip(lines, translations, strict=True):
        wordings = [(alone[sentence.text], *sentence.references) for sentence in line]
        missing = [sentence for sentence, kept in zip(line, kept_of(wordings, translation), strict=True) if not kept]
        lost += len(missing)
        with_loss += bool(missing)
        marks += max(0, count_ends(text_of(line)) - count_ends(translation))
        examples += [(text_of(line), translation, sentence.text) for sentence in missing]
    return Loss(sum(map(len, lines)), lost, len(lines), with_loss, marks, tuple(examples))


def count_ends(text: str) -> int:
    """Full stops and the like at the ends of words; several in a row are one."""
    return len(_ENDS.findall(text))


def kept_of(wordings: Sequence[Sequence[str]], translation: str, enough: float = ENOUGH) -> list[bool]:
    """For each sentence whether it is in the translation; `wordings`: some of each."""
    kept = [recall >= enough for recall in recalls_of(wordings, translation)]
    pieces = [piece for piece in _ENDS.split(translation) if _words(piece)]
    if len(pieces) != len(wordings):
        return kept
    return [
        one or _stands_for(place, piece, wordings) for place, (one, piece) in enumerate(zip(kept, pieces, strict=True))
    ]


def _stands_for(place: int, piece: str, wordings: Sequence[Sequence[str]]) -> bool:
    """Whether a piece can be the sentence in other words: of about its length, and of no other sentence's words."""
    like_it = any(LIKE[0] < len(piece) / len(text) < LIKE[1] for text in wordings[place] if text)
    others = [text for i, texts in enumerate(wordings) if i != place for text in texts]
    return like_it and not any(_recall(piece, _words(text)) > OTHERS for text in others)


def recalls_of(wordings: Sequence[Sequence[str]], translation: str) -> list[float]:
    """How much of each sentence is in its stretch of the translation, 0 to 1; `wordings`: some of each sentence."""
    words = _words(translation)
    cuts = _best_cuts([[_trigrams(_words(text)) for text in texts] for texts in wordings], words)
    stretches = [words[start:end] for start, end in pairwise(cuts)]
    return [
        max((_recall(text, stretch) for text in texts if _words(text)), default=0.0)
        for texts, stretch in zip(wordings, stretches, strict=True)
    ]


def _recall(text: str, stretch: list[str]) -> float:
    wanted, there = Counter(_trigrams(_words(text))), Counter(_trigrams(stretch))
    return (wanted & there).total() / wanted.total()


def _best_cuts(wordings: Sequence[Sequence[list[str]]], words: list[str]) -> list[int]:
    """Places among the words where stretches begin, and the end of the last: the most trigrams are shared."""
    per_word = [_trigrams([word]) for word in words]
    best = np.zeros(len(words) + 1)  # trigrams shared before a place
    best[1:] = -np.inf  # all begin at the first word
    origins = []
    for texts in wordings:
        total = best[:, None] + np.max([_shared(set(text), len(text), per_word) for text in texts], axis=0)
        origins.append(total.argmax(axis=0))
        best = total.max(axis=0)
    cuts = [len(words)]
    for origin in reversed(origins):
        cuts.append(int(origin[cuts[-1]]))
    return cuts[::-1]


def _shared(wanted: set[str], most: int, per_word: list[list[str]]) -> np.ndarray:
    """[from, to] of all stretches: how many trigrams are wanted ones, at most those that a wording has."""
    sums = np.cumsum([0] + [sum(trigram in wanted for trigram in trigrams) for trigrams in per_word])
    shared = np.minimum(sums[None, :] - sums[:, None], most).astype(float)
    shared[np.tril_indices(len(sums), -1)] = -np.inf  # a stretch does not go backwards
    return shared


def _words(text: str) -> list[str]:
    """Letters and digits, without case and accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return re.findall(r"\w+", plain)


def _trigrams(words: list[str]) -> list[str]:
    """Of each word with a space before and after."""
    return [padded[i : i + 3] for word in words for padded in [f" {word} "] for i in range(len(padded) - 2)]


# ---- how often that is wrong -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rates:
    """What the measure says of lines of which the truth is known."""

    sentences: int  # in lines where all are kept
    false_alarms: int  # said to be lost all the same
    deleted: int  # sentences taken out of lines
    unseen: int  # not said to be lost


def rates(lines: Sequence[Line], wording: dict[str, str], alone: dict[str, str], enough: float = ENOUGH) -> Rates:
    """Join the sentences' translations by `wording`: all of them, then without one or two of each line.

    The measure is told of `alone` and the references, but not of a reference that is the wording.
    """
    rng = random.Random(1)
    sentences = false_alarms = deleted = unseen = 0
    for line in lines:
        told = [_told(sentence, wording, alone) for sentence in line]
        sentences += len(line)
        false_alarms += kept_of(told, _joined(line, wording), enough).count(False)
        out = set(rng.sample(range(len(line)), rng.randint(1, min(2, len(line) - 1))))
        rest = [sentence for i, sentence in enumerate(line) if i not in out]
        kept = kept_of(told, _joined(rest, wording), enough)
        deleted += len(out)
        unseen += sum(kept[i] for i in out)
    return Rates(sentences, false_alarms, deleted, unseen)


def _told(sentence: Sentence, wording: dict[str, str], alone: dict[str, str]) -> tuple[str, ...]:
    return (alone[sentence.text], *(text for text in sentence.references if text != wording[sentence.text]))


def _joined(line: Sequence[Sentence], wording: dict[str, str]) -> str:
    return " ".join(wording[sentence.text] for sentence in line)
