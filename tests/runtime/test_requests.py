"""Requests: batches of any make give what each row alone gives; tokens as they come, cancelling, failing."""

from concurrent.futures import CancelledError
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import tiny
from quartet import Translator
from quartet.conversion.convert import convert_folder
from quartet.runtime import engine as engines
from quartet.runtime import requests
from quartet.runtime.batching import Batching
from quartet.runtime.engine import Engine, open_engine, threads_of_each
from quartet.runtime.generate import SearchOptions
from quartet.runtime.requests import (
    FEWEST_IN_PARALLEL,
    MOST_IN_PARALLEL,
    WORTH_OPENING,
    Batch,
    Pending,
    TextRequest,
    complete,
)

SOURCES = [[5 + i % 90, 7 + i % 80, *range(10, 12 + i % 9), 2] for i in range(WORTH_OPENING)]
PREFIX = [2, 98]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("requests")
    checkpoint = tiny.make(work / "checkpoint", "m2m100-base")
    for precision in ("fp32", "int4"):
        convert_folder(checkpoint, work / precision, precision=precision)
    return work


@pytest.fixture
def engine(folder: Path) -> Engine:
    return open_engine(folder / "fp32", 1)


def request(source: list[int], **options: int) -> TextRequest:
    return TextRequest(source, PREFIX, SearchOptions(**{"max_new_tokens": 8} | options))


def alone(engine: Engine, one: TextRequest) -> list[tuple[int, ...]]:
    return tokens(engine.submit([one])[0])


def tokens(pending: Pending) -> list[tuple[int, ...]]:
    """Of its hypotheses."""
    return [hypothesis.tokens for hypothesis in pending.result()]


def translated(folder: Path, threads: int, sources: list[list[int]] = SOURCES, **options: int) -> list[list[int]]:
    with Translator(folder, threads=threads) as translator:
        return translator.generate(sources, PREFIX, max_new_tokens=8, **options)


