"""Many callers, two threads that decode: everyone gets what they would have got alone."""

import gc
import threading
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from quartet import Translator
from quartet.runtime.batching import Batching
from quartet.runtime.requests import Computation
from quartet.serve import decoding
from quartet.serve.decoding import AT_ONCE, Caller, QueueFullError, SharedDecoder
from quartet.serve.fair_queue import Lane

TEXTS = ["Where is the station?", "Good morning. How are you?", "It costs 12 euros.", "I like your house."]


@pytest.fixture(scope="module")
def demo():
    with Translator("demo", threads=1, precision="fp32") as translator:
        yield translator


@pytest.fixture
def decoder():
    found = SharedDecoder(10_000)
    yield found
    found.close(30)


def caller(decoder, client="somebody", **options):
    return Caller(decoder, client, Lane.INTERACTIVE, **options)


def test_callers_get_what_each_would_get_alone(demo, decoder):
    wanted = {(text, target): demo.translate(text, target, "en").text for text in TEXTS for target in ("fr", "de")}

    def ask(key):
        text, target = key
        return demo.through(caller(decoder, text).submit).translate(text, target, "en").text

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, wanted)) == list(wanted.values())


def test_a_stream_grows_to_the_translation(demo, decoder):
    shown = list(demo.through(caller(decoder, streams=True).submit).stream(TEXTS[1], "fr", "en"))
    assert shown == list(demo.stream(TEXTS[1], "fr", "en"))
    assert len(shown) > 3


def test_beams_and_lists_go_through_it(demo, decoder):
    shared = demo.through(caller(decoder).submit)
    found = shared.translate_batch(TEXTS, "es", "en", beam_size=3, num_hypotheses=2)
    assert [one.text for one in found] == [
        one.text for one in demo.translate_batch(TEXTS, "es", "en", beam_size=3, num_hypotheses=2)
    ]


def test_more_than_the_queue_holds_is_refused_at_once(demo):
    decoder = SharedDecoder(20)
    with decoder.paused():
        one = ThreadPoolExecutor(1).submit(demo.through(caller(decoder).submit).translate, TEXTS[0], "fr", "en")
        while not decoder.queued_rows:
            pass
        with pytest.raises(QueueFullError, match="try again in") as refused:
            demo.through(caller(decoder).submit).translate("I like your house, and your garden too. " * 3, "fr", "en")
        assert refused.value.retry_after >= 1
    assert one.result(30).text == demo.translate(TEXTS[0], "fr", "en").text
    decoder.close(30)


def test_what_is_cancelled_leaves_and_the_others_stay(demo, decoder):
    leaving, staying = caller(decoder, "leaving"), caller(decoder, "staying")
    with ThreadPoolExecutor(2) as pool:
        with decoder.paused():
            gone = pool.submit(demo.through(leaving.submit).translate, TEXTS[0], "fr", "en")
            kept = pool.submit(demo.through(staying.submit).translate, TEXTS[2], "fr", "en")
            while decoder.queued_rows < 2:
                pass
            leaving.cancel()
        with pytest.raises(CancelledError):
            gone.result(30)
        assert kept.result(30).text == demo.translate(TEXTS[2], "fr", "en").text


def test_closing_answers_what_was_taken_and_takes_nothing_more(demo):
    decoder = SharedDecoder(10_000)
    with ThreadPoolExecutor(4) as pool:
        with decoder.paused():
            asked = [pool.submit(demo.through(caller(decoder).submit).translate, text, "fr", "en") for text in TEXTS]
            while decoder.queued_rows < 5:  # one text has two sentences
                pass
        decoder.close(30)
        assert [one.result(1).text for one in asked] == [demo.translate(text, "fr", "en").text for text in TEXTS]
    with pytest.raises(QueueFullError):
        demo.through(caller(decoder).submit).translate(TEXTS[0], "fr", "en")


