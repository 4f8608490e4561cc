"""Work off the event loop, and what becomes of it when nobody waits or nobody works any more."""

import asyncio
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from quartet.serve.decoding import Caller, SharedDecoder
from quartet.serve.fair_queue import Lane
from quartet.serve.web import ApiError, unless_gone


@pytest.fixture
def caller():
    decoder = SharedDecoder(10)
    yield Caller(decoder, "somebody", Lane.INTERACTIVE)
    decoder.close(10)


def ended(caller, work, hung_up=None, timeout=60.0):
    """How the work for a client ends, who stays unless `hung_up` is given."""

    async def run():
        with ThreadPoolExecutor(1) as pool:
            return await unless_gone(hung_up or asyncio.sleep(60), pool, caller, work, timeout)

    return asyncio.run(run())


def test_what_the_work_returns(caller):
    assert ended(caller, lambda: 3) == 3


def test_rows_that_a_server_lets_go_of_because_it_stops(caller):
    def work():
        raise CancelledError

    with pytest.raises(ApiError, match="stopping") as told:
        ended(caller, work)
    assert told.value.status == 503


@pytest.mark.parametrize("status", [499, 504])
def test_who_hangs_up_and_who_waits_too_long(caller, status):
    hung_up, timeout = (asyncio.sleep(0), 60.0) if status == 499 else (None, 0.05)
    with pytest.raises(ApiError) as told:
        ended(caller, lambda: caller.gone.wait(60), hung_up, timeout)
    assert told.value.status == status
    assert caller.gone.is_set()
