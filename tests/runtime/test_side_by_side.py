"""Two batches at a time: the same results as one after the other, where there are enough rows and threads."""

from pathlib import Path

import pytest

import tiny
from quartet import Translator
from quartet.conversion.convert import convert_folder
from quartet.runtime import side_by_side
from quartet.runtime.side_by_side import FEWEST_BESIDE, MOST_BESIDE, WORTH_OPENING, threads_of_each
from quartet.translation import translator as pipeline

SOURCES = [[5 + i % 90, 7 + i % 80, *range(10, 12 + i % 9), 2] for i in range(WORTH_OPENING)]
PREFIX = [2, 98]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("side_by_side")
    checkpoint = tiny.make(work / "checkpoint", "m2m100-base")
    for precision in ("fp32", "int4"):
        convert_folder(checkpoint, work / precision, precision=precision)
    return work


def translated(folder: Path, threads: int, sources: list[list[int]] = SOURCES, **options: int) -> list[list[int]]:
    with Translator(folder, threads=threads) as translator:
        return translator.generate(sources, PREFIX, max_new_tokens=8, **options)


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each batch has, of those that run beside another one."""
    found: list[int] = []

    def counted(model, sources, prefixes, options):
        if model.keeps_pages:
            found.append(len(sources))
        return generate_batch(model, sources, prefixes, options)

    generate_batch = side_by_side.generate_batch
    monkeypatch.setattr(side_by_side, "generate_batch", counted)
    return found


@pytest.mark.parametrize("beam_size", [1, 2])
def test_two_batches_at_a_time_give_what_one_gives(folder, callers, beam_size):
    expected = translated(folder / "int4", threads=1, beam_size=beam_size)
    assert not callers
    assert translated(folder / "int4", threads=2, beam_size=beam_size, max_batch_size=500) == expected
    assert sum(callers) == len(SOURCES)
    assert max(callers) == MOST_BESIDE // beam_size


def test_few_rows_and_float32_stay_in_one_batch(folder, callers):
    with Translator(folder / "int4", threads=2) as translator:
        translator.generate(SOURCES[: WORTH_OPENING - 1], PREFIX, max_new_tokens=2)
        assert not callers  # sessions for two would have to be opened
        translator.generate(SOURCES, PREFIX, max_new_tokens=2)
        assert callers
        del callers[:]
        translator.generate(SOURCES[: FEWEST_BESIDE - 1], PREFIX, max_new_tokens=2)
        assert not callers
        translator.generate(SOURCES[:FEWEST_BESIDE], PREFIX, max_new_tokens=2, max_batch_size=FEWEST_BESIDE)
        assert callers == [FEWEST_BESIDE // 2] * 2
        del callers[:]
    translated(folder / "fp32", threads=2)
    assert not callers


def test_both_speak_with_the_vocabulary_that_was_selected(callers, monkeypatch):
    monkeypatch.setattr(side_by_side, "FEWEST_BESIDE", 2)
    monkeypatch.setattr(side_by_side, "WORTH_OPENING", 2)
    texts = ["Good morning.", "Where is the train station?", "Thank you.", "It is raining."]
    with Translator("demo", precision="int8", threads=2, vocabulary="auto") as translator:
        found = translator.translate_batch(texts, "fr", "en")
        assert callers == [2, 2]
        assert {model.keeps_pages for model in translator._selected.values()} == {False, True}
        assert [one.text for one in found] == [translator.translate(text, "fr", "en").text for text in texts]


def test_progress_grows_to_the_whole(folder):
    told: list[tuple[int, int]] = []
    with Translator(folder / "int4", threads=2) as translator:
        model = translator._open
        side_by_side.search_all(
            model,
            lambda _: pipeline.for_several_callers(model),
            SOURCES,
            [PREFIX] * len(SOURCES),
            pipeline.SearchOptions(max_new_tokens=2),
            32,
            "examples",
            lambda done, total: told.append((done, total)),
        )
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (len(SOURCES), len(SOURCES))
    assert len(told) == len(SOURCES) // 32


def test_where_a_batch_fails_the_others_are_left(folder, monkeypatch):
    begun: list[int] = []

    def fails(model, sources, prefixes, options):
        begun.append(len(sources))
        raise MemoryError("no room")

    monkeypatch.setattr(side_by_side, "generate_batch", fails)
    with Translator(folder / "int4", threads=2) as translator, pytest.raises(MemoryError, match="no room"):
        translator.generate(SOURCES, PREFIX, max_batch_size=4)
    assert len(begun) < len(SOURCES) // 4


@pytest.mark.parametrize(("threads", "expected"), [(1, 0), (2, 1), (4, 3)])
def test_two_callers_and_the_threads_of_their_sessions_are_as_many_as_were_asked_for(threads, expected):
    assert threads_of_each(threads) == expected


def test_half_of_the_cores_where_no_number_was_asked_for(monkeypatch):
    monkeypatch.setattr(side_by_side.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert threads_of_each(None) == 4
    monkeypatch.delattr(side_by_side.os, "sched_getaffinity")
    monkeypatch.setattr(side_by_side.os, "cpu_count", lambda: None)
    assert threads_of_each(None) == 0
