"""What the value of an option may be, and the one sentence about a value that it may not be.

A kind has three things: `accept` takes a value from Python and gives it back, numbers of numpy as Python's own; `read`
makes a value of what was typed; `expected` ends the sentence `beam_size is -1; expected an integer from 1 to 64`.
"""

import math
import numbers
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from quartet.errors import OptionError

MOST_SHOWN = 60  # letters of a bad value
FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
UNITS = {"b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}  # of bytes
MOST_BYTES = 10**15
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([kmg]i?|b)b?\s*", re.ASCII | re.IGNORECASE)
LONGEST_PART, LONGEST_PATH = 255, 4000  # bytes of a file's name, and with its folders: beyond them systems raise errors


class RefusedError(ValueError):
    """A value that an option may not have. `checked` makes an `OptionError` of it."""

    def __init__(self, value: object, expected: str, place: str = "") -> None:
        """place: where in the option the value stands, as `[3]`."""
        super().__init__(value, expected, place)
        self.value, self.expected, self.place = value, expected, place


class Kind(Protocol):
    """What a value may be."""

    @property
    def expected(self) -> str:
        """In words."""

    def accept(self, value: Any) -> Any:
        """The value in its plain form; raises `RefusedError`."""

    def read(self, text: str) -> Any:
        """What was typed, as `accept` may take it."""


# ---- numbers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Integer:
    """A whole number. A bool is none, and neither is 2.0."""

    least: int
    most: int
    unit: str = ""
    why: str = ""  # the limit is what it is, as `the model's window`

    @property
    def expected(self) -> str:
        """In words."""
        only = f"{self.least}" if self.least == self.most else f"an integer from {self.least} to {self.most}"
        return only + (f" {self.unit}" if self.unit else "") + (f" ({self.why})" if self.why else "")

    def accept(self, value: Any) -> int:
        """The number."""
        if type(value) is not int:
            if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                raise RefusedError(value, self.expected)
            value = int(value)
        if not self.least <= value <= self.most:
            raise RefusedError(value, self.expected)
        return int(value)

    def read(self, text: str) -> Any:
        """The number that was typed, whatever it is."""
        return _number(text, int, float)


@dataclass(frozen=True)
class Real:
    """A number, never NaN. Infinity is one where the limit says so."""

    least: float = -math.inf
    most: float = math.inf
    unit: str = ""
    above: bool = False  # `least` itself is too little

    @property
    def expected(self) -> str:
        """In words."""
        if math.isinf(self.least) and math.isinf(self.most):
            limits = ""
        elif math.isinf(self.most):
            limits = f" above {self.least:g}" if self.above else f" from {self.least:g} up"
        else:
            limits = (
                f"{' above' if self.above else ' from'} {self.least:g}{' up' if self.above else ''} to {self.most:g}"
            )
        return f"a number{limits}" + (f" {self.unit}" if self.unit else "")

    def accept(self, value: Any) -> float:
        """The number as a float."""
        if isinstance(value, bool) or not isinstance(value, float | int | numbers.Real):
            raise RefusedError(value, self.expected)
        try:
            number = float(value)
        except OverflowError:
            raise RefusedError(value, self.expected) from None
        enough = number > self.least if self.above else number >= self.least
        if not (enough and number <= self.most):  # false for NaN too
            raise RefusedError(value, self.expected)
        return number

    def read(self, text: str) -> Any:
        """The number that was typed, whatever it is."""
        return _number(text, float)


@dataclass(frozen=True)
class Size:
    """Bytes: a whole number of them, or a text with a unit: a typed number alone might mean anything."""

    expected: str = "a size, as 500MB or 1.5GB"

    def accept(self, value: Any) -> int:
        """The bytes."""
        if isinstance(value, str):
            found = _SIZE.fullmatch(value)
            number = round(float(found[1]) * UNITS[found[2].lower()]) if found else None
        else:
            number = int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else None
        if number is None or not 0 < number <= MOST_BYTES:
            raise RefusedError(value, self.expected)
        return number

    def read(self, text: str) -> Any:
        """What was typed."""
        return text


def _number(text: str, *forms: Callable[[str], Any]) -> Any:
    """The first of the forms that the text has; else the text."""
    if "_" in text:  # Python's own way to write numbers, nobody else's
        return text
    for form in forms:
        try:
            return form(text)
        except ValueError:
            continue
    return text


# ---- words ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """One of a few words or numbers."""

    values: tuple[str | int, ...]

    @property
    def expected(self) -> str:
        """In words."""
        *others, last = map(str, self.values)
        return f"{', '.join(others)} or {last}" if others else last

    def accept(self, value: Any) -> str | int:
        """The word or number."""
        if isinstance(value, numbers.Integral) and not isinstance(value, bool):
            value = int(value)
        for known in self.values:
            if type(known) is type(value) and known == value:
                return known
        if isinstance(value, str) and str(value) in self.values:  # of a class of its own, as those of enum and numpy
            return str(value)
        raise RefusedError(value, self.expected)

    def read(self, text: str) -> Any:
        """What was typed, as a number where all are numbers."""
        return _number(text, int, float) if all(isinstance(value, int) for value in self.values) else text


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    expected: str = "True or False"

    def accept(self, value: Any) -> bool:
        """The bool; numpy's is one too."""
        if isinstance(value, bool) or _is_bool(value):
            return bool(value)
        raise RefusedError(value, self.expected)

    def read(self, text: str) -> Any:
        """What a variable of the environment says; on the command line nothing is typed behind it."""
        return FLAGS.get(text.strip().lower(), text)


def _is_bool(value: object) -> bool:
    """Whether it is numpy's bool, without an import of that."""
    return type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")


@dataclass(frozen=True)
class Text:
    """A str."""

    expected: str = "text"

    def accept(self, value: Any) -> str:
        """The text."""
        if not isinstance(value, str):
            raise RefusedError(value, self.expected)
        return value

    def read(self, text: str) -> Any:
        """What was typed."""
        return text


@dataclass(frozen=True)
class TextOrNumber:
    """A str, or an int as one of several things is counted; as a str."""

    expected: str = "text, or a number"
    most: int = 1_000_000

    def accept(self, value: Any) -> str:
        """The text."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= self.most:
            return str(value)
        return Text(self.expected).accept(value)

    def read(self, text: str) -> Any:
        """What was typed."""
        return text


@dataclass(frozen=True)
class Name:
    """What names a model, a file or a folder: a str or a path that the system can look for."""

    expected: str = "a path"
    as_path: bool = True

    def accept(self, value: Any) -> Any:
        """The path, or the name as a str."""
        if not isinstance(value, str | os.PathLike):
            raise RefusedError(value, self.expected)
        name = os.fspath(value)
        if not isinstance(name, str) or not name.strip() or "\0" in name or not _is_nameable(name):
            raise RefusedError(value, self.expected)
        return Path(name) if self.as_path else name

    def read(self, text: str) -> Any:
        """What was typed."""
        return text


def _is_nameable(name: str) -> bool:
    """Whether systems can have a file of this name: letters that they can write, and not too many of them."""
    try:
        lengths = [len(os.fsencode(part)) for part in (name, *Path(name).parts)]
    except UnicodeEncodeError:
        return False
    return lengths[0] <= LONGEST_PATH and max(lengths[1:], default=0) <= LONGEST_PART


# ---- several --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Many:
    """A list, or whatever can be gone through in order, of one kind of value."""

    kind: Kind
    name: str  # of all of them, as `token ids`
    least: int = 0  # 0 or 1
    most: int = 1_000_000

    @property
    def expected(self) -> str:
        """In words."""
        return f"a list of {self.name}"

    def accept(self, value: Any) -> tuple[Any, ...]:
        """The values."""
        if isinstance(value, str | bytes | bytearray | memoryview | Mapping | Set) or not _is_iterable(value):
            raise RefusedError(value, self.expected)
        found = []
        for place, one in enumerate(value):
            if place == self.most:
                raise RefusedError(value, f"at most {self.most} {self.name}")
            try:
                found.append(self.kind.accept(one))
            except RefusedError as refused:
                raise RefusedError(refused.value, refused.expected, f"[{place}]{refused.place}") from None
        if len(found) < self.least:
            raise RefusedError(value, f"{self.expected}, not an empty one")
        return tuple(found)

    def read(self, text: str) -> Any:
        """The parts between commas."""
        return [self.kind.read(part.strip()) for part in text.split(",")]


def _is_iterable(value: Any) -> bool:
    """Whether there is something to go through: an array of numpy without a dimension is not."""
    return isinstance(value, Iterable) and getattr(value, "shape", None) != ()


@dataclass(frozen=True)
class Either:
    """One of two kinds: the first one's values are no list, the second one's are."""

    one: Kind
    many: Many

    @property
    def expected(self) -> str:
        """In words."""
        return f"{self.one.expected}, or {self.many.expected}"

    def accept(self, value: Any) -> Any:
        """The value of the one kind, or the tuple of the other one."""
        if isinstance(value, str | bytes) or not _is_iterable(value):
            try:
                return self.one.accept(value)
            except RefusedError as refused:
                raise RefusedError(refused.value, self.expected) from None
        return self.many.accept(value)

    def read(self, text: str) -> Any:
        """What was typed."""
        return self.one.read(text)


@dataclass(frozen=True)
class Times:
    """Seconds in ascending order: start, end, start, end ..., as numbers or as a text with commas."""

    most: float = 1e7
    expected: str = "seconds from 0 up in ascending order, as 0,12.5"

    def accept(self, value: Any) -> tuple[float, ...]:
        """The times."""
        if isinstance(value, str):
            value = self.read(value)
        kind = Real(0, self.most, "seconds")
        try:
            times = Many(kind, "seconds").accept(value)
        except RefusedError as refused:
            raise RefusedError(refused.value, self.expected, refused.place) from None
        for place, (earlier, later) in enumerate(pairwise(times)):
            if later < earlier:
                raise RefusedError(later, f"{self.expected}; {earlier:g} comes before it", f"[{place + 1}]")
        return times

    def read(self, text: str) -> Any:
        """The parts between commas."""
        return [_number(part.strip(), float) for part in text.split(",")] if text.strip() else []


@dataclass(frozen=True)
class Other:
    """What is checked where it is used; here only its type counts, if that."""

    expected: str
    accepts: Callable[[Any], bool] = lambda _: True

    def accept(self, value: Any) -> Any:
        """The value."""
        if not self.accepts(value):
            raise RefusedError(value, self.expected)
        return value

    def read(self, text: str) -> Any:
        """What was typed."""
        return text


# ---- options --------------------------------------------------------------------------------------------------------


class _Required:
    def __repr__(self) -> str:
        return "none: it has to be given"


REQUIRED: Any = _Required()


@dataclass(frozen=True)
class Option:
    """Something that can be chosen."""

    name: str  # the keyword in Python
    kind: Kind
    default: Any
    about: str  # one line
    none: str | None = None  # what None stands for; None: it may not be None
    flag: str = ""  # on the command line, where it is spelled otherwise there

    @property
    def typed(self) -> str:
        """As it is typed."""
        return self.flag or "--" + self.name.replace("_", "-")


Table = Mapping[str, Option]


def table(*options: Option) -> Table:
    """Options by their names."""
    return {option.name: option for option in options}


def checked(option: Option, value: Any) -> Any:
    """The value in its plain form; raises `OptionError`."""
    if value is None and option.none is not None:
        return None
    try:
        return option.kind.accept(value)
    except RefusedError as refused:
        raise bad_value(option.name + refused.place, refused.value, refused.expected) from None


def check_fields(instance: object, options: Mapping[str, Option]) -> None:
    """Check the fields of a frozen dataclass while it is made, and give them their plain forms. By field's name."""
    for field, option in options.items():
        value = getattr(instance, field)
        plain = checked(option, value)
        if plain is not value:
            object.__setattr__(instance, field, plain)


def within(option: Option, most: int, why: str) -> Option:
    """The option of whole numbers with the limit that a model sets: nothing above `most`."""
    kind = option.kind
    assert isinstance(kind, Integer)
    return replace(option, kind=replace(kind, most=max(kind.least, min(kind.most, most)), why=why))


def bad_value(name: str, value: object, expected: str) -> OptionError:
    """`beam_size is -1; expected an integer from 1 to 64`, as an error that knows the option's name."""
    error = OptionError(f"{name} is {shown(value)}; expected {expected}")
    error.option = name.partition("[")[0]
    return error


def too_long(name: str, tokens: int, most: int, why: str) -> OptionError:
    """`prefix has 300 tokens; expected at most 223 (half the model's window)`, likewise."""
    error = OptionError(f"{name} has {tokens} tokens; expected at most {most} ({why})")
    error.option = name.partition("[")[0]
    return error


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = MOST_SHOWN
_repr.maxlong = 30


def shown(value: object) -> str:
    """A value in an error: on one line, and short."""
    try:
        number = isinstance(value, numbers.Number) and not isinstance(value, int)
        text = str(value) if number or _is_bool(value) else _repr.repr(value)  # numpy has its types in its own
    except Exception:  # whoever wrote the class of the value; or an int with too many digits
        text = f"a value of type {type(value).__name__} that cannot be shown"
    line = " ".join(text.split())
    return line if len(line) <= MOST_SHOWN else line[: MOST_SHOWN - 1] + "…"
