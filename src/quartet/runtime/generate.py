"""The decode loop: ids in, ids out, greedy or with beams. Finished rows leave the batch.

Shapes: r rows (sources, or sources times beams), t tokens so far from the decoder start on, v vocabulary.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from onnxruntime import OrtValue

from quartet.arrays import Floats, Ids
from quartet.errors import OptionError
from quartet.options.declared import SEARCH
from quartet.options.kinds import Option, check_fields, checked, within
from quartet.runtime import rules, search
from quartet.runtime.decode import (
    DecoderState,
    decode_one_token,
    decode_tokens,
    encode,
    last_of,
    rows_of,
    select_rows,
    select_sources,
)
from quartet.runtime.logits import HeadOutputs, read_scores
from quartet.runtime.model import Model
from quartet.runtime.rules import RowLimits, Rules
from quartet.runtime.scores import Candidates, Scores
from quartet.runtime.search import Hypothesis
from quartet.runtime.vocabulary_ids import renamed_generation, renamed_tokens
from quartet.spec import EarlyStopping


@dataclass(frozen=True)
class SearchOptions:
    """How to search. Lengths are in tokens after the prefix, the end token included."""

    beam_size: int = 1
    num_hypotheses: int = 1  # how many of the beams' results to return
    length_penalty: float | None = None  # exponent of the length that scores are divided by; None: the model's
    repetition_penalty: float | None = None  # above 1: tokens seen before become less likely; None: the model's
    no_repeat_ngram_size: int | None = None  # no n-gram of this size comes twice; 0: off; None: the model's
    min_new_tokens: int = 0
    max_new_tokens: int | None = None  # up to the model's window; None: up to the model's own `max_length`
    loop_guard: bool = False  # stop an n-gram from being repeated without end

    def __post_init__(self) -> None:
        """Raise `OptionError` for values that make no sense."""
        check_fields(self, SEARCH)
        checked(within(SEARCH["num_hypotheses"], self.beam_size, "beam_size"), self.num_hypotheses)
        if self.max_new_tokens is not None:
            checked(within(SEARCH["min_new_tokens"], self.max_new_tokens, "max_new_tokens"), self.min_new_tokens)


Read = Callable[[Model, OrtValue, int, HeadOutputs], Scores]  # `pre_logits` to scores, as `read_scores`
Cancelled = NDArray[np.bool_]  # [b] of sources; whoever waits for them may set it at any time
Choose = Callable[[Scores], tuple[Ids, Floats]]  # the next token of each row [r], and what it adds to the row's score


def likeliest(scores: Scores) -> tuple[Ids, Floats]:
    """The best token of each row, and its log probability before any rule; 0 where it was forced."""
    tokens = scores.likeliest()
    return tokens, scores.token_log_probs(tokens)


@dataclass(frozen=True)
class Search:
    """A batch ready to be searched."""

    model: Model
    rules: Rules
    limits: RowLimits
    prefixes: Sequence[Sequence[int]]
    length_penalty: float
    uncounted: Ids  # [r] tokens at the beginning that do not count in the length that scores are divided by
    rows_per_source: int = 1  # one after the other; they leave the batch together
    read: Read = read_scores
    choose: Choose = likeliest  # in greedy search
    early_stopping: EarlyStopping = False
    patience: float = 1.0  # finished hypotheses that beams wait for, in multiples of their number
    outputs: HeadOutputs = field(default_factory=HeadOutputs)
    cancelled: Cancelled | None = None  # sources whose rows are to leave at the next step

    def scores(self, pre_logits: OrtValue, count: int) -> Scores:
        """Scores of the next token, until they are asked for again; the best `count` are right."""
        return self.read(self.model, pre_logits, count, self.outputs)

    def common_prefix(self) -> Ids:
        """The first tokens of every row [r, t], as many as the shortest prefix has."""
        length = min(len(prefix) for prefix in self.prefixes)
        return np.array([prefix[:length] for prefix in self.prefixes], np.int64)

    def are_cancelled(self, rows: Ids) -> NDArray[np.bool_]:
        """Which of the rows [r] nobody wants any more."""
        if self.cancelled is None:
            return np.zeros(len(rows), bool)
        return self.cancelled[rows // self.rows_per_source]


@dataclass(frozen=True)
class Running:
    """Rows in the middle of a greedy search."""

    model: Model
    rows: Ids  # [r] as they are numbered in the batch
    history: Ids  # [r, t] their tokens, prefix included, as the head numbers them
    prefix_length: Ids  # of all rows of the batch
    eos: int

    def tokens(self, row: int) -> tuple[int, ...] | None:
        """The new tokens of a row so far, without the end, in the model's ids; None where it is not running."""
        places = np.flatnonzero(self.rows == row)
        if not len(places):
            return None
        tokens = self.history[places[0], self.prefix_length[row] :]
        return tuple(self.model.model_ids(tokens[tokens != self.eos]).tolist())


