"""The errors that quartet raises on purpose: one clear line each, naming the bad value and what would be right.

Every one derives from `QuartetError`, so that a caller can catch them all; each also derives from the
built-in that it resembles. The command line prints the message without a traceback and exits with `exit_code`.
"""

import difflib
from collections.abc import Iterable


class QuartetError(Exception):
    """Base of all errors that quartet raises on purpose. `exit_code` is what the command line returns."""

    exit_code = 1

    def __str__(self) -> str:
        """One line, whatever line breaks the names in it have."""
        return r"\n".join(super().__str__().splitlines())


class ModelNotFoundError(QuartetError, LookupError):
    """No folder, alias or hub repository has this name."""

    exit_code = 2


class LanguageError(QuartetError, ValueError):
    """A language that the model does not have, or a pair that makes no sense."""

    exit_code = 2


class OptionError(QuartetError, ValueError):
    """An option whose value is out of range, or that does not go with another one.

    `option` is the keyword that the message begins with, where it begins with one: the command line says `--beam-size`.
    """

    exit_code = 2
    option: str | None = None


class CheckpointError(QuartetError, ValueError):
    """A checkpoint that cannot be read or does not hold what its config promises."""


class UnsupportedModelError(CheckpointError):
    """An architecture, or a variant of one, that quartet does not convert."""


class AudioError(QuartetError, ValueError):
    """Audio that cannot be read, or holds no sound."""


class ManifestError(QuartetError, ValueError):
    """A quartet folder whose manifest or files are incomplete, damaged or too new."""


class ForkedError(QuartetError, RuntimeError):
    """Something begun before the process was forked, which only the process that began it can end."""


class MeasurementError(QuartetError, RuntimeError):
    """A process that was to be measured and ended before its time, or a measurement that cannot be made."""


class OutputError(QuartetError, OSError):
    """Output that cannot be written: exists already, no permission, no space."""


class DownloadError(QuartetError, OSError):
    """A file that could not be fetched from the hub."""


def did_you_mean(name: str, known: Iterable[str], limit: int = 3) -> str:
    """` (did you mean a, b?)` with the nearest of the known names, or nothing where none is near."""
    folded = {k.casefold(): k for k in known}
    near = [folded[k] for k in difflib.get_close_matches(name.casefold(), folded, n=limit, cutoff=0.6)]
    return f" (did you mean {', '.join(near)}?)" if near else ""
