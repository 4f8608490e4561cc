"""How a benchmark says what it found: a Markdown table on stdout, and a JSON file from which `page.py` makes its page.

A file holds one topic, the one that it is named after, with all that a reader needs to judge the figures and to have
them again. Places of this machine do not get into it: the command has `MODELS`, `DATA` and `WORK` for them.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from quartet.bench.hardware import describe
from quartet.bench.worker import installed

RESULTS = Path(__file__).with_name("results")
MACHINE = ("cpu", "memory", "system")  # of a description; the rest are versions
FOLDERS = {
    "--work": "WORK",
    "--folder": "WORK",
    "--data": "DATA",
    "--text": "DATA",
    "--pairs": "DATA",
    "--optimum-python": "PYTHON",
    "--peer-python": "PYTHON",
}
WHOLE = ("WORK", "PYTHON")  # these say nothing by the end of their path


@dataclass(frozen=True)
class Result:
    """The figures of one topic, as a table shows them, and where they come from."""

    topic: str
    command: str
    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)  # sentences that belong to these figures
    transcribed: bool = False  # copied by hand: no run has written the file
    figures: dict[str, object] = field(default_factory=dict)  # all that was measured, without rounding


def add_results_argument(parser: argparse.ArgumentParser) -> None:
    """The option of all scripts that report."""
    parser.add_argument("--results", type=Path, help="JSON file to write; default: of the topic's name in results/")


def report(
    file: Path | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    figures: dict[str, object],
    *,
    topic: str | None = None,
    packages: Sequence[str] = (),
    versions: Iterable[Mapping[str, str]] = (),
    notes: Sequence[str] = (),
) -> None:
    """Print the table, and write it to `file`, or to that of the topic in `results/`.

    topic: None is the script's name; a file names its topic itself. packages: what took part in this process, besides
    quartet; versions: what took part in others.
    """
    file = file or RESULTS / f"{topic or Path(sys.argv[0]).stem}.json"
    about = describe()
    own = {name: number for name, number in about.items() if name not in MACHINE}
    result = Result(
        topic=file.stem,
        command=command_of(sys.argv),
        date=date.today().isoformat(),
        machine={name: about[name] for name in MACHINE},
        versions=joined([own, installed(tuple(packages)), *versions]),
        columns=list(columns),
        rows=[list(map(str, row)) for row in rows],
        notes=list(notes),
        figures=figures,
    )
    print("\n".join([*table(result.columns, result.rows), "", *notes]))
    save(result, file)
    print(f"written to {file}", file=sys.stderr)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of Markdown."""
    return [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *(f"| {' | '.join(row)} |" for row in rows)]


def command_of(words: Sequence[str]) -> str:
    """A command line, with a placeholder for each absolute path: `MODELS/opus-mt-en-fr`, `DATA/flores-dev`, `WORK`."""
    script, *rest = words
    said, option = ["python", f"benchmarks/{Path(script).name}"], ""
    for word in rest:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        option = name or option
        said.append(f"{name}{equals}{_without_place(option, value)}")
    return shlex.join(said)


def _without_place(option: str, value: str) -> str:
    if " " in value:  # a command
        return " ".join(_without_place(option, word) for word in value.split(" "))
    path = Path(value)
    if not path.is_absolute():
        return value
    if option == "--results":
        return f"benchmarks/results/{path.name}"
    if path.name == "python":
        return path.name
    folder = FOLDERS.get(option, "MODELS")
    return folder if folder in WHOLE else f"{folder}/{path.name}"


def joined(versions: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """One dictionary; of a package in several versions all of them."""
    found: dict[str, list[str]] = {}
    for name, number in (item for some in versions for item in some.items()):
        found.setdefault(name, [])
        found[name] += [number] if number not in found[name] else []
    return {name: " and ".join(numbers) for name, numbers in found.items()}


def save(result: Result, file: Path) -> None:
    """One line for each fact, and one for each row of the table."""
    lines = []
    for name, value in asdict(result).items():
        text = json.dumps(value, ensure_ascii=False)
        if name == "rows":
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in result.rows)
            text = f"[\n  {rows}\n ]"
        lines.append(f' "{name}": {text}')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def load(file: Path) -> Result:
    return Result(**json.loads(file.read_text(encoding="utf-8")))