Result = TypeVar("Result")


@dataclass(frozen=True)
class Step(Generic[Result]):
    """What a step of a batch has added."""

    finished: list[tuple[int, Result]]  # which of the batch have ended, and what came out
    running: Running | None = None  # tokens so far, where each row's next one is certain


def generate_batch(
    model: Model, sources: Sequence[Sequence[int]], prefixes: Sequence[Sequence[int]], options: SearchOptions
) -> list[list[Hypothesis]]:
    """Search all sources as one batch; for each the best `num_hypotheses`, best first. See `search_steps`."""
    return finished(search_steps(model, sources, prefixes, options), len(sources))


def search_steps(
    model: Model,
    sources: Sequence[Sequence[int]],
    prefixes: Sequence[Sequence[int]],
    options: SearchOptions,
    cancelled: Cancelled | None = None,
) -> Iterator[Step[list[Hypothesis]]]:
    """Search all sources as one batch, a step at a time, in the model's ids.

    sources: ids as the encoder wants them, special tokens included. prefixes: the first decoder tokens of each row.
    cancelled: [b] sources that nobody waits for any more; they leave at the next step.
    """
    search_ = _prepare(model, sources, prefixes, options, cancelled)
    state = encode(model, sources)
    pre_logits = _prefill(search_, state)
    if options.beam_size > 1:
        steps = beam_steps(search_, state, pre_logits, options.beam_size, options.num_hypotheses)
    else:
        steps = greedy_steps(search_, state, pre_logits)
    for step in steps:
        found = [(row, [_marked(search_, row, hypothesis) for hypothesis in ended]) for row, ended in step.finished]
        yield Step([(row, _in_model_ids(model, hypotheses)) for row, hypotheses in found], step.running)


def finished(steps: Iterator[Step[Result]], rows: int) -> list[Result]:
    """What comes out of each row in the end."""
    found = dict(pair for step in steps for pair in step.finished)
    return [found[row] for row in range(rows)]


def _prepare(
    model: Model,
    sources: Sequence[Sequence[int]],
    prefixes: Sequence[Sequence[int]],
    options: SearchOptions,
    cancelled: Cancelled | None,
) -> Search:
    generation, tokens = model.manifest.generation, model.manifest.tokens
    if model.head_rows is not None:
        generation, tokens = renamed_generation(generation, model.head_ids), renamed_tokens(tokens, model.head_ids)
        prefixes = [[_head_id(token, model.head_ids) for token in prefix] for prefix in prefixes]
    prefix_length = np.array([len(prefix) for prefix in prefixes], np.int64)
    window = model.manifest.shapes.max_target_length
    longest = window if options.max_new_tokens is not None else min(generation.max_length, window)
    if (prefix_length >= longest).any():
        raise OptionError(f"a prefix of {prefix_length.max()} tokens leaves no room: {longest} is the most")
    max_length = np.full(len(prefixes), longest, np.int64)
    if options.max_new_tokens is not None:
        max_length = np.minimum(prefix_length + options.max_new_tokens, max_length)
    guarded = options.loop_guard
    repeats = [max(rules.LOOP_REPEATS, rules.longest_repeat(s) + 1) if guarded else 0 for s in sources]
    return Search(
        model=model,
        rules=Rules(
            eos=tokens.eos,
            repetition_penalty=_chosen(options.repetition_penalty, generation.repetition_penalty),
            no_repeat_ngram_size=int(_chosen(options.no_repeat_ngram_size, generation.no_repeat_ngram_size)),
            bad_words_ids=generation.bad_words_ids,
            suppress_tokens=generation.suppress_tokens,
            begin_suppress_tokens=generation.begin_suppress_tokens,
            forced_bos=generation.forced_bos,
            forced_eos=generation.forced_eos,
            renormalize=generation.renormalize_logits,
            min_new_tokens=options.min_new_tokens,
            min_length=generation.min_length,
            loop_guard=guarded,
        ),
        limits=RowLimits(prefix_length, max_length, np.array(repeats, np.int64)),
        prefixes=prefixes,
        length_penalty=_chosen(options.length_penalty, generation.length_penalty),
        early_stopping=generation.early_stopping,
        uncounted=np.ones(len(prefixes), np.int64),
        cancelled=cancelled,
    )


