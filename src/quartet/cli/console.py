"""What a person sees on the terminal besides results: notices and progress bars, all on stderr."""

import contextlib
import logging
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[int, int], None]  # (done, total)


def stderr() -> Console:
    """The console for notices and bars."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def show_notices() -> None:
    """Send quartet's log to stderr, one line each."""
    handler = RichHandler(console=stderr(), show_time=False, show_path=False, show_level=False, markup=False)
    logging.getLogger("quartet").handlers = [handler]


@contextlib.contextmanager
def progress_bar(description: str, unit: str = "") -> Iterator[Advance]:
    """A bar that vanishes at the end; nothing at all where stderr is no terminal. Unit `bytes` shows megabytes."""
    console = stderr()
    count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TextColumn(unit if unit != "bytes" else ""))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task(description, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
