"""Comparing our tokens with the reference's: equal, or different where the reference itself was nearly undecided."""

from dataclasses import dataclass

NEAR_TIE = 1e-3  # a margin below this between the reference's two best tokens is no decision


@dataclass(frozen=True)
class Difference:
    """Where a line first differs, and the reference's own margin there (None: it was clear, above 0.05)."""

    line: int
    step: int
    margin: float | None

    @property
    def excused(self) -> bool:
        return self.margin is not None and self.margin < NEAR_TIE


def differences(expected: list[dict], found: list[list[int]], eos: int) -> list[Difference]:
    """All lines whose tokens differ. `expected` are `{"ids": [..], "near_ties": {step: ..}}` with the end token."""
    found_differences = []
    for line, (reference, tokens) in enumerate(zip(expected, found, strict=True)):
        theirs = reference["ids"]
        ours = tokens + [eos] * (theirs[-1] == eos)  # without, it was ended by the maximal length
        if theirs == ours:
            continue
        step = next(
            (i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours))
        )
        tie = reference["near_ties"].get(str(step))
        found_differences.append(Difference(line, step, tie and tie[0]))
    return found_differences
