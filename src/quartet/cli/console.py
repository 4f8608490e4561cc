"""What a person sees on the terminal besides results: notices and progress bars, all on stderr."""

import contextlib
import logging
import math
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from quartet.progress import Progress as Report
from quartet.progress import Told, silent, untold


def show_notices() -> None:
    """Send quartet's log to stderr, one line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("quartet")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


@contextlib.contextmanager
def progress_bar(description: str, unit: str) -> Iterator[Report]:
    """A bar that appears with the first progress and vanishes at the end; none where stderr is no terminal.

    Unit `bytes` shows megabytes, any other one plain numbers.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent
        return
    count = [DownloadColumn()] if unit == "bytes" else [MofNCompleteColumn(), TextColumn(unit)]
    columns = (TextColumn("{task.description}"), BarColumn(), *count, TimeRemainingColumn())
    bars = Progress(*columns, console=console, transient=True)
    task = bars.add_task(description, total=None)

    def advance(done: int, total: int) -> None:
        bars.start()
        bars.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        if bars.live.is_started:
            bars.stop()


@contextlib.contextmanager
def bar_of_steps() -> Iterator[Told]:
    """A bar over something long in many steps: what is done now, and the time left of the whole at the pace so far.

    None where stderr is no terminal.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield untold
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, speed_estimate_period=math.inf) as bars:
        task = bars.add_task("", total=1.0)
        yield lambda what, share: bars.update(task, description=what, completed=share)