def new_tokens(option: Option, room: int) -> Option:
    """An option that counts new tokens, of which a model has room for so many."""
    return within(option, room, "the model's window, less the prefix")


def _marked(search_: Search, row: int, hypothesis: Hypothesis) -> Hypothesis:
    """A hypothesis that says why it has ended. Where the end is forced at the greatest length, that is no end."""
    limits, count = search_.limits, len(hypothesis.tokens)
    forced = search_.rules.forced_eos is not None
    if limits.prefix_length[row] + count + forced >= limits.max_length[row]:
        return replace(hypothesis, ended="length")
    if search_.rules.loop_guard and rules.has_loop(hypothesis.tokens, int(limits.loop_repeats[row])):
        return replace(hypothesis, ended="loop guard")
    return hypothesis


def _in_model_ids(model: Model, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    if model.head_rows is None:
        return hypotheses
    return [replace(h, tokens=tuple(model.model_ids(np.array(h.tokens, np.int64)).tolist())) for h in hypotheses]


def _head_id(token: int, head_ids: Mapping[int, int]) -> int:
    if token not in head_ids:
        raise OptionError(f"id {token} of the prefix is not in the vocabulary selected for the target language")
    return head_ids[token]


def _chosen(value: float | None, default: float) -> float:
    return default if value is None else value


def _prefill(search_: Search, state: DecoderState) -> OrtValue:
    """Feed all tokens of the common prefix; `pre_logits` [r, 1, d] of the last one."""
    (pre_logits,) = decode_tokens(search_.model, state, search_.common_prefix())
    return last_of(pre_logits)


def _force_prefixes(search_: Search, scores: Scores, rows: Ids, length: int) -> None:
    """Rows [r] whose own prefix is longer than the common one have no choice yet."""
    for i, row in enumerate(rows):
        prefix = search_.prefixes[row]
        if length < len(prefix):
            scores.force(np.array([i]), prefix[length])


# ---- greedy -----------------------------------------------------------------------------------------------------


def greedy_steps(search_: Search, state: DecoderState, pre_logits: OrtValue) -> Iterator[Step[list[Hypothesis]]]:
    """Always the likeliest token; `pre_logits` [r, 1, d] are those of the prefix's last token."""
    history = search_.common_prefix()
    rows, limits = np.arange(len(history)), search_.limits
    totals, done = np.zeros(len(rows), np.float64), np.zeros(len(rows), bool)
    while len(rows):
        tokens, log_probs = _next_tokens(search_, search_.scores(pre_logits, 1), history, rows, limits)
        totals = totals + log_probs
        history = np.concatenate([history, tokens[:, None]], axis=1)
        ends = (tokens == search_.rules.eos) & (history.shape[1] > limits.prefix_length)
        ends = (ends | (history.shape[1] >= limits.max_length) | search_.are_cancelled(rows)) & ~done
        ended = [(int(rows[i]), history[i], totals[i]) for i in np.flatnonzero(ends)]
        running = Running(search_.model, rows, history, search_.limits.prefix_length, search_.rules.eos)
        yield Step([(row, [_hypothesis(search_, ids, total, row)]) for row, ids, total in ended], running)
        done |= ends
        if ends.any():
            kept, sources = _unfinished(done, search_.rows_per_source)
            rows, totals, done, limits = rows[kept], totals[kept], done[kept], limits.take(kept)
            if 0 < len(kept) < len(history):
                select_rows(state, kept)
                select_sources(state, sources)
            history = history[kept]
        if len(rows):
            pre_logits = decode_one_token(search_.model, state, history[:, -1])


def _unfinished(done: NDArray[np.bool_], rows_per_source: int) -> tuple[Ids, Ids]:
    """The rows [r] of sources that have a row left to finish, and these sources.

    Each stays where it is, but those at the end take the places of sources that leave: few rows move.
    """
    unfinished = ~np.all(done.reshape(-1, rows_per_source), axis=1)
    left = np.flatnonzero(unfinished)
    sources = np.arange(len(left))
    sources[~unfinished[: len(left)]] = left[left >= len(left)]
    return (sources[:, None] * rows_per_source + np.arange(rows_per_source)).reshape(-1), sources


def _next_tokens(search_: Search, scores: Scores, history: Ids, rows: Ids, limits: RowLimits) -> tuple[Ids, Floats]:
    """The chosen token of each row, and what it adds to the row's score."""
    rules.apply(scores, history, search_.rules, limits, log_space=False)
    _force_prefixes(search_, scores, rows, history.shape[1])
    return search_.choose(scores)


def _hypothesis(search_: Search, history: Ids, total: float, row: int) -> Hypothesis:
    tokens = history[search_.limits.prefix_length[row] :].tolist()
    if tokens and tokens[-1] == search_.rules.eos:
        tokens.pop()
    score = total / (len(history) - int(search_.uncounted[row])) ** search_.length_penalty
    return Hypothesis(tuple(tokens), float(score))


# ---- beams ------------------------------------------------------------------------------------------------------


def beam_steps(
    search_: Search, state: DecoderState, pre_logits: OrtValue, beam_size: int, wanted: int = 1
) -> Iterator[Step[list[Hypothesis]]]:
    """The best beams of each row; `pre_logits` [r, 1, d] are those of the prefix's last token."""
    prefix = search_.common_prefix()
    rows = np.arange(len(prefix))
    beams = search.start_beams(prefix, beam_size)
    select_rows(state, np.repeat(rows, beam_size))
    pre_logits = rows_of(pre_logits, np.repeat(rows, beam_size))
    slots = np.broadcast_to(np.arange(beam_size), (len(rows), beam_size))  # whose row of the decoder each beam has
    while len(rows):
        next_tokens = _beam_candidates(search_, pre_logits, beams, rows)
        past = _in_slots(beams.tokens, slots)
        chosen = _beam_step(search_, beams, next_tokens, rows)
        beams.open &= ~search_.are_cancelled(rows)
        yield Step([(int(rows[i]), beams.finished[i][:wanted]) for i in np.flatnonzero(~beams.open)])
        kept, sources = _unfinished(~beams.open, search_.rows_per_source)
        if 0 < len(kept) < len(rows):
            select_sources(state, sources)
        slots, origins = search.place_beams(slots[kept], chosen.parents[kept])
        stayed = np.array_equal(kept, np.arange(len(rows)))
        rows, beams = rows[kept], search.take_sources(beams, kept)
        if len(rows):
            select_rows(state, _flat(kept, origins), _tokens_alike(past, origins) if stayed else 0)
            tokens = _in_slots(beams.tokens[:, :, -1], slots)
            pre_logits = decode_one_token(search_.model, state, tokens.reshape(-1))
            pre_logits = rows_of(pre_logits, _flat(np.arange(len(rows)), slots))


def _in_slots(beams: Ids, slots: Ids) -> Ids:
    """What belongs to beams [b, k, ..], in the order of the decoder's rows."""
    found = np.empty_like(beams)
    found[np.arange(len(slots))[:, None], slots] = beams
    return found


def _flat(sources: Ids, slots: Ids) -> Ids:
    """Rows of the decoder [b * k], of these sources [b] and slots [b, k]."""
    rows: Ids = sources[:, None] * slots.shape[1] + slots
    return rows.reshape(-1)


def _tokens_alike(history: Ids, parents: Ids) -> int:
    """How many tokens at the beginning of every row [b, k, t] are those of the one that takes its place [b, k]."""
    differs = history != np.take_along_axis(history, parents[:, :, None], axis=1)
    return int(np.append(differs.any(axis=(0, 1)), True).argmax())


def _beam_step(search_: Search, beams: search.Beams, next_tokens: Candidates, rows: Ids) -> search.Continuations:
    limits = search_.limits.take(rows)
    return search.beam_step(
        beams,
        next_tokens,
        search_.rules.eos,
        limits.prefix_length,
        limits.max_length,
        search_.length_penalty,
        search_.uncounted[rows],
        max(1, round(beams.tokens.shape[1] * search_.patience)),
        search_.early_stopping,
    )


def _beam_candidates(search_: Search, pre_logits: OrtValue, beams: search.Beams, rows: Ids) -> Candidates:
    """The best next tokens of every beam and their processed log probabilities, [b * k, n]."""
    sources, beam_size, length = beams.tokens.shape
    history = beams.tokens.reshape(sources * beam_size, length)
    scores = search_.scores(pre_logits, 2 * beam_size)
    of_beam = np.repeat(rows, beam_size)
    rules.apply(scores, history, search_.rules, search_.limits.take(of_beam), log_space=True)
    _force_prefixes(search_, scores, of_beam, length)
    return scores.log_probs(2 * beam_size, search_.rules.renormalize)
