"""A server of the demo model, on a port of its own, for as long as the tests of a module run."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tiny_speech_text
from noise import hear_voices_everywhere
from quartet.conversion.convert import convert_folder
from quartet.serve.options import ServeOptions

OPTIONS = ServeOptions(precision="fp32", threads=1, port=0, grace=10.0)


@contextlib.contextmanager
def serving(options: ServeOptions) -> Iterator[str]:
    """The address of a server that runs as long as the `with` statement."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra `serve`")
    from quartet.serve.app import create_app
    from quartet.serve.workers import config

    config = config(create_app(options), options)
    socket = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([socket],))
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """One without limits."""
    with serving(OPTIONS) as address:
        yield address


@pytest.fixture(scope="module")
def server_with_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One that wants the key `secret`, and texts of at most 40 characters."""
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text("secret\n", "utf-8")
    with serving(replace(OPTIONS, api_keys=keys, char_limit=40)) as address:
        yield address


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts servers with options of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(serving(replace(OPTIONS, **options)))


@pytest.fixture
def served() -> Callable[..., contextlib.AbstractContextManager[str]]:
    """The same, each as long as its `with` statement."""
    return lambda **options: serving(replace(OPTIONS, **options))


@pytest.fixture(scope="session")
def tiny_speech_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that hears windows of one second, and talks nonsense."""
    where = tmp_path_factory.mktemp("speech")
    convert_folder(tiny_speech_text.make(where / "checkpoint"), where / "tiny-speech", precision="fp32")
    return where / "tiny-speech"


@pytest.fixture(scope="module")
def speech_server(tiny_speech_model: Path) -> Iterator[str]:
    """A server that translates and hears; noise is a voice to it."""
    with pytest.MonkeyPatch.context() as patch:
        hear_voices_everywhere(patch)
        with serving(replace(OPTIONS, models=("demo", str(tiny_speech_model)))) as address:
            yield address
