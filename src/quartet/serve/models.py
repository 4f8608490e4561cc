"""The models that a server has: opened when they are first asked for, closed when memory is wanted for others."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path, PurePath

from quartet import provision
from quartet.errors import LanguageError, QuartetError
from quartet.spec import Manifest
from quartet.text.languages import display_name, find, iso639_1
from quartet.transcription.transcriber import Transcriber
from quartet.translation.translator import Translator

MOST_NAMED = 20  # languages in a message
MOST_WAIT = 10.0  # seconds that somebody waits until the models in use leave room for another one
PATIENCE = 1.0  # seconds after which the models that are open wait for whoever waits for room
RETRY_AFTER = 10  # seconds, where there was no room

log = logging.getLogger("quartet.serve")


class NoRoomError(QuartetError):
    """All memory for models is taken by those that are in use."""


@dataclass
class Model:
    """A model by its name: its folder, what it can, and the open one if there is any."""

    name: str
    folder: Path
    manifest: Manifest
    opened: Translator | Transcriber | None = None
    has_room: bool = False  # it is open, or being opened
    users: int = 0
    last_used: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while it is opened

    @property
    def id(self) -> str:
        """Its name for others; of a folder, its last part: where it lies is nobody's business."""
        return PurePath(self.name).name if Path(self.name).is_dir() else self.name

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


@dataclass(frozen=True, eq=False)
class _Waiting:
    """Somebody who wants to use a model."""

    model: Model
    since: float = field(default_factory=time.monotonic)


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
        """max_bytes: of the files of those that are open at a time. Converts what is none yet.

        Raises what `provision.ready` raises.
        """
        self._threads, self._max_bytes = threads, max_bytes
        self._changed = threading.Condition()
        self._line: list[_Waiting] = []  # in the order in which they came
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
        """The open model, for as long as the `with` statement lasts: until then it is not closed.

        Raises `NoRoomError` where the models in use leave no room for it for `MOST_WAIT` seconds.
        """
        self._enter(model)
        try:
            with model.lock:
                if model.opened is None:
                    kind = Transcriber if model.hears else Translator
                    model.opened = kind(model.folder, threads=self._threads)
                opened = model.opened
            yield opened
        finally:
            with self._changed:
                model.users -= 1
                self._changed.notify_all()

    def preload(self) -> None:
        """Open the models, in their order, as many as there is room for. Raises what opening them raises."""
        sizes = [sum(model.bytes for model in self.all[: number + 1]) for number in range(len(self.all))]
        fitting = list(takewhile(lambda size: self._max_bytes is None or size <= self._max_bytes, sizes))
        for model in self.all[: len(fitting)]:
            with self.opened(model):
                log.info("opened %s", model.id)

    def close(self) -> None:
        """Close all."""
        for model in self.all:
            if model.opened is not None:
                model.opened.close()
                model.opened = None

    def _enter(self, model: Model) -> None:
        """Become a user of a model, as soon as there is room for it."""
        with self._changed:
            waiting = _Waiting(model)
            self._line.append(waiting)
            try:
                if not self._changed.wait_for(lambda: self._may_enter(waiting), MOST_WAIT):
                    raise NoRoomError(f"the models in use leave no memory for {model.id}; try again in {RETRY_AFTER} s")
                model.users += 1
                self._uses += 1
                model.last_used = self._uses
            finally:
                self._line.remove(waiting)
                self._changed.notify_all()

    def _may_enter(self, waiting: _Waiting) -> bool:
        """Whether there is room for a model. Who waits for room is passed by users of open models, but not for long."""
        model, now = waiting.model, time.monotonic()
        ahead = [one for one in takewhile(lambda one: one is not waiting, self._line) if not one.model.has_room]
        if model.has_room:
            return not any(now - one.since > PATIENCE for one in ahead)
        if any(one.model is not model for one in ahead):
            return False
        model.has_room = self._make_room(model)
        return model.has_room

    def _make_room(self, wanted: Model) -> bool:
        """Close models that nobody uses until there is room for another, those first that were not used for longest."""
        if self._max_bytes is None:
            return True
        taking = [model for model in self.all if model.has_room]
        total = sum(model.bytes for model in taking) + wanted.bytes
        idle = sorted((model for model in taking if not model.users), key=lambda one: one.last_used)
        if total - sum(model.bytes for model in idle) > self._max_bytes:
            return False
        for model in idle:
            if total <= self._max_bytes:
                break
            if model.opened is not None:
                model.opened.close()
            model.opened, model.has_room = None, False
            total -= model.bytes
        return True


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
