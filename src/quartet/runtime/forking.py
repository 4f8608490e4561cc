"""A fork waits until no session is being opened: what ONNX Runtime locks meanwhile would stay locked in the child."""

import contextlib
import os
import threading
from collections.abc import Iterator


class _Gate:
    """Any number of threads open sessions, or one forks."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.openers = 0
        self.forking = False

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: not self.forking)
            self.openers += 1
        try:
            yield
        finally:
            with self.changed:
                self.openers -= 1
                self.changed.notify_all()

    def before(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not self.forking)
            self.forking = True  # nobody begins to open any more
            self.changed.wait_for(lambda: not self.openers)

    def after_in_parent(self) -> None:
        with self.changed:
            self.forking = False
            self.changed.notify_all()

    def after_in_child(self) -> None:
        self.__init__()  # type: ignore[misc]  # its lock may be another thread's


_gate = _Gate()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_gate.before, after_in_parent=_gate.after_in_parent, after_in_child=_gate.after_in_child)

opening = _gate.opening  # a context for whoever makes a session
