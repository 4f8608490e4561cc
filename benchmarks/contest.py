"""Contenders as child processes, and runs of them in turn. What they do is in `contender.py`."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from contender import Job, Rows

PAUSE = 0.3  # seconds before each run, in which the threads of the contender before come to rest


@dataclass(frozen=True)
class Entry:
    """Who takes part: a name for the table, and how its process is started."""

    name: str
    kind: str
    folder: Path
    python: str = sys.executable


@dataclass(frozen=True)
class Run:
    """What a contender answered."""

    seconds: float
    memory: dict[str, float]  # MB, see `contender.memory`
    rows: Rows = field(default_factory=list)
    importing: float = 0  # seconds before those of loading
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.rows))


@dataclass(frozen=True)
class Tokens:
    """CTranslate2 reads and writes tokens. They become ids here, where the tables do not count as its memory."""

    names: list[str]
    ids: dict[str, int]

    @staticmethod
    def of(folder: Path) -> "Tokens":
        names = json.loads((folder / "shared_vocabulary.json").read_text(encoding="utf-8"))
        return Tokens([*names, "<pad>"], {name: i for i, name in enumerate(names)})  # Marian's padding is not in it

    def from_ids(self, rows: Rows) -> list[list[str]]:
        return [[self.names[i] for i in row] for row in rows]

    def to_ids(self, rows: list[list[str]]) -> Rows:
        return [[self.ids[name] for name in row] for row in rows]


Results = dict[str, list[list[Run]]]  # by contender, round and job


class Contender:
    """A running process of an entry; `loaded` is what it said about its start. Ends with the `with` statement.

    home: where quartet keeps what it made for this machine. The seconds of `loaded` are those of loading the model
    and its tokeniser where it has one, those of a run are for all its sources.
    """

    def __init__(self, entry: Entry, threads: int, home: Path) -> None:
        self.entry = entry
        script = Path(__file__).with_name("contender.py")
        command = [entry.python, str(script), entry.kind, str(entry.folder), str(threads)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "QUARTET_HOME": str(home)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
        )
        self._tokens = Tokens.of(entry.folder) if entry.kind == "ctranslate2" else None
        self.loaded = self.answer()

    def run(self, job: Job) -> Run:
        self.ask(job)
        return self.answer()

    def ask(self, job: Job) -> None:
        assert self._process.stdin is not None
        if self._tokens:
            prefix, *sources = self._tokens.from_ids([job.prefix, *job.sources])
            job = replace(job, sources=sources, prefix=prefix)
        print(json.dumps(asdict(job)), file=self._process.stdin, flush=True)

    def answer(self) -> Run:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.entry.name} ended with status {self._process.wait()}")
        run = Run(**json.loads(line))
        return replace(run, rows=self._tokens.to_ids(run.rows)) if self._tokens else run

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()  # the end of its input is the end of it


def alternate(contenders: Sequence[Contender], jobs: Mapping[str, Sequence[Job]], rounds: int) -> Results:
    """Each contender does all its jobs, then the next one does, for so many rounds and one before to warm up."""
    found: Results = {contender.entry.name: [] for contender in contenders}
    for _ in range(rounds + 1):
        for contender in contenders:
            time.sleep(PAUSE)
            name = contender.entry.name
            found[name].append([contender.run(job) for job in jobs[name]])
    return {name: runs[1:] for name, runs in found.items()}


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median of the ratios of runs that were neighbours in time."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
