"""How long-running functions tell how far they are."""

from collections.abc import Callable

Progress = Callable[[int, int], None]  # (done, total), in whatever unit the function says


def silent(done: int, total: int) -> None:
    """Tell nobody."""
    del done, total


Told = Callable[[str, float], None]  # what is done now of something long, and which share of the whole is done


def untold(what: str, share: float) -> None:
    """Nobody is told."""
    del what, share
