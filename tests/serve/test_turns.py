"""So many at a time, whoever has had least first; and recordings that nobody waits for any more."""

import asyncio
import io
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from noise import file, hear_voices_everywhere
from quartet.serve.decoding import Caller, QueueFullError, SharedDecoder
from quartet.serve.fair_queue import Lane
from quartet.serve.listening import Listening, SpeechOptions
from quartet.serve.options import ServeOptions
from quartet.serve.service import Client, Service
from quartet.serve.turns import Turns

pytest.importorskip("av")


@pytest.fixture
def decoder():
    found = SharedDecoder(1000)
    yield found
    found.close(10)


def begun(pool, turns, caller, order):
    """Somebody who waits, takes a turn, and notes it."""

    def take():
        with turns.turn(caller):
            order.append(caller.client)

    before = len(turns._waiting)
    job = pool.submit(take)
    while len(turns._waiting) == before:
        pass
    return job


def test_whoever_has_had_fewest_turns_is_next(decoder):
    turns, order = Turns(1, 10), []
    with ThreadPoolExecutor(8) as pool:
        with turns.turn(Caller(decoder, "first", Lane.FILE)):
            jobs = [
                begun(pool, turns, Caller(decoder, name, Lane.FILE), order) for name in ("many",) * 4 + ("few",) * 2
            ]
        for job in jobs:
            job.result(30)
    assert sorted(order) == ["few"] * 2 + ["many"] * 4
    assert order[:4].count("few") == 2


def test_no_more_than_so_many_are_at_work_and_wait(decoder):
    turns, at_work, most = Turns(2, 20), [0, 0], threading.Lock()

    def take(number):
        with turns.turn(Caller(decoder, str(number), Lane.FILE)):
            with most:
                at_work[0] += 1
                at_work[1] = max(at_work)
            threading.Event().wait(0.002)
            with most:
                at_work[0] -= 1

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(take, range(20)))
    assert at_work == [0, 2]


def test_too_many_are_refused_and_who_is_gone_waits_no_longer(decoder):
    turns, leaving = Turns(1, 1), Caller(decoder, "leaving", Lane.FILE)
    with ThreadPoolExecutor(2) as pool, turns.turn(Caller(decoder, "first", Lane.FILE)):
        job = begun(pool, turns, leaving, [])
        with pytest.raises(QueueFullError), turns.turn(Caller(decoder, "third", Lane.FILE)):
            pass
        leaving.cancel()
        with pytest.raises(CancelledError):
            job.result(30)
    assert not turns._waiting


@pytest.fixture
def service(tiny_speech_model, monkeypatch):
    hear_voices_everywhere(monkeypatch)
    found = Service(ServeOptions(models=(str(tiny_speech_model),), threads=1, precision="fp32"))
    yield found
    found.close()


def is_idle(service, listening):
    turns = listening._turns[service.models.all[0].name]
    return turns._free == turns.at_once and service.models.all[0].users == 0


def test_a_recording_that_nobody_waits_for_is_let_go(service):
    listening, caller = Listening(service), service.caller(Client("somebody"))
    segments = listening.heard(caller, listening.model(), io.BytesIO(file(60)), SpeechOptions("en"))
    next(segments)
    next(segments)
    caller.cancel()
    with pytest.raises(CancelledError):
        list(segments)
    assert is_idle(service, listening)


@pytest.mark.parametrize("taken", [1, 3])
def test_a_stream_that_nobody_reads_any_more_is_let_go(service, taken):
    listening, caller = Listening(service), service.caller(Client("somebody"))
    segments = listening.heard(caller, listening.model(), io.BytesIO(file(60)), SpeechOptions("en"))

    async def take_some():
        stream = listening.in_steps(caller, segments)
        for _ in range(taken):
            await anext(stream)
        await stream.aclose()

    asyncio.run(take_some())
    assert is_idle(service, listening)
    assert next(segments, None) is None


def test_who_hangs_up_while_a_segment_is_made_ends_it(service):
    listening, caller = Listening(service), service.caller(Client("somebody"))
    segments = listening.heard(caller, listening.model(), io.BytesIO(file(60)), SpeechOptions("en"))

    async def hang_up():
        stream = listening.in_steps(caller, segments)
        await anext(stream)
        with service.decoder.paused():
            waiting = asyncio.ensure_future(anext(stream))
            while not service.decoder.queued_rows:
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])

    asyncio.run(hang_up())
    while not is_idle(service, listening):
        pass
    assert caller.gone.is_set()