def test_who_asks_for_what_cannot_be_decoded_is_told_and_the_next_one_is_served(demo, decoder, monkeypatch):
    asked = demo.through(caller(decoder).submit)
    engine = demo._open
    with monkeypatch.context() as broken:
        broken.setattr(type(engine), "model", lambda *args, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asked.translate(TEXTS[0], "fr", "en")
    assert asked.translate(TEXTS[0], "fr", "en").text == demo.translate(TEXTS[0], "fr", "en").text


def test_the_threads_end_with_the_decoder():
    others = set(threading.enumerate())
    decoder = SharedDecoder(10)
    its = set(threading.enumerate()) - others
    assert len(its) == AT_ONCE
    decoder.close(10)
    assert not its & set(threading.enumerate())


def test_two_batches_are_decoded_at_a_time(decoder, monkeypatch):
    with Translator("demo", threads=2, precision="int8") as model:
        together, of_the_engine = threading.Barrier(2), type(model._open).model

        def met(*args, **options):
            together.wait(60)  # raises where nobody else comes
            return of_the_engine(*args, **options)

        asked = [model.through(caller(decoder, text).submit) for text in TEXTS[:2]]
        with ThreadPoolExecutor(2) as pool:
            with decoder.paused():
                found = [
                    pool.submit(one.translate, TEXTS[0], "fr", "en", beam_size=n + 1) for n, one in enumerate(asked)
                ]
                while decoder.queued_rows < 2:
                    pass
                monkeypatch.setattr(type(model._open), "model", met)
            assert [one.result(60).text for one in found] == ["Où est la gare ?"] * 2


def test_a_model_that_takes_one_batch_at_a_time_gets_no_second_one(demo, decoder, monkeypatch):
    at_work, of_the_engine = [], type(demo._open).model

    def noted(*args, **options):
        at_work.append(len(decoder._busy))
        return of_the_engine(*args, **options)

    monkeypatch.setattr(type(demo._open), "model", noted)
    with ThreadPoolExecutor(4) as pool:
        with decoder.paused():
            asked = [
                pool.submit(demo.through(caller(decoder).submit).translate, text, "fr", "en", beam_size=n + 1)
                for n, text in enumerate(TEXTS)
            ]
            while decoder.queued_rows < 5:
                pass
        assert all(one.result(60).text for one in asked)
    assert set(at_work) == {1}


def test_what_was_begun_is_not_refused_later(demo):
    decoder = SharedDecoder(20)
    begun, other = caller(decoder, "begun"), caller(decoder, "other")
    text = "I like your house, and your garden too. " * 3
    wanted = demo.translate(text, "fr", "en").text
    assert demo.through(begun.submit).translate(TEXTS[0], "fr", "en").text
    with ThreadPoolExecutor(2) as pool:
        with decoder.paused():
            waiting = pool.submit(demo.through(other.submit).translate, TEXTS[0], "fr", "en")
            while not decoder.queued_rows:
                pass
            more = pool.submit(demo.through(begun.submit).translate, text, "fr", "en")
            while decoder.queued_rows < 4 and not more.done():
                pass
        assert more.result(60).text == wanted
        assert waiting.result(60).text
    decoder.close(30)


def test_who_is_gone_can_hand_in_nothing_more(demo, decoder):
    gone = caller(decoder)
    gone.cancel()
    with pytest.raises(CancelledError):
        demo.through(gone.submit).translate(TEXTS[0], "fr", "en")
    assert decoder.queued_rows == 0


def test_the_decoder_holds_nothing_while_it_has_nothing_to_do(demo, decoder):
    somebody = caller(decoder)
    (ticket,) = somebody.submit(demo._open, [Computation(lambda model: model.manifest.name, 5)], Batching())
    assert ticket.result() == demo.manifest.name
    left = weakref.ref(ticket)
    del ticket, somebody
    while left() is not None:
        gc.collect()


def test_freed_memory_goes_back_when_there_is_nothing_to_do(demo, monkeypatch):
    """Once, not again and again while nobody asks."""
    given_back = threading.Semaphore(0)
    monkeypatch.setattr(decoding, "IDLE", 0.02)
    monkeypatch.setattr(decoding.packing, "trim", given_back.release)
    decoder = SharedDecoder(10_000)
    assert not given_back.acquire(timeout=0.1)
    for _ in range(2):
        demo.through(caller(decoder).submit).translate(TEXTS[0], "fr", "en")
        assert given_back.acquire(timeout=60)
        assert not given_back.acquire(timeout=0.1)
    decoder.close(30)
