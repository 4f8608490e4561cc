"""How a benchmark says what it found: a Markdown table, and as its last line everything as JSON."""

import json
import shlex
import sys
from collections.abc import Iterable, Sequence

from quartet.bench.hardware import describe


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def last_line(facts: dict[str, object]) -> None:
    print(json.dumps({"command": shlex.join(["python", *sys.argv]), "machine": describe(), **facts}))
