"""Progress bars on stderr, and only where that is a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator

Report = Callable[[int, int], None]  # (bytes done, bytes in all)


@contextlib.contextmanager
def byte_bar(label: str, wanted: bool = True) -> Iterator[Report]:
    """A bar that counts bytes; yields the function that moves it, which does nothing where no bar is shown."""
    if not (wanted and sys.stderr.isatty()):
        yield _nothing
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and most runs show no bar
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=min(done, total), total=total)


def _nothing(done: int, total: int) -> None:
    del done, total
