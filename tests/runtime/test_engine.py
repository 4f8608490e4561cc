"""Engines: shared by all who hold them, gone with the last; from many threads, in children, when things go wrong."""

import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import engine_trials
import tiny_speech_text
import tiny_text
from demo_model import DEMO
from engine_trials import LIMITED, MANY, TEXTS, heard, no_collector, sound
from quartet import Transcriber, Translator
from quartet.conversion.convert import convert_folder
from quartet.errors import OptionError
from quartet.quantize.recipes import QuantizationOptions
from quartet.runtime import engine as engines
from quartet.runtime import requests
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions
from quartet.runtime.machine import packing, pages
from quartet.runtime.requests import TextRequest

on_linux = pytest.mark.skipif(not pages.ON_LINUX, reason="reads /proc/self")
LONG = " ".join(TEXTS * 3)


@pytest.fixture(autouse=True, scope="module")
def _packed() -> Iterator[None]:
    """Small models have packs and pages that are given back, and some rows are enough for batches in parallel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "SMALLEST", 0)
        patch.setattr(requests, "WORTH_OPENING", len(MANY))
        patch.setattr(requests, "FEWEST_IN_PARALLEL", len(MANY) // 2)
        yield


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine") / "demo"
    convert_folder(DEMO, folder, precision="int4", options=QuantizationOptions(method="rtn"))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("engine-small")
    convert_folder(tiny_text.make(where / "checkpoint"), where / "small", precision="int4")
    with Translator(where / "small", threads=2, vocabulary="auto") as translator:  # packed before it is measured
        translator.translate_batch(MANY, "fr", "en", **LIMITED)
    return where / "small"


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("engine-speech")
    convert_folder(tiny_speech_text.make(where / "checkpoint"), where / "speech", precision="int4")
    return where / "speech"


def mapped(folder: Path) -> dict[str, int]:
    """How often each file of weights of a model, or of what was packed of it, is mapped."""
    packed = packing.packed_folder(folder, open_engine(folder, 2).manifest, "few")
    found: dict[str, int] = {}
    for line in Path("/proc/self/maps").read_text().splitlines():
        name = line.split(maxsplit=5)[-1]
        if name.startswith((f"{folder}/", f"{packed.parent}/")):
            found[name] = found.get(name, 0) + 1
    return found


def files() -> list[str]:
    """Where the open files of this process are."""
    found = []
    for link in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # one of them is of the listing itself
            found.append(str(link.readlink()))
    return found


def at_once(jobs: Sequence[Callable[[], object]]) -> list[object]:
    """What the jobs return, each in a thread of its own, all begun at the same moment."""
    together = threading.Barrier(len(jobs))

    def begin(job: Callable[[], object]) -> object:
        together.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(begin, jobs))


def trial(name: str, *arguments: object, timeout: float = 600) -> dict:
    """What `engine_trials` sees in a process of its own."""
    paths = [str(Path(__file__).parents[1]), str(Path(engines.__file__).parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, engine_trials.__file__, name, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# ---- shared ---------------------------------------------------------------------------------------------------------


@on_linux
def test_translators_of_a_folder_share_what_is_open(demo):
    with Translator(demo, threads=2) as first:
        text = first.translate(TEXTS[0], "fr", "en").text
        maps = mapped(demo)
        assert maps
        with Translator(demo, threads=2) as second:
            assert second._open is first._open
            assert mapped(demo) == maps
            assert second.translate(TEXTS[0], "fr", "en").text == text
        assert first.translate(TEXTS[0], "fr", "en").text == text
        assert mapped(demo) == maps


@on_linux
def test_a_folder_by_another_name_is_the_same(demo, tmp_path):
    (tmp_path / "link").symlink_to(demo)
    assert open_engine(tmp_path / "link", 2) is open_engine(demo, 2)


def test_another_number_of_threads_is_another_engine(demo):
    assert open_engine(demo, 1) is not open_engine(demo, 2)


@on_linux
def test_with_the_last_one_everything_goes(demo):
    before = files()
    with no_collector():
        with Translator(demo, threads=2) as first, Translator(demo, threads=2, vocabulary="auto") as second:
            first.translate_batch(MANY, "fr", "en", **LIMITED)
            second.translate_batch(MANY, "fr", "en", beam_size=2, num_hypotheses=2, **LIMITED)
            list(first.stream(LONG, "fr", "en", **LIMITED))
            half = first.stream(LONG, "fr", "en", **LIMITED)
            next(half)
            engine = first._open
            assert engine._parallel
            del engine
        assert mapped(demo)  # by the stream, and by `mapped`
        del half
        assert not engines._opened.engines
    assert not Counter(files()) - Counter(before)  # what other tests left may be closed meanwhile
    lines = Path("/proc/self/maps").read_text()
    assert str(demo) not in lines
    assert "/packed/" not in lines


def test_many_who_open_at_once_open_once(demo, monkeypatch):
    made: list[object] = []
    init = engines.Sessions.__init__
    monkeypatch.setattr(engines.Sessions, "__init__", lambda self, *rest: (made.append(self), init(self, *rest))[1])
    found = at_once([lambda: open_engine(demo, 2)] * 8)
    assert len(set(map(id, found))) == 1
    assert len(made) == 1


def test_what_many_want_first_at_once_is_opened_once(demo, monkeypatch):
    opened: list[tuple[str, str]] = []
    open_packed = engines.open_packed

    def counted(folder, file, *rest, **options):
        opened.append((folder.name, file))
        return open_packed(folder, file, *rest, **options)

    with Translator(demo, threads=2) as whole, Translator(demo, threads=2, vocabulary="auto") as selecting:
        whole.translate_batch(MANY, "fr", "en", **LIMITED)  # packs what has to be packed
        selecting.translate_batch(MANY, "fr", "en", **LIMITED)
    monkeypatch.setattr(engines, "open_packed", counted)
    with Translator(demo, threads=2) as whole, Translator(demo, threads=2, vocabulary="auto") as selecting:
        few = [(folder, file) for folder, file in opened if folder == "few"]
        jobs = [lambda: [one.text for one in whole.translate_batch(MANY, "fr", "en", **LIMITED)]] * 2
        jobs += [lambda: [one.text for one in whole.translate_batch(MANY[:20], "fr", "en", **LIMITED)]] * 3
        jobs += [lambda: [one.text for one in selecting.translate_batch(MANY[:20], "fr", "en", **LIMITED)]] * 3
        found = at_once(jobs)
        engine = whole._open
        assert found[0] == found[1]
        assert found[2] == found[3] == found[4]
        assert found[5] == found[6] == found[7]
        sessions = [engine._alone, engine._parallel]
        assert len(opened) == sum(len(one.opened()) for one in sessions)
    assert len(few) == 4


# ---- from many threads ----------------------------------------------------------------------------------------------


def all_kinds(demo: Path, speech: Path) -> dict[str, Callable[[], object]]:
    """Calls of all kinds, of two translators and two transcribers."""
    whole, selecting = Translator(demo, threads=2), Translator(demo, threads=2, vocabulary="auto")
    some, others = Transcriber(speech, threads=2), Transcriber(speech, threads=2)
    noise = sound(1.2)
    return {
        "short": lambda: whole.translate(TEXTS[0], "fr"),
        "long": lambda: whole.translate(LONG, "fr", "en", max_length=30),
        "lines": lambda: whole.translate("\n".join(TEXTS), "de", "en", split="sentences", **LIMITED),
        "beams": lambda: whole.translate_batch(MANY[:12], "fr", "en", beam_size=3, num_hypotheses=2, **LIMITED),
        "many beams": lambda: selecting.translate_batch(MANY[:17], "de", "en", beam_size=2, **LIMITED),
        "stream": lambda: list(whole.stream(LONG, "fr", "en", split="sentences", **LIMITED)),
        "selected": lambda: selecting.translate_batch(MANY[:20], "fr", "en", **LIMITED),
        "selected stream": lambda: list(selecting.stream(TEXTS[1], "fr", "en")),
        "in parallel": lambda: whole.translate_batch(MANY, "fr", "en", **LIMITED),
        "some": lambda: whole.translate_batch(MANY, "fr", "en", repetition_penalty=1.2, max_batch_size=8, **LIMITED),
        "ids": lambda: whole.generate([[5, 6, 7, 2], [8, 9, 2]], max_new_tokens=8, no_repeat_ngram_size=2),
        "heard": lambda: heard(some, noise),
        "beams heard": lambda: heard(others, noise, beam_size=3, word_timestamps=True),
        "heard alike": lambda: heard(others, noise, temperature=0.5, best_of=2, language=None),
        "silence": lambda: heard(some, noise, no_speech_threshold=0.6),
        "windows": lambda: heard(others, noise, batch_size=2),
    }


def check_threads(demo: Path, speech: Path, calls_each: int) -> None:
    """Eight threads make so many calls, each in another order."""
    calls = all_kinds(demo, speech)
    calls["in parallel"]()  # opens the sessions for it
    expected = {name: call() for name, call in calls.items()}
    names = list(calls)

    def work(first: int) -> list[str]:
        mine = [names[(first * 5 + i) % len(names)] for i in range(calls_each)]
        return [name for name in mine if calls[name]() != expected[name]]

    assert at_once([lambda first=first: work(first) for first in range(8)]) == [[]] * 8


def test_eight_threads_find_what_one_finds(demo, speech):
    check_threads(demo, speech, calls_each=6)


@pytest.mark.slow
def test_eight_threads_find_what_one_finds_again_and_again(demo, speech):
    check_threads(demo, speech, calls_each=160)


def test_a_translation_that_has_begun_outlives_the_translator(demo):
    translator = Translator(demo, threads=2)
    expected = [one.text for one in translator.translate_batch(MANY, "fr", "en", **LIMITED)]
    begun, stream = threading.Event(), translator.stream(LONG, "fr", "en", **LIMITED)

    def work() -> list[str]:
        found = translator.translate_batch(MANY, "fr", "en", progress=lambda *_: begun.set(), **LIMITED)
        return [one.text for one in found]

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(work)
        begun.wait()
        translator.close()
        assert found.result() == expected
    assert list(stream)  # though none of it was taken before
    with pytest.raises(OptionError, match="closed"):
        translator.translate(TEXTS[0], "fr", "en")


def test_closed_at_any_moment_a_call_ends_well_or_says_that_it_is_closed(small):
    engine = open_engine(small, 2)
    for _ in range(40):
        translator = Translator(small, threads=2)

        def work(translator: Translator = translator) -> str:
            try:
                return translator.translate(TEXTS[0], "fr", "en", **LIMITED).text
            except OptionError as error:
                return str(error)

        found = set(at_once([work, work, translator.close])[:2])
        assert not any("tokeniser" in one for one in found)
    del engine


def test_cancelled_by_another_thread(small):
    engine = open_engine(small, 2)
    request = TextRequest([5, 6, 7, 2], [2], SearchOptions(min_new_tokens=50, max_new_tokens=50))
    pending = engine.submit([request] * 3)
    tokens = pending[1].tokens()
    next(tokens)
    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(pending[0].result)
        pending[1].cancel()
        assert len(others.result()[0].tokens) == 50
    assert len(list(tokens)) < 50
    with pytest.raises(CancelledError):
        pending[1].result()


# ---- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@on_linux
def test_after_a_callback_fails_the_next_call_works(demo, error):
    def fails(done: int, total: int) -> None:
        raise error("enough")

    with no_collector():
        with Translator(demo, threads=2) as translator:
            expected = translator.translate_batch(MANY, "fr", "en", **LIMITED)
            with pytest.raises(error, match="enough"):
                translator.translate_batch(MANY, "fr", "en", progress=fails, **LIMITED)
            assert translator.translate_batch(MANY, "fr", "en", **LIMITED) == expected
        assert not engines._opened.engines


@pytest.mark.parametrize("rows", [3, len(MANY)])
def test_a_step_that_fails_holds_nothing(small, monkeypatch, rows):
    """A traceback has the frames with the batch in them: it must not be held by the batch."""
    steps = TextRequest.steps

    def fails(self, model, batch, cancelled):
        found = steps(self, model, batch, cancelled)
        yield next(found)
        yield next(found)
        raise MemoryError("no room")

    with no_collector():
        with Translator(small, threads=2) as translator:
            monkeypatch.setattr(TextRequest, "steps", fails)
            with pytest.raises(MemoryError, match="no room"):
                translator.translate_batch(MANY[:rows], "fr", "en", **LIMITED)
            monkeypatch.undo()
            assert translator.translate(TEXTS[0], "fr", "en", **LIMITED).text
        assert not live_batches()
        assert not engines._opened.engines


def test_an_interruption_does_not_wait_for_batches_that_have_begun(small, monkeypatch):
    """Two of them run: they end with their next step."""
    steps = TextRequest.steps
    taken: list[float] = []

    def slowly(self, model, batch, cancelled):
        for step in steps(self, model, batch, cancelled):
            time.sleep(0 if len(batch) == 1 else 0.2)
            taken.append(time.monotonic())
            yield step

    def fails(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with Translator(small, threads=2) as translator:
        sources = [[5, 6, 7, 2, *range(10, 20)]] + [[5, 6, 7, 2]] * len(MANY)
        engine = translator._open
        options = SearchOptions(min_new_tokens=40, max_new_tokens=40)
        few = SearchOptions(max_new_tokens=1)
        monkeypatch.setattr(TextRequest, "steps", slowly)
        pending = engine.submit([TextRequest(one, [2], few if i == 0 else options) for i, one in enumerate(sources)])
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            requests.complete(pending, fails)
    assert time.monotonic() - begun < 4  # of 8 s that a batch would take


def live_batches() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, requests.Batch)]


def test_a_stream_that_is_left_half_way_holds_nothing(small):
    with no_collector(), Translator(small, threads=2) as translator:
        stream = translator.stream(LONG, "fr", "en", split="sentences", **LIMITED)
        next(stream)
        assert len(live_batches()) == 1
        assert len(translator._open._alone.residency._decoders) == 1
        del stream
        assert not live_batches()
        assert not translator._open._alone.residency._decoders


# ---- in a process of its own ----------------------------------------------------------------------------------------


def check_flat(folder: Path, times: int, warm_up: int = 5) -> None:
    found = trial("open_and_close", folder, times)
    assert len(set(found["files"][warm_up:])) == 1
    assert found["resident"][-1] - found["resident"][warm_up] < 10 << 20


@on_linux
def test_opened_and_closed_again_and_again(small):
    check_flat(small, times=12)


@on_linux
@pytest.mark.slow
def test_a_larger_one_opened_and_closed_again_and_again(demo):
    check_flat(demo, times=30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_children_of_a_process_that_translates(small, speech):
    assert trial("forks", small, speech, 6)["status"] == [0] * 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
@pytest.mark.slow
def test_many_children_of_a_process_that_translates(demo, speech):
    assert trial("forks", demo, speech, 120, 3, timeout=3600)["status"] == [0] * 120


def check_memory(folder: Path, seconds: int) -> None:
    found = trial("memory", folder, seconds)
    assert found["errors"] == []
    assert found["corrupted"] == 0
    assert found["stray"] == 0
    assert found["advised"] > 0 or not pages.ON_LINUX
    assert min(found["opened"], found["translated"], found["checked"]) > 0


def test_memory_of_others_is_left_alone(small):
    check_memory(small, 4)


@pytest.mark.slow
def test_memory_of_others_is_left_alone_for_a_minute(demo):
    check_memory(demo, 60)
