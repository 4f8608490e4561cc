"""How long-running functions tell how far they are."""

from collections.abc import Callable

Progress = Callable[[int, int], None]  # (done, total), in whatever unit the function says


def silent(done: int, total: int) -> None:
    """Tell nobody."""
    del done, total
