"""What a server is told when it starts."""

from dataclasses import dataclass
from pathlib import Path

from quartet.errors import OptionError
from quartet.options.declared import SERVE
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
    threads: int | None = None
    api_keys: Path | None = None  # file of keys that may be used
    char_limit: int = UNLIMITED  # characters of a text
    req_limit: int = UNLIMITED  # requests in a minute, of a key or an address
    batch_limit: int = UNLIMITED  # texts in a request
    upload_limit: int = 100_000_000  # bytes of a file
    max_queue: int = 100_000  # tokens of sources that may wait
    metrics: bool = False
    trust_forwarded_for: bool = False  # the address of a client is the last one in X-Forwarded-For
    timeout: float = 600.0  # seconds for an answer
    body_timeout: float = 30.0  # seconds for each part of a body
    grace: float = 30.0  # seconds for what was accepted, when the server is to stop

    def __post_init__(self) -> None:
        """Raise `OptionError` for values that make no sense, by themselves or together."""
        check_fields(self, SERVE)
        if self.wyoming_port and self.wyoming_port == self.port:
            raise OptionError(f"--port and --wyoming-port are both {self.port}; each needs a port of its own")
        if self.wyoming_port is not None and self.api_keys is not None:
            raise OptionError("Wyoming's clients send no keys; leave out --api-keys or --wyoming-port")
