"""How long-running functions tell how far they are."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

Progress = Callable[[int, int], None]  # (done, total), in whatever unit the function says
Bars = Callable[[str, str], AbstractContextManager[Progress]]  # of a description and a unit: a bar while it lasts
Stage = Callable[[str, float], None]  # what is done now of something long, and which share of the whole is done


def silent(done: int, total: int) -> None:
    """Tell nobody."""
    del done, total


def silent_stage(what: str, share: float) -> None:
    """Tell nobody."""
    del what, share


@contextlib.contextmanager
def terminal_bar(description: str, unit: str) -> Iterator[Progress]:
    """A bar on stderr that appears with the first progress and vanishes at the end; none where that is no terminal.

    Unit `bytes` shows megabytes and their speed, any other one plain numbers.
    """
    if sys.stderr is None:
        yield silent
        return
    from rich import progress  # noqa: PLC0415 - slow to import
    from rich.console import Console  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent
        return
    in_bytes = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    count = in_bytes if unit == "bytes" else (progress.MofNCompleteColumn(), progress.TextColumn(unit))
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), *count, progress.TimeRemainingColumn())
    bars = progress.Progress(*columns, console=console, transient=True)
    task = bars.add_task(description, total=None)

    def advance(done: int, total: int) -> None:
        bars.start()
        bars.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        if bars.live.is_started:
            bars.stop()
