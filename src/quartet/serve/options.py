"""What a server is told when it starts."""

from dataclasses import dataclass, replace
from pathlib import Path

from quartet.errors import OptionError
from quartet.options.declared import CORES, SERVE
from quartet.options.kinds import check_fields

UNLIMITED = -1  # of whatever is limited, as LibreTranslate has it


@dataclass(frozen=True)
class ServeOptions:
    """See `quartet serve --help`."""

    models: tuple[str, ...] = ("demo",)
    precision: str | None = None
    host: str = "127.0.0.1"
    port: int = 5000
    wyoming_port: int | None = None  # for Home Assistant, besides
    workers: int = 1  # processes
    threads: int | None = None  # of all workers together
    beam_size: int = 1  # of texts; what is streamed is greedy
    max_memory: int | None = None  # bytes of the files of open models, of all workers together
    preload: bool = False
    api_keys: Path | None = None  # file of keys that may be used
    char_limit: int = UNLIMITED  # characters of a text
    req_limit: int = UNLIMITED  # requests in a minute, of a key or an address
    batch_limit: int = UNLIMITED  # texts in a request
    upload_limit: int = 100_000_000  # bytes of a file
    max_queue: int = 100_000  # tokens of sources that may wait, of all workers together
    glossaries: Path | None = None  # folder of those that clients keep; None: they go with the server
    metrics: bool = False
    trust_forwarded_for: bool = False  # the address of a client is the last one in X-Forwarded-For
    log_format: str = "text"  # or json
    timeout: float = 600.0  # seconds for an answer
    body_timeout: float = 30.0  # seconds for each part of a body
    grace: float = 30.0  # seconds for what was accepted, when the server is to stop

    def share(self) -> "ServeOptions":
        """What one of the workers has of them: its part of the threads, the queue and the memory."""
        if self.workers == 1:
            return self
        return replace(
            self,
            threads=max(1, (self.threads or CORES) // self.workers),
            max_queue=-(-self.max_queue // self.workers),
            max_memory=self.max_memory and max(1, self.max_memory // self.workers),
        )

    def __post_init__(self) -> None:
        """Raise `OptionError` for values that make no sense, by themselves or together."""
        check_fields(self, SERVE)
        if self.wyoming_port and self.wyoming_port == self.port:
            raise OptionError(f"--port and --wyoming-port are both {self.port}; each needs a port of its own")
        if self.wyoming_port is not None and self.api_keys is not None:
            raise OptionError("Wyoming's clients send no keys; leave out --api-keys or --wyoming-port")
