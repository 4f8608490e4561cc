"""Timestamps between the words of a transcript: where they may and must come (Radford et al. 2022).

The rules and their order are those of OpenAI's `ApplyTimestampRules`, which transformers has as
`WhisperTimeStampLogitsProcessor`. Timestamps come in pairs, the end of a segment and the beginning of the next
one; they never go back; the first token is one.
"""

from dataclasses import dataclass

import numpy as np

from quartet.arrays import Floats, Ids
from quartet.runtime.scores import Scores

Range = tuple[int, int]  # of tokens: the first one, and the one after the last


@dataclass(frozen=True)
class TimestampRules:
    """Ids: text comes before `eos`, timestamps lie from `begin` to `end`, words that were added come after them."""

    eos: int
    no_timestamps: int
    begin: int
    end: int  # the one after the last
    vocab_size: int
    last_initial: int | None = None  # the latest timestamp that a window may begin with


def apply(scores: Scores, history: Ids, rules: TimestampRules, prefix_length: Ids) -> None:
    """Edit the scores of the token that follows `history` [r, t], of which the first `prefix_length` [r] are given."""
    scores.forbid(np.arange(len(history)), rules.no_timestamps)
    for row, tokens in enumerate(history):
        for first, stop in forbidden(tokens[prefix_length[row] :], rules):
            scores.forbid_range(row, first, stop)
        if are_likelier(scores.logits[row], rules):
            scores.forbid_range(row, 0, rules.begin)
            scores.forbid_range(row, rules.end, rules.vocab_size)


def forbidden(generated: Ids, rules: TimestampRules) -> list[Range]:
    """What must not follow the tokens generated so far [t]."""
    added = [(rules.end, rules.vocab_size)] if rules.end < rules.vocab_size else []
    if not len(generated):
        too_late = [] if rules.last_initial is None else [(rules.last_initial + 1, rules.end)]
        return [(0, rules.begin), *too_late, *added]
    are_times = (generated >= rules.begin) & (generated < rules.end)
    after_time = bool(are_times[-1])
    after_pair = after_time and (len(generated) == 1 or bool(are_times[-2]))
    ranges = []
    if after_time:
        ranges += [(rules.begin, rules.end)] if after_pair else [(0, rules.eos), *added]
    if are_times.any():
        latest = int(generated[are_times][-1])
        # a segment may end where it begins only by the timestamp that begins the next one
        ranges.append((rules.begin, latest if after_time and not after_pair else latest + 1))
    return ranges


def are_likelier(logits: Floats, rules: TimestampRules) -> bool:
    """Whether all timestamps together are likelier than the likeliest other token, by logits [v]."""
    times = logits[rules.begin : rules.end]
    highest, text = times.max(), max(logits[: rules.begin].max(), logits[rules.end :].max(initial=-np.inf))
    if np.isneginf(text) or np.isneginf(highest):
        return False
    return bool(highest + np.log(np.exp(times - highest).sum()) > text)
