"""Waiting for what happens elsewhere: in another thread, or another process."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], object]) -> None:
    """Look again and again; fail where it does not hold within a minute."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
