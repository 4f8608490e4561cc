"""Running the command line: in this process where that is enough, else as a child."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tiny_text
from quartet import cli
from quartet.conversion.convert import convert_folder


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


# a background job ignores SIGINT, what `nohup` runs SIGHUP, and their children would too
LISTEN_TO_CTRL_C = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "hasattr(signal, 'SIGHUP') and signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
)

Run = Callable[..., Result]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def call(*argv: object) -> Result:
        capsys.readouterr()
        try:
            code = cli.main([str(word) for word in argv])
        except SystemExit as stop:
            code = stop.code
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a command as a child with pipes; what still runs at the end of the test is killed."""
    children: list[subprocess.Popen[bytes]] = []

    def launch(*argv: object, script: str = "import sys; from quartet.cli import main; sys.exit(main())", **options):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | options
        env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        command = [
            sys.executable,
            "-c",
            LISTEN_TO_CTRL_C + script,
            *(a if isinstance(a, bytes) else str(a) for a in argv),
        ]
        children.append(subprocess.Popen(command, env=env, **pipes))
        return children[-1]

    yield launch
    for child in children:
        child.kill()
        child.wait()
        for pipe in filter(None, (child.stdin, child.stdout, child.stderr)):
            pipe.close()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with a tokeniser."""
    return tiny_text.make(tmp_path_factory.mktemp("cli") / "checkpoint")


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> Path:
    """The same, converted."""
    convert_folder(checkpoint, checkpoint.with_name("model"))
    return checkpoint.with_name("model")
