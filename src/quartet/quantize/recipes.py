"""The precisions that a model can be converted to."""

from quartet.errors import OptionError

PRECISIONS = ("fp32",)
DEFAULT_PRECISION = "fp32"


def check_precision(precision: str) -> None:
    """Raise `OptionError` for a precision that has no recipe."""
    if precision not in PRECISIONS:
        raise OptionError(f"unknown precision {precision!r}; it is one of {', '.join(PRECISIONS)}")
