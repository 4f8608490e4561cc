"""Glossaries that clients keep on the server: a file each, in a folder for each key.

The folder is one that outlives the server, or one that goes with it. It is read again for each request, so
that several processes may share it; a file appears whole under its name. Who sends another key does not see them.
"""

import json
import logging
import os
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path

from quartet.errors import OptionError
from quartet.serve.limits import hashed
from quartet.text.glossary import Glossary

MOST_GLOSSARIES = 1000  # of a key
MOST_BYTES = 10_000_000  # of the terms of a glossary, as DeepL has it
Pair = tuple[str, str]  # languages, as `en` and `fr`

log = logging.getLogger("quartet.serve")


class NoGlossaryError(LookupError):
    """There is none of this name for this key."""


class TooManyError(Exception):
    """There is no room for it; the message says of what there is too much."""


@dataclass(frozen=True)
class Dictionary:
    """The terms of one language, and what they become in another."""

    source: str
    target: str
    terms: Mapping[str, str]

    @property
    def pair(self) -> Pair:
        """The languages."""
        return self.source, self.target

    @cached_property
    def glossary(self) -> Glossary:
        """The terms, ready to be found."""
        return Glossary(self.terms)


@dataclass(frozen=True)
class Kept:
    """A glossary as it is kept, with a dictionary for each pair of languages."""

    id: str
    name: str
    created: str  # ISO 8601
    dictionaries: tuple[Dictionary, ...]

    def of(self, pair: Pair) -> Dictionary | None:
        """The dictionary of two languages."""
        return next((one for one in self.dictionaries if one.pair == pair), None)

    def with_dictionary(self, new: Dictionary) -> "Kept":
        """The same with a dictionary in the place of that of its languages."""
        others = [new if one.pair == new.pair else one for one in self.dictionaries]
        return replace(self, dictionaries=tuple(others if new in others else [*others, new]))


class Glossaries:
    """All glossaries of all keys."""

    def __init__(self, folder: Path) -> None:
        """Raises `OptionError` where the folder cannot be made."""
        self._folder, self._lock = folder, threading.Lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"--glossaries {folder}: {error.strerror}") from None

    def create(self, key: str, name: str, dictionaries: tuple[Dictionary, ...]) -> Kept:
        """A new glossary. Raises `TooManyError`."""
        with self._lock:
            if len(self._files(key)) >= MOST_GLOSSARIES:
                raise TooManyError(f"there are {MOST_GLOSSARIES} glossaries, and no more are kept for a key")
            made = Kept(str(uuid.uuid4()), name, datetime.now(UTC).isoformat(), dictionaries)
            self._write(key, made)
        return made

    def all(self, key: str) -> list[Kept]:
        """Those of a key, first those that were made first."""
        found = [kept for path in self._files(key) if (kept := _read(path)) is not None]
        return sorted(found, key=lambda one: one.created)

    def get(self, key: str, name: str) -> Kept:
        """A glossary by its id. Raises `NoGlossaryError`."""
        kept = _read(self._path(key, name))
        if kept is None:
            raise NoGlossaryError(name)
        return kept

    def change(self, key: str, changed: Kept) -> None:
        """Write a glossary again. Raises `NoGlossaryError` where there is none any more, `TooManyError`."""
        with self._lock:
            if not self._path(key, changed.id).is_file():
                raise NoGlossaryError(changed.id)
            self._write(key, changed)

    def delete(self, key: str, name: str) -> None:
        """Raises `NoGlossaryError`."""
        try:
            self._path(key, name).unlink()
        except OSError:
            raise NoGlossaryError(name) from None

    def _path(self, key: str, name: str) -> Path:
        """Of a glossary; a name that is no id of ours is that of no file. Raises `NoGlossaryError`."""
        try:
            plain = str(uuid.UUID(name))
        except ValueError:
            raise NoGlossaryError(name) from None
        return self._folder / hashed(key) / f"{plain}.json"

    def _files(self, key: str) -> list[Path]:
        return sorted((self._folder / hashed(key)).glob("*.json"))

    def _write(self, key: str, kept: Kept) -> None:
        content = json.dumps(asdict(kept), ensure_ascii=False).encode()
        if len(content) > MOST_BYTES:
            raise TooManyError(f"the glossary has {len(content)} bytes, and at most {MOST_BYTES} are kept")
        path = self._path(key, kept.id)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        part = path.with_suffix(f".{uuid.uuid4().hex}.part")
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _read(path: Path) -> Kept | None:
    """A glossary; None where there is none, or its file is no glossary."""
    try:
        state = path.stat()
        return _parsed(path, state.st_ino, state.st_mtime_ns, state.st_size)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        log.warning("the glossary %s cannot be read: %s", path.name, type(error).__name__)
        return None


@lru_cache(maxsize=64)  # of the newest uses: a text is not to wait until a file is read
def _parsed(path: Path, _: int, __: int, size: int) -> Kept:
    """The content of a file, which is another one when it has changed."""
    if size > MOST_BYTES:
        raise ValueError("too large")
    content = json.loads(path.read_bytes())
    dictionaries = tuple(
        Dictionary(str(one["source"]), str(one["target"]), Glossary(one["terms"]).terms)
        for one in content["dictionaries"]
    )
    return Kept(str(content["id"]), str(content["name"]), str(content["created"]), dictionaries)
