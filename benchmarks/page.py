"""Make BENCHMARKS.md of the figures in `results/` and the texts in `topics.toml`.

    python benchmarks/page.py

First the summary, whose figures are cells of the tables; then each topic that has figures, in the order of its text.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from report import RESULTS, Result, load, table

PAGE = Path(__file__).parents[1] / "BENCHMARKS.md"
TOPICS = Path(__file__).with_name("topics.toml")
SUMMARY = ("task", "what", "quartet", "ratio", "against", "machine", "date")


@dataclass(frozen=True)
class Topic:
    """A section: the name of its file in `results/`, its title, and what a reader has to know."""

    name: str
    title: str
    text: str


@dataclass(frozen=True)
class Line:
    """A line of the summary: which cell of which topic has its ratio."""

    task: str
    what: str  # is compared
    quartet: str  # which precision takes part
    against: str
    topic: str
    row: dict[str, str]  # column to cell, by which the row is found
    column: str


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page; raises `SystemExit` where texts and figures do not fit together."""
    texts = tomllib.loads(TOPICS.read_text(encoding="utf-8"))
    topics = [Topic(**topic) for topic in texts["topic"]]
    results = {file.stem: load(file) for file in sorted(RESULTS.glob("*.json"))}
    if unknown := results.keys() - {topic.name for topic in topics}:
        raise SystemExit(f"{TOPICS.name} says nothing of {', '.join(sorted(unknown))}")
    shown = [topic for topic in topics if topic.name in results]
    titles = {topic.name: topic.title for topic in shown}
    lines = [summary_row(Line(**line), results, titles) for line in texts["summary"]]
    parts = [texts["intro"].strip(), "\n".join(table(SUMMARY, lines))]
    parts += ["\n\n".join(section(topic, results[topic.name])) for topic in shown]
    return "\n\n".join(parts) + "\n"


def summary_row(line: Line, results: dict[str, Result], titles: dict[str, str]) -> list[str]:
    """The cells; raises `SystemExit` where the topic has no such figure."""
    result = results.get(line.topic)
    found = [] if result is None else [row for row in as_dicts(result) if line.row.items() <= row.items()]
    if result is None or len(found) != 1 or line.column not in found[0]:
        raise SystemExit(f"{line.topic} has no one row with {line.row} and a column {line.column!r}; see {TOPICS.name}")
    task = f"[{line.task}](#{anchor(titles[line.topic])})"
    machine = result.machine.get("cpu", "not stated")
    return [task, line.what, line.quartet, found[0][line.column], line.against, machine, result.date]


def as_dicts(result: Result) -> list[dict[str, str]]:
    """Rows by column; of columns that share a name the first one counts."""
    return [dict(reversed(list(zip(result.columns, row, strict=True)))) for row in result.rows]


def anchor(title: str) -> str:
    """The link to a heading, as GitHub makes it."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def section(topic: Topic, result: Result) -> Iterator[str]:
    """Paragraphs of a topic."""
    yield f"## {topic.title}"
    yield topic.text.strip()
    if result.command:
        yield "\n".join(f"    {line}" for line in result.command.splitlines())
    yield "\n".join(table(result.columns, result.rows))
    if result.notes:
        yield " ".join(result.notes)
    yield origin(result)


def origin(result: Result) -> str:
    """Machine, versions and date."""
    machine = ", ".join(result.machine.values())
    versions = ", ".join(f"{name} {number}" for name, number in result.versions.items())
    copied = "copied by hand" if result.transcribed else ""
    return f"{'; '.join(filter(None, (machine, versions, result.date, copied)))}."


if __name__ == "__main__":
    main()
