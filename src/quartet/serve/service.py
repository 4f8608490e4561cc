"""What the interfaces stand on: models, the shared decoder, limits, and threads for what is slow."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from starlette.requests import HTTPConnection, Request

from quartet.errors import OptionError, QuartetError
from quartet.serve.decoding import Caller, QueueFullError, SharedDecoder
from quartet.serve.fair_queue import Lane
from quartet.serve.limits import Buckets, Key, Keys
from quartet.serve.markup import Found, translated_markup
from quartet.serve.models import RETRY_AFTER, Models, NoRoomError
from quartet.serve.options import UNLIMITED, ServeOptions
from quartet.serve.request_log import note
from quartet.serve.state import ALONE, State, Worker
from quartet.serve.web import ApiError, off_the_loop
from quartet.text.detect import Detected, detect_all
from quartet.text.glossary import Glossary
from quartet.text.html_documents import Rules
from quartet.text.languages import find
from quartet.translation.plan import Split
from quartet.translation.translator import Translation, Translator

log = logging.getLogger("quartet.serve")
THREADS = 256  # of requests at work; they wait for the decoder most of the time
Result = TypeVar("Result")


@dataclass(frozen=True)
class Client:
    """Who asks: a key with its own limits, or an address where none is needed."""

    name: str
    key: Key | None = None

    def limit(self, options: ServeOptions, name: str) -> int:
        """A limit by its name in the options: the key's own, else that of all."""
        own: int | None = getattr(self.key, name, None)
        return getattr(options, name) if own is None else own


@dataclass(frozen=True)
class TextOptions:
    """How texts are translated."""

    alternatives: int = 0  # further translations of each
    split: Split = "auto"
    wrapped: bool = False  # a line break inside a paragraph is a space
    markup: Rules | None = None  # texts are HTML or XML
    glossary: Glossary | None = None


@dataclass(frozen=True)
class Translated:
    """A text's translation, and what was detected where no source was named."""

    translation: Translation
    detected: Detected | None


