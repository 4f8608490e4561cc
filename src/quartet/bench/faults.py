"""What is wrong with a translation beyond its score: it repeats itself, is empty, is in another script or language."""

from collections.abc import Sequence
from dataclasses import dataclass

from quartet.errors import OptionError
from quartet.runtime.rules import longest_repeat
from quartet.text.detect import language_guesses
from quartet.text.languages import find
from quartet.text.scripts import is_written_in, script_words

REPEATED_WORDS, REPEATED_LETTERS = 3, 6  # so many times in a row, and more often than in the reference
CERTAIN = 0.6  # probability from which on a detected language counts
LETTERS = 20  # of shorter texts the language is a guess


@dataclass(frozen=True)
class Faults:
    """Places of the sentences that have each fault. One sentence may have several."""

    loops: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()
    script: tuple[int, ...] = ()
    language: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many sentences have any."""
        return len({*self.loops, *self.empty, *self.script, *self.language})


def find_faults(hypotheses: Sequence[str], references: Sequence[str], target: str) -> Faults:
    """Faults of translations [n] into the language `target`; a reference that has the same one excuses it."""
    pairs = list(enumerate(zip(hypotheses, references, strict=True)))
    try:
        words = script_words([target], has_text=False)
    except OptionError:  # no script is known for the language
        words = frozenset()
    return Faults(
        loops=tuple(i for i, (found, reference) in pairs if _repeats(found, reference)),
        empty=tuple(i for i, (found, _) in pairs if not found.strip()),
        script=tuple(i for i, (found, ref) in pairs if words and _foreign(found, words) and not _foreign(ref, words)),
        language=tuple(i for i, (found, ref) in pairs if _other(found, target) and not _other(ref, target)),
    )


def _repeats(text: str, reference: str) -> bool:
    words = _longest(text.split())
    letters = _longest([c for c in text if c.isalpha()])
    return (words >= REPEATED_WORDS and words > _longest(reference.split())) or (
        letters >= REPEATED_LETTERS and letters > _longest([c for c in reference if c.isalpha()])
    )


def _longest(units: Sequence[str]) -> int:
    ids = {unit: i for i, unit in enumerate(dict.fromkeys(units))}
    return longest_repeat([ids[unit] for unit in units])


def _foreign(text: str, words: frozenset[str]) -> bool:
    """Whether most of its letters are of other scripts; names and quotations may be."""
    letters = [c for c in text if c.isalpha()]
    return sum(not is_written_in(c, words) for c in letters) * 2 > len(letters)


def _other(text: str, target: str) -> bool:
    """Whether it is surely in a language other than the target."""
    if sum(map(str.isalpha, text)) < LETTERS:
        return False
    label, probability = next(iter(language_guesses(text)), (target, 0.0))
    return probability > CERTAIN and find(label, [target]) is None
