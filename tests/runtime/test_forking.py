"""A fork and the opening of a session wait for each other."""

import os
import threading
import time

import pytest

from quartet.runtime import forking

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")


def child_that_opens() -> int:
    pid = os.fork()
    if pid == 0:
        with forking.opening():
            os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fork_waits_for_those_who_open():
    events: list[str] = []
    inside = threading.Event()

    def opener() -> None:
        with forking.opening():
            inside.set()
            time.sleep(0.3)
            events.append("opened")

    thread = threading.Thread(target=opener)
    thread.start()
    inside.wait()
    assert child_that_opens() == 7
    events.append("forked")
    thread.join()
    assert events == ["opened", "forked"]


def test_many_forks_and_openers_come_to_an_end():
    stop = threading.Event()

    def opener() -> None:
        while not stop.is_set():
            with forking.opening():
                time.sleep(0.001)

    openers = [threading.Thread(target=opener) for _ in range(3)]
    for thread in openers:
        thread.start()
    try:
        assert [child_that_opens() for _ in range(20)] == [7] * 20
    finally:
        stop.set()
        for thread in openers:
            thread.join()
