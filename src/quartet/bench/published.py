"""Figures that others have published (`published.toml`): a list of its own, each with its source and conditions."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from quartet.text.languages import find

WORDS = ("model", "pair", "data")  # of a figure; the rest are numbers


@dataclass(frozen=True)
class Figure:
    """What one system reached on one test set, as its source says."""

    model: str
    pair: str
    data: str
    values: dict[str, float]  # by metric or unit


@dataclass(frozen=True)
class Source:
    """Where figures were read, when, and what they were measured with."""

    title: str
    url: str
    date: str  # of the figures
    read: str
    conditions: str
    figures: tuple[Figure, ...]


def published(pairs: list[tuple[str, str]] | None = None) -> list[Source]:
    """The sources with their figures, or with those of some pairs of languages only."""
    text = resources.files(__package__).joinpath("published.toml").read_text(encoding="utf-8")
    sources = []
    for entry in tomllib.loads(text)["source"]:
        figures = tuple(
            figure for figure in map(_figure, entry.pop("figures")) if pairs is None or _is_of(figure, pairs)
        )
        if figures:
            sources.append(Source(**entry, figures=figures))
    return sources


def rows_of(source: Source) -> Iterator[list[str]]:
    """The figures of a source as a table with its head."""
    units = list(dict.fromkeys(unit for figure in source.figures for unit in figure.values))
    yield [*WORDS, *units]
    for figure in source.figures:
        yield [
            figure.model,
            figure.pair,
            figure.data,
            *(f"{figure.values[u]:g}" if u in figure.values else "" for u in units),
        ]


def _figure(entry: dict[str, str | float]) -> Figure:
    words = {word: str(entry[word]) for word in WORDS}
    return Figure(**words, values={name: float(value) for name, value in entry.items() if name not in WORDS})


def _is_of(figure: Figure, pairs: list[tuple[str, str]]) -> bool:
    source, target = figure.pair.split("-")
    return any(find(a, [source]) and find(b, [target]) for a, b in pairs)
