"""Sentences on their way: what of them is to be searched next, and the best translation so far."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from quartet.runtime.search import Hypothesis
from quartet.translation.attempts import Attempt, Faults, Sentence, Ways, as_typed, attempts, faults_of, reading, so_far

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Outcome:
    """A translated sentence: its texts, best first, with their scores, and what is wrong with the first."""

    texts: tuple[str, ...]
    scores: tuple[float, ...]
    faults: Faults
    missing: tuple[str, ...] = ()  # of the source, in the first text


class Draft:
    """A sentence, the attempt that is open, and the best outcome of those before."""

    def __init__(self, sentence: Sentence, ways: Ways | None) -> None:
        """ways: None where the sentence is sent once, as it is."""
        self.sentence = sentence
        self._checked = ways is not None
        self._attempts = attempts(sentence, ways) if ways else _one(as_typed(sentence.text))
        self.attempt: Attempt | None = next(self._attempts)
        self.best = Outcome((), (), Faults())

    @property
    def texts(self) -> list[str]:
        """What the model is to translate next; nothing where the sentence is done."""
        return [part.sent for part in self.attempt or () if part.sent is not None]

    def begun(self, translations: Sequence[str]) -> str:
        """The sentence so far, from translations of the first of `texts`, the last of them unfinished."""
        return so_far(self.attempt or (), translations)

    def receive(self, found: Sequence[Sequence[Hypothesis]], decode: Decode) -> None:
        """Take the hypotheses of each of `texts`, best first; the next attempt is open afterwards, if there is one."""
        outcome = self._outcome(found, decode)
        if not self.best.texts or (outcome.texts and outcome.faults.weight < self.best.faults.weight):
            self.best = outcome
        try:
            self.attempt = self._attempts.send(outcome.faults) if outcome.faults else None
        except StopIteration:
            self.attempt = None

    def _outcome(self, found: Sequence[Sequence[Hypothesis]], decode: Decode) -> Outcome:
        ranked: list[tuple[Faults, str, float]] = []
        amiss = Faults()
        for rank in range(min((len(hypotheses) for hypotheses in found), default=1)):
            chosen = [hypotheses[rank] for hypotheses in found]
            translations = [decode(hypothesis.tokens) for hypothesis in chosen]
            text = reading(self.sentence, self.attempt or (), translations) if self._checked else translations[0]
            unfinished = any(hypothesis.ended != "eos" for hypothesis in chosen)
            faults = faults_of(self.sentence, text, unfinished) if self._checked else Faults(unfinished=unfinished)
            amiss = amiss if rank else faults
            if text is not None:
                text = text if text.strip() or not self._checked else self.sentence.text  # better than nothing
                ranked.append((faults, text, sum(h.score for h in chosen) / len(chosen) if chosen else 0.0))
        ranked.sort(key=lambda one: one[0].weight)
        best = ranked[0][0] if ranked else amiss
        texts, scores = tuple(text for _, text, _ in ranked), tuple(score for *_, score in ranked)
        return Outcome(texts, scores, best, best.named(self.sentence))


def _one(attempt: Attempt) -> Generator[Attempt, Faults, None]:
    yield attempt
