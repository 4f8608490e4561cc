"""What a person sees on the terminal besides results: notices, and the bar of a ranking, all on stderr."""

import contextlib
import logging
import math
from collections.abc import Iterator

from quartet.progress import Stage, silent_stage


def show_notices() -> None:
    """Send quartet's log to stderr, one line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("quartet")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


@contextlib.contextmanager
def bar_of_steps() -> Iterator[Stage]:
    """A bar over something long in many steps: what is done now, and the time left of the whole at the pace so far.

    None where stderr is no terminal.
    """
    from rich import progress  # noqa: PLC0415 - slow to import
    from rich.console import Console  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent_stage
        return
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True, speed_estimate_period=math.inf) as bars:
        task = bars.add_task("", total=1.0)
        yield lambda what, share: bars.update(task, description=what, completed=share)