@pytest.fixture
def in_parallel(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each batch has, of those that are decoded beside another one."""
    found: list[int] = []
    init = Batch.__init__

    def counted(self, engine, rows, *, parallel=False):
        if parallel:
            found.append(len(rows))
        init(self, engine, rows, parallel=parallel)

    monkeypatch.setattr(Batch, "__init__", counted)
    return found


# ---- one by one -----------------------------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_requests(engine):
    rows = [request(source) for source in SOURCES[:7]]
    expected = [alone(engine, one) for one in rows]
    assert [tokens(one) for one in engine.submit(rows, Batching(3))] == expected
    assert [tokens(one) for one in reversed(engine.submit(rows, Batching(3)))] == expected[::-1]


def test_requests_that_are_searched_in_other_ways_share_no_batch(engine):
    rows = [
        request(SOURCES[0]),
        request(SOURCES[1], beam_size=2),
        request(SOURCES[2]),
        request(SOURCES[3], beam_size=2),
    ]
    pending = engine.submit(rows)
    assert pending[0].batch is pending[2].batch is not pending[1].batch
    assert [tokens(one) for one in pending] == [alone(engine, row) for row in rows]


def test_tokens_come_as_they_are_found(engine):
    first, second = engine.submit([request(SOURCES[0]), request(SOURCES[5])])
    seen = list(first.tokens())
    assert [len(tokens) for tokens in seen] == list(range(1, len(seen) + 1))
    assert seen[-1] == first.result()[0].tokens
    assert all(longer[: len(shorter)] == shorter for shorter, longer in pairwise(seen))
    assert tokens(second) == alone(engine, request(SOURCES[5]))
    assert list(first.tokens()) == []  # all of them were told


def test_with_beams_only_the_result_is_told(engine):
    (one,) = engine.submit([request(SOURCES[0], beam_size=2)])
    assert list(one.tokens()) == []
    assert one.result()


@pytest.mark.parametrize("beam_size", [1, 2])
def test_a_row_that_is_cancelled_leaves_and_the_others_stay(engine, beam_size):
    rows = [request(source, beam_size=beam_size, min_new_tokens=8) for source in SOURCES[:3]]
    expected = [alone(engine, row) for row in rows]
    for when in (0, 1, 3):
        pending = engine.submit(rows)
        for _ in range(when):
            pending[0].batch._advance(None)
        pending[1].cancel()
        assert [tokens(pending[i]) for i in (0, 2)] == [expected[i] for i in (0, 2)]
        with pytest.raises(CancelledError):
            pending[1].result()


def test_when_all_are_cancelled_decoding_ends(engine):
    pending = engine.submit([request(source, min_new_tokens=8) for source in SOURCES[:2]])
    steps = pending[0].tokens()
    next(steps)
    for one in pending:
        one.cancel()
    assert list(steps) == []
    pending[0].batch.finish()
    assert not pending[0].batch.is_open


def test_everyone_who_waits_for_a_batch_is_told_why_it_failed(engine, monkeypatch):
    def fails(self, model, batch, cancelled):
        raise MemoryError("no room")

    monkeypatch.setattr(TextRequest, "steps", fails)
    pending = engine.submit([request(source) for source in SOURCES[:2]])
    for one in pending:
        with pytest.raises(MemoryError, match="no room"):
            one.result()


# ---- two at a time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beam_size", [1, 2])
def test_two_batches_at_a_time_give_what_one_gives(folder, in_parallel, beam_size):
    expected = translated(folder / "int4", threads=1, beam_size=beam_size)
    assert not in_parallel
    assert translated(folder / "int4", threads=2, beam_size=beam_size, max_batch_size=500) == expected
    assert sum(in_parallel) == len(SOURCES)
    assert max(in_parallel) == MOST_IN_PARALLEL // beam_size


def test_few_rows_and_float32_stay_in_one_batch(folder, in_parallel):
    with Translator(folder / "int4", threads=2) as translator:
        translator.generate(SOURCES[: WORTH_OPENING - 1], PREFIX, max_new_tokens=2)
        assert not in_parallel  # sessions for two would have to be opened
        translator.generate(SOURCES, PREFIX, max_new_tokens=2)
        assert in_parallel
        del in_parallel[:]
        translator.generate(SOURCES[: FEWEST_IN_PARALLEL - 1], PREFIX, max_new_tokens=2)
        assert not in_parallel
        size = FEWEST_IN_PARALLEL
        translator.generate(SOURCES[:size], PREFIX, max_new_tokens=2, max_batch_size=size)
        assert in_parallel == [size // 2] * 2
        del in_parallel[:]
    translated(folder / "fp32", threads=2)
    assert not in_parallel


def test_both_speak_with_the_vocabulary_that_was_selected(in_parallel, monkeypatch):
    monkeypatch.setattr(requests, "FEWEST_IN_PARALLEL", 2)
    monkeypatch.setattr(requests, "WORTH_OPENING", 2)
    texts = ["Good morning.", "Where is the train station?", "Thank you.", "It is raining."]
    with Translator("demo", precision="int8", threads=2, vocabulary="auto") as translator:
        found = translator.translate_batch(texts, "fr", "en")
        assert in_parallel == [2, 2]
        assert [one.text for one in found] == [translator.translate(text, "fr", "en").text for text in texts]


def test_progress_grows_to_the_whole(folder):
    told: list[tuple[int, int]] = []
    engine = open_engine(folder / "int4", 2)
    pending = engine.submit([request(source, max_new_tokens=2) for source in SOURCES])
    complete(pending, lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (len(SOURCES), len(SOURCES))
    assert len(told) == len(SOURCES) // 32


def test_where_a_batch_fails_the_others_are_left(folder, monkeypatch):
    begun: list[int] = []

    def fails(self, model, batch, cancelled):
        begun.append(len(batch))
        raise MemoryError("no room")

    monkeypatch.setattr(TextRequest, "steps", fails)
    with Translator(folder / "int4", threads=2) as translator, pytest.raises(MemoryError, match="no room"):
        translator.generate(SOURCES, PREFIX, max_batch_size=4)
    assert len(begun) < len(SOURCES) // 4


@pytest.mark.parametrize(("threads", "expected"), [(1, 0), (2, 1), (4, 3)])
def test_two_callers_and_the_threads_of_their_sessions_are_as_many_as_were_asked_for(threads, expected):
    assert threads_of_each(threads) == expected


def test_half_of_the_cores_where_no_number_was_asked_for(monkeypatch):
    monkeypatch.setattr(engines.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert threads_of_each(None) == 4
    monkeypatch.delattr(engines.os, "sched_getaffinity")
    monkeypatch.setattr(engines.os, "cpu_count", lambda: None)
    assert threads_of_each(None) == 0


def test_a_batch_of_no_rows_is_nothing(engine):
    assert complete(engine.submit([])) == []
    assert np.array(engine.submit([])).size == 0
