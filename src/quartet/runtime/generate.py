"""The decode loop: ids in, ids out, greedy or with beams. Finished rows leave the batch.

Shapes: r rows (sources, or sources times beams), t tokens so far from the decoder start on, v vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quartet.errors import OptionError
from quartet.runtime import rules, search
from quartet.runtime.decode import DecoderState, decode_one_token, encode, read_scores, select_rows, select_sources
from quartet.runtime.rules import RowLimits, Rules
from quartet.runtime.scores import Candidates, Floats, Ids, Scores
from quartet.runtime.search import Hypothesis
from quartet.runtime.sessions import Sessions
from quartet.vocabulary.ids import renamed_generation, renamed_tokens


@dataclass(frozen=True)
class SearchOptions:
    """How to search. Lengths are in tokens after the prefix, the end token included."""

    beam_size: int = 1
    num_hypotheses: int = 1  # how many of the beams' results to return
    length_penalty: float | None = None  # exponent of the length that scores are divided by; None: the model's
    repetition_penalty: float | None = None  # above 1: tokens seen before become less likely; None: the model's
    no_repeat_ngram_size: int | None = None  # no n-gram of this size comes twice; 0: off; None: the model's
    min_new_tokens: int = 0
    max_new_tokens: int | None = None  # None: up to the model's own `max_length`
    loop_guard: bool = False  # stop an n-gram from being repeated without end

    def __post_init__(self) -> None:
        """Raise `OptionError` for values that make no sense."""
        for name in ("beam_size", "num_hypotheses"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; 1 or more is expected")
        if self.num_hypotheses > self.beam_size:
            raise OptionError(f"num_hypotheses {self.num_hypotheses} is more than beam_size {self.beam_size}")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise OptionError(f"max_length (max_new_tokens) is {self.max_new_tokens}; 1 or more is expected")
        if self.max_new_tokens is not None and self.min_new_tokens > self.max_new_tokens:
            raise OptionError(f"min_new_tokens {self.min_new_tokens} is more than max_new_tokens {self.max_new_tokens}")
        if self.repetition_penalty is not None and self.repetition_penalty <= 0:
            raise OptionError(f"repetition_penalty is {self.repetition_penalty}; more than 0 is expected (1: off)")


@dataclass(frozen=True)
class _Search:
    """A batch ready to be searched."""

    model: Sessions
    rules: Rules
    limits: RowLimits
    prefixes: Sequence[Sequence[int]]
    length_penalty: float

    def common_prefix(self) -> Ids:
        """The first tokens of every row [r, t], as many as the shortest prefix has."""
        length = min(len(prefix) for prefix in self.prefixes)
        return np.array([prefix[:length] for prefix in self.prefixes], np.int64)


def generate_batch(
    model: Sessions, sources: Sequence[Sequence[int]], prefixes: Sequence[Sequence[int]], options: SearchOptions
) -> list[list[Hypothesis]]:
    """Search all sources as one batch; for each the best `num_hypotheses`, best first.

    sources: ids as the encoder wants them, special tokens included. prefixes: the first decoder tokens of each row.
    """
    search_ = _prepare(model, sources, prefixes, options)
    if options.beam_size > 1:
        found = _beam(search_, sources, options.beam_size)
    else:
        found = [[] for _ in sources]
        for step in _greedy(search_, sources):
            for row, hypothesis in step.finished:
                found[row] = [hypothesis]
    return [[_in_whole_ids(model, one) for one in hypotheses[: options.num_hypotheses]] for hypotheses in found]


def stream(
    model: Sessions, source: Sequence[int], prefix: Sequence[int], options: SearchOptions
) -> Iterator[tuple[int, ...]]:
    """Greedy search of one source: the tokens so far, after each step, without prefix and end token."""
    search_ = _prepare(model, [source], [prefix], options)
    for step in _greedy(search_, [source]):
        tokens = step.finished[0][1].tokens if step.finished else step.history[0, len(prefix) :]
        yield tuple(model.whole_ids(np.array(tokens, np.int64)).tolist())


def _prepare(
    model: Sessions, sources: Sequence[Sequence[int]], prefixes: Sequence[Sequence[int]], options: SearchOptions
) -> _Search:
    generation, tokens = model.manifest.generation, model.manifest.tokens
    if model.rows is not None:
        generation, tokens = renamed_generation(generation, model.places), renamed_tokens(tokens, model.places)
        prefixes = [[_place(token, model.places) for token in prefix] for prefix in prefixes]
    prefix_length = np.array([len(prefix) for prefix in prefixes], np.int64)
    if options.max_new_tokens is None:
        max_length = np.full(len(prefixes), generation.max_length, np.int64)
    else:
        max_length = prefix_length + options.max_new_tokens
    if (prefix_length >= max_length).any():
        raise OptionError(f"a prefix of {prefix_length.max()} tokens leaves no room: {max_length.min()} is the most")
    model = model.for_rows(len(sources) * options.beam_size)
    guarded = options.loop_guard
    repeats = [max(rules.LOOP_REPEATS, rules.longest_repeat(s) + 1) if guarded else 0 for s in sources]
    return _Search(
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
            loop_guard=guarded,
        ),
        limits=RowLimits(prefix_length, max_length, np.array(repeats, np.int64)),
        prefixes=prefixes,
        length_penalty=_chosen(options.length_penalty, generation.length_penalty),
    )


def _in_whole_ids(model: Sessions, found: Hypothesis) -> Hypothesis:
    return replace(found, tokens=tuple(model.whole_ids(np.array(found.tokens, np.int64)).tolist()))


def _place(token: int, places: Mapping[int, int]) -> int:
    if token not in places:
        raise OptionError(f"id {token} of the prefix is not in the vocabulary selected for the target language")
    return places[token]


def _chosen(value: float | None, default: float) -> float:
    return default if value is None else value


def _prefill(model: Sessions, state: DecoderState, prefix: Ids) -> None:
    """Feed all tokens of the common prefix but the last; what they would generate is not asked for."""
    for tokens in prefix.T[:-1]:
        decode_one_token(model, state, tokens)


def _next_scores(search_: _Search, state: DecoderState, tokens: Ids, count: int) -> Scores:
    return read_scores(search_.model, decode_one_token(search_.model, state, tokens), count)


def _force_prefixes(search_: _Search, scores: Scores, rows: Ids, length: int) -> None:
    """Rows [r] whose own prefix is longer than the common one have no choice yet."""
    for i, row in enumerate(rows):
        prefix = search_.prefixes[row]
        if length < len(prefix):
            scores.force(np.array([i]), prefix[length])


# ---- greedy -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _GreedyStep:
    history: Ids  # [r, t] tokens of the rows still in the batch before this step's finished ones left
    finished: list[tuple[int, Hypothesis]]  # which source, and what came out


def _greedy(search_: _Search, sources: Sequence[Sequence[int]]) -> Iterator[_GreedyStep]:
    history = search_.common_prefix()
    state = encode(search_.model, sources)
    _prefill(search_.model, state, history)
    rows = np.arange(len(sources))
    totals = np.zeros(len(sources), np.float64)
    while len(rows):
        scores = _next_scores(search_, state, history[:, -1], 1)
        tokens, gains = _greedy_choice(search_, scores, history, rows)
        totals = totals + gains
        history = np.concatenate([history, tokens[:, None]], axis=1)
        limits = search_.limits.take(rows)
        done = (tokens == search_.rules.eos) & (history.shape[1] > limits.prefix_length)
        done |= history.shape[1] >= limits.max_length
        ended = [(int(rows[i]), history[i], totals[i]) for i in np.flatnonzero(done)]
        yield _GreedyStep(history, [(row, _hypothesis(search_, ids, total, row)) for row, ids, total in ended])
        if done.any():
            kept = np.flatnonzero(~done)
            rows, totals, history = rows[kept], totals[kept], history[kept]
            if len(kept):
                select_rows(state, kept)
                select_sources(state, kept)


def _greedy_choice(search_: _Search, scores: Scores, history: Ids, rows: Ids) -> tuple[Ids, Floats]:
    """The best token of each row and its log probability (under the unprocessed distribution; 0 where forced)."""
    rules.apply(scores, history, search_.rules, search_.limits.take(rows), log_space=False)
    _force_prefixes(search_, scores, rows, history.shape[1])
    found = scores.best(1)
    tokens = found.ids[np.arange(len(rows)), found.scores.argmax(axis=1)]
    return tokens, scores.gains(tokens)


def _hypothesis(search_: _Search, history: Ids, total: float, row: int) -> Hypothesis:
    tokens = history[search_.limits.prefix_length[row] :].tolist()
    if tokens and tokens[-1] == search_.rules.eos:
        tokens.pop()
    score = total / (len(history) - 1) ** search_.length_penalty
    return Hypothesis(tuple(tokens), float(score))


# ---- beams ------------------------------------------------------------------------------------------------------


def _beam(search_: _Search, sources: Sequence[Sequence[int]], beam_size: int) -> list[list[Hypothesis]]:
    prefix = search_.common_prefix()
    state = encode(search_.model, sources)
    _prefill(search_.model, state, prefix)
    rows = np.arange(len(sources))
    select_rows(state, np.repeat(rows, beam_size))
    beams = search.start_beams(prefix, beam_size)
    results: list[list[Hypothesis]] = [[] for _ in sources]
    while len(rows):
        next_tokens = _beam_candidates(search_, state, beams, rows)
        limits = search_.limits.take(rows)
        chosen = search.beam_step(
            beams, next_tokens, search_.rules.eos, limits.prefix_length, limits.max_length, search_.length_penalty
        )
        for i in np.flatnonzero(~beams.open):
            results[rows[i]] = beams.finished[i]
        kept = np.flatnonzero(beams.open)
        if len(kept):
            places = kept[:, None] * beam_size + chosen.parents[kept]
            select_rows(state, places.reshape(-1))
        if 0 < len(kept) < len(rows):
            select_sources(state, kept)
        rows, beams = rows[kept], search.take_sources(beams, kept)
    return results


def _beam_candidates(search_: _Search, state: DecoderState, beams: search.Beams, rows: Ids) -> Candidates:
    """The best next tokens of every beam and their processed log probabilities, [b * k, n]."""
    sources, beam_size, length = beams.tokens.shape
    history = beams.tokens.reshape(sources * beam_size, length)
    scores = _next_scores(search_, state, history[:, -1], 2 * beam_size)
    of_beam = np.repeat(rows, beam_size)
    rules.apply(scores, history, search_.rules, search_.limits.take(of_beam), log_space=True)
    _force_prefixes(search_, scores, of_beam, length)
    return scores.log_probs(2 * beam_size, search_.rules.renormalize)
