"""Engines measured as child processes, and runs of them in turn. What they do is in `worker.py`."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from quartet.bench import worker
from quartet.bench.worker import Job, Rows, peer_of
from quartet.errors import MeasurementError

PAUSE = 0.3  # seconds before each run, in which the threads of the process before come to rest


@dataclass(frozen=True)
class Entry:
    """Who takes part: a name for the table, and how its process is started."""

    name: str
    kind: str
    folder: Path
    python: str = sys.executable


@dataclass(frozen=True)
class Run:
    """What a measured process answered."""

    seconds: float
    memory: dict[str, float]  # MB, see `worker.memory`
    rows: Rows = field(default_factory=list)
    importing: float = 0  # seconds before those of loading
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """How many new ones, over all rows."""
        return sum(map(len, self.rows))


@dataclass(frozen=True)
class Tokens:
    """CTranslate2 reads and writes tokens. They become ids here, where the tables do not count as its memory."""

    sources: list[str]
    targets: list[str]
    ids: dict[str, int]  # of the targets

    @staticmethod
    def of(folder: Path) -> "Tokens":
        """The vocabulary of a converted model: one, or one for each side."""
        sources, targets = (
            json.loads((path if path.exists() else folder / "shared_vocabulary.json").read_text(encoding="utf-8"))
            for path in (folder / f"{side}_vocabulary.json" for side in ("source", "target"))
        )
        padding = ["<pad>"]  # Marian's is not in it
        return Tokens(sources + padding, targets + padding, {name: i for i, name in enumerate(targets)})

    def of_job(self, job: Job) -> Job:
        """The same job in tokens."""
        sources: Any = [[self.sources[i] for i in row] for row in job.sources]
        prefix: Any = [self.targets[i] for i in job.prefix]
        return replace(job, sources=sources, prefix=prefix)

    def to_ids(self, rows: Any) -> Rows:
        """Rows of tokens as rows of ids."""
        return [[self.ids[name] for name in row] for row in rows]


Results = dict[str, list[list[Run]]]  # by entry, round and job


class MeasuredProcess:
    """A running process of an entry; `loaded` is what it said about its start. Ends with the `with` statement.

    home: where quartet keeps what it made for this machine. The seconds of `loaded` are those of loading the model
    and its tokeniser where it has one, those of a run are for all its sources. Raises `MeasurementError` where the
    process ends before its time.
    """

    def __init__(self, entry: Entry, threads: int, home: Path) -> None:
        self.entry = entry
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "QUARTET_HOME": str(home),
            "TRANSFORMERS_OFFLINE": "1",
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            worker_command(entry.python, "run", entry.kind, entry.folder, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        speaks_tokens = peer_of(entry.kind)[0].SPEAKS == "tokens"
        self._tokens = Tokens.of(entry.folder) if speaks_tokens else None
        try:
            self.loaded = self.answer()
        except BaseException:
            self.__exit__()
            raise

    def run(self, job: Job) -> Run:
        """Do a job and wait for it."""
        self.ask(job)
        return self.answer()

    def ask(self, job: Job) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        told = self._tokens.of_job(job) if self._tokens else job
        try:
            print(json.dumps(asdict(told)), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._failure() from None

    def answer(self) -> Run:
        """Wait for what was begun."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        run = Run(**json.loads(line))
        return replace(run, rows=self._tokens.to_ids(run.rows)) if self._tokens else run

    def _failure(self) -> MeasurementError:
        return MeasurementError(f"{self.entry.name}: {how_it_ended(self._process.wait(), self._errors)}")

    def __enter__(self) -> "MeasuredProcess":
        return self

    def __exit__(self, *error: object) -> None:
        if (error and error[0] is not None) or not hasattr(self, "loaded"):
            self._process.kill()
        self._process.communicate()  # the end of its input is the end of it
        self._errors.close()


def worker_command(python: str, what: str, kind: str, *arguments: object) -> list[str]:
    """How a worker is started."""
    return [python, str(Path(worker.__file__)), what, kind, *map(str, arguments)]


def make(kind: str, checkpoint: Path, folder: Path, python: str = sys.executable) -> Path:
    """What a kind makes of a checkpoint, in `folder`, made before or now; raises `MeasurementError`.

    In a process of its own: its libraries take gigabytes while they convert.
    """
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was interrupted
        with tempfile.TemporaryFile() as errors:
            command = worker_command(python, "make", kind, checkpoint, partial)
            environment = os.environ | {"TRANSFORMERS_OFFLINE": "1"}
            done = subprocess.run(command, check=False, stdout=errors, stderr=errors, env=environment)
            if done.returncode:
                raise MeasurementError(f"{kind} of {checkpoint.name}: {how_it_ended(done.returncode, errors)}")
        partial.rename(folder)
    return folder


def how_it_ended(status: int, errors: Any) -> str:
    """Why a process ended, in one line: the signal, or the last line that it wrote."""
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no word of why")
    if status == -9:
        return "was killed (signal 9), as the system does when memory runs out"
    return f"ended with status {status}: {last}"


def alternate(processes: Sequence[MeasuredProcess], jobs: Mapping[str, Sequence[Job]], rounds: int) -> Results:
    """Each process does all its jobs, then the next one does, for so many rounds and one before to warm up."""
    found: Results = {process.entry.name: [] for process in processes}
    for _ in range(rounds + 1):
        for process in processes:
            time.sleep(PAUSE)
            name = process.entry.name
            found[name].append([process.run(job) for job in jobs[name]])
    return {name: runs[1:] for name, runs in found.items()}


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median of the ratios of runs that were neighbours in time."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
