"""The models that a server has: opened when they are first asked for, closed when memory is wanted for others."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from quartet import provision
from quartet.errors import LanguageError
from quartet.spec import Manifest
from quartet.text.languages import display_name, find, iso639_1
from quartet.transcription.transcriber import Transcriber
from quartet.translation.translator import Translator

MOST_NAMED = 20  # languages in a message
Open = Callable[[Path], Translator | Transcriber]


@dataclass
class Model:
    """A model by its name: its folder, what it can, and the open one if there is any."""

    name: str
    folder: Path
    manifest: Manifest
    opened: Translator | Transcriber | None = None
    users: int = 0
    last_used: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while it is opened

    @property
    def hears(self) -> bool:
        """Whether it transcribes."""
        return self.manifest.speech is not None

    @property
    def bytes(self) -> int:
        """Of its files: what it takes of the memory, nearly."""
        return sum(file.bytes for file in self.manifest.files.values())

    def codes(self, side: str) -> list[str]:
        """Codes of its languages, as a source or a target."""
        return [language.code for language in self.manifest.languages if getattr(language, side)]


class Models:
    """All models of a server."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        precision: str | None = None,
        threads: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        """max_bytes: of the files of those that are open at a time; one alone may have more. Converts what is none yet.

        Raises what `provision.ready` raises.
        """
        self._threads, self._max_bytes = threads, max_bytes
        self._lock = threading.Lock()
        self._uses = 0
        folders = [(name, provision.ready(name, precision=precision)) for name in names]
        self.all = [Model(name, folder, Manifest.load(folder)) for name, folder in folders]

    @property
    def translating(self) -> list[Model]:
        """Those that translate text."""
        return [model for model in self.all if not model.hears]

    @property
    def hearing(self) -> list[Model]:
        """Those that transcribe."""
        return [model for model in self.all if model.hears]

    def sources(self) -> list[str]:
        """Codes of all languages that text can be in, each as the first model that has it spells it."""
        return _distinct(code for model in self.translating for code in model.codes("source"))

    def targets(self, source: str | None = None) -> list[str]:
        """Codes of all languages that text can be translated into, from a language or from any."""
        able = [m for m in self.translating if source is None or find(source, m.codes("source")) is not None]
        return _distinct(code for model in able for code in model.codes("target"))

    def for_pair(self, source: str | None, target: str) -> Model:
        """The first model that translates between two languages; None stands for whichever a text is in.

        Raises `LanguageError`.
        """
        for model in self.translating:
            to_it = find(target, model.codes("target")) is not None
            if to_it and (source is None or find(source, model.codes("source")) is not None):
                return model
        for name, known in ((source, self.sources()), (target, self.targets())):
            if name is not None and find(name, known) is None:
                raise LanguageError(f"{name} is not supported; there is {_listed(known)}")
        names = display_name(source) if source else source, display_name(target)
        raise LanguageError(f"{names[0]} ({source}) cannot be translated to {names[1]} ({target})")

    @contextmanager
    def opened(self, model: Model) -> Iterator[Translator | Transcriber]:
        """The open model, for as long as the `with` statement lasts."""
        with self._lock:
            model.users += 1
            self._uses += 1
            model.last_used = self._uses
        try:
            with model.lock:
                if model.opened is None:
                    self._make_room(model)
                    kind = Transcriber if model.hears else Translator
                    model.opened = kind(model.folder, threads=self._threads)
                opened = model.opened
            yield opened
        finally:
            with self._lock:
                model.users -= 1

    def close(self) -> None:
        """Close all."""
        for model in self.all:
            if model.opened is not None:
                model.opened.close()
                model.opened = None

    def _make_room(self, wanted: Model) -> None:
        """Close those that were not used for longest, as many as memory needs and nobody uses."""
        if self._max_bytes is None:
            return
        with self._lock:
            open_ones = [model for model in self.all if model.opened is not None]
            total = sum(model.bytes for model in open_ones) + wanted.bytes
            for model in sorted(open_ones, key=lambda one: one.last_used):
                if total <= self._max_bytes:
                    break
                if model.users == 0 and model.opened is not None:
                    model.opened.close()
                    model.opened = None
                    total -= model.bytes


def _listed(codes: Sequence[str]) -> str:
    """Languages for a message: all of a few, some of many."""
    short = sorted(iso639_1(code) or code for code in codes)
    more = len(short) - MOST_NAMED
    return ", ".join(short[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "") or "none"


def _distinct(codes: Iterator[str]) -> list[str]:
    """Codes, without those that mean a language that is there already."""
    found: list[str] = []
    for code in codes:
        if find(code, found) is None:
            found.append(code)
    return found