class Service:
    """A server's life: made, asked, closed."""

    def __init__(self, options: ServeOptions, worker: Worker = ALONE) -> None:
        """options: this worker's share. Raises what finding the models and reading the keys raises."""
        self.options, self.worker = options, worker
        self.models = Models(
            options.models, precision=options.precision, threads=options.threads, max_bytes=options.max_memory
        )
        _check_sizes(self.models, options.max_memory, worker)
        self.keys = Keys(options.api_keys) if options.api_keys else None
        self.decoder = SharedDecoder(options.max_queue)
        self.state = State(worker.folder)
        self._buckets = Buckets(self.state)
        self.pool = ThreadPoolExecutor(THREADS, "quartet-request")
        self.stopping = False
        self._unready: str | None = None  # why, where it is

    @property
    def status(self) -> str:
        """`ok` where requests are taken, else why not."""
        return "stopping" if self.stopping else self._unready or "ok"

    def preload(self) -> None:
        """Begin to open the models; until that is done, the server is not ready."""
        self._unready = "opening models"
        self.pool.submit(self._preload)

    def _preload(self) -> None:
        try:
            self.models.preload()
            self._unready = None
        except Exception:  # whatever it is: the server is not ready
            log.exception("the models cannot be opened")
            self._unready = "a model cannot be opened"

    def close(self) -> None:
        """Answer what was accepted, within the time of grace, and end."""
        self.stopping = True
        self.decoder.close(self.options.grace)
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.models.close()
        self.state.close()

    def admit(self, request: HTTPConnection, key: str | None, cost: int = 1) -> Client:
        """Who asks, if they may.

        Raises `ApiError`: 400 where a key is needed, 403 for a wrong one, 429 where the client's own limit is reached.
        """
        if self.keys is None:
            client = Client(self._address(request))
        elif not key:
            raise ApiError(400, "Please contact the server operator to get an API key")
        elif known := self.keys.find(key):
            client = Client(f"key {known.hash[:16]}", known)
            note(request, key=known.name)
        else:
            raise ApiError(403, "Invalid API key")
        self.take(client, cost)
        return client

    def take(self, client: Client, cost: int = 1) -> None:
        """Count requests of a client. Raises `ApiError` with status 429 where its own limit is reached."""
        per_minute = client.limit(self.options, "req_limit")
        if wait := self._buckets.take(client.name, per_minute, cost):
            raise ApiError(429, f"Slowdown: {per_minute} per 1 minute", {"Retry-After": str(max(1, round(wait + 0.5)))})

    def check_texts(self, texts: Sequence[str], client: Client) -> None:
        """Raise `ApiError` with status 400 where there are too many texts for a client, or one is too long."""
        most, longest = (client.limit(self.options, name) for name in ("batch_limit", "char_limit"))
        if most != UNLIMITED and len(texts) > most:
            raise ApiError(400, f"Invalid request: request ({len(texts)}) exceeds text limit ({most})", param="q")
        size = max(map(len, texts), default=0)
        if longest != UNLIMITED and size > longest:
            raise ApiError(400, f"Invalid request: request ({size}) exceeds text limit ({longest})", param="q")

    async def translate(
        self,
        request: Request,
        caller: Caller,
        texts: Sequence[str],
        source: str | None,
        target: str,
        options: TextOptions = TextOptions(),
    ) -> list[Translated]:
        """Translate texts, each from its own language where no source is named. Raises `ApiError`."""
        note(request, characters=sum(map(len, texts)))
        return await self.run(request, caller, lambda: self._translated(caller, texts, source, target, options))

    def caller(self, client: Client, lane: Lane = Lane.INTERACTIVE, *, streams: bool = False) -> Caller:
        """What a client's rows are handed in by."""
        return Caller(self.decoder, client.name, lane, streams)

    async def run(
        self, request: Request, caller: Caller, work: Callable[[], Result], timeout: float | None = None
    ) -> Result:
        """What `work` returns, off the event loop. timeout: seconds, None for the server's. Raises `ApiError`."""
        try:
            with told():
                return await off_the_loop(request, self.pool, caller, work, timeout or self.options.timeout)
        finally:
            note(request, **caller.facts)

    @contextmanager
    def translating(
        self, caller: Caller, source: str, target: str
    ) -> Iterator[tuple[Translator, str | None, str | None]]:
        """The model for two languages, whose rows are a caller's, and its codes of the target and the source.

        It stays open for as long as the `with` statement lasts. Raises `LanguageError`.
        """
        model = self.models.for_pair(source, target)
        with self.models.opened(model) as translator:
            assert isinstance(translator, Translator)
            codes = find(target, model.codes("target")), find(source, model.codes("source"))
            caller.facts.update(target=codes[0] or "", source=codes[1] or "")
            caller.facts.setdefault("model", model.id)  # of speech, whose text this is
            yield translator.through(caller.submit), *codes

    def _translated(
        self, caller: Caller, texts: Sequence[str], source: str | None, target: str, options: TextOptions
    ) -> list[Translated]:
        if options.markup is not None:
            plain = replace(options, markup=None, wrapped=False)  # each line of these texts is one of its own

            def translate(inner: list[str]) -> list[Found]:
                found = self._translated(caller, inner, source, target, plain)
                return [(one.translation, one.detected) for one in found]

            return [Translated(*one) for one in translated_markup(texts, target, options.markup, translate)]
        if source is not None:
            found = self._between(caller, texts, source, target, options)
            return [Translated(translation, None) for translation in found]
        detected = detect_all(texts, self.models.sources(), target)
        results: dict[int, Translation] = {}
        for code in dict.fromkeys(one.code for one in detected):
            places = [i for i, one in enumerate(detected) if one.code == code]
            some = [texts[i] for i in places]
            if code is None or find(code, [target]) is not None:
                found = [Translation(text, None, code, target) for text in some]
            else:
                found = self._between(caller, some, code, target, options)
            results |= dict(zip(places, found, strict=True))
        return [Translated(results[i], one) for i, one in enumerate(detected)]

    def _between(
        self, caller: Caller, texts: Sequence[str], source: str, target: str, options: TextOptions
    ) -> list[Translation]:
        with self.translating(caller, source, target) as (translator, *codes):
            if codes[0] == codes[1]:
                return [Translation(text, None, source, target) for text in texts]
            return translator.translate_batch(
                list(texts),
                *codes,
                beam_size=max(self.options.beam_size, options.alternatives + 1),
                num_hypotheses=options.alternatives + 1,
                split=options.split,
                wrapped=options.wrapped,
                strict=False,
                glossary=options.glossary,
            )

    def _address(self, request: HTTPConnection) -> str:
        """Where a request comes from; `Forwarded` has seen to proxies."""
        return request.client.host if request.client else "unknown"


def _check_sizes(models: Models, most: int | None, worker: Worker) -> None:
    """Raise `OptionError` where a model alone takes more memory than all of a worker's models may."""
    for model in models.all:
        if most is not None and model.bytes > most:
            share = f", and each of {worker.count} workers has its part of that" if worker.count > 1 else ""
            size = f"{most * worker.count / 1e6:.0f} MB{share}; {model.id} alone takes {model.bytes / 1e6:.0f} MB"
            error = OptionError(f"max_memory is {size}")
            error.option = "max_memory"
            raise error


@contextmanager
def told() -> Iterator[None]:
    """Errors of quartet, raised inside the `with` statement, as `ApiError`."""
    try:
        yield
    except QueueFullError as error:
        raise ApiError(503, str(error), {"Retry-After": str(error.retry_after)}) from None
    except NoRoomError as error:
        raise ApiError(503, str(error), {"Retry-After": str(RETRY_AFTER)}) from None
    except QuartetError as error:
        raise ApiError(400 if isinstance(error, ValueError) else 500, str(error)) from None
