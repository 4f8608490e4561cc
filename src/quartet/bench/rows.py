"""What a ranking consists of: one row per model, precision, program and pair of languages."""

from dataclasses import dataclass

from quartet.bench.faults import Faults
from quartet.bench.measure import Cost, Settings
from quartet.bench.quality import Quality


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    pair: str
    model: str
    engine: str  # what runs it
    precision: str
    rank: int
    quality: Quality
    cost: Cost
    faults: Faults
    loss: tuple[float, float, float] | None  # chrF++ less that of quartet in float32, and where 95 % of the draws are
    by_sentence: tuple[float, ...]  # chrF++
    hypotheses: tuple[str, ...]
    versions: dict[str, str]

    @property
    def name(self) -> str:
        """`opus-mt-en-fr int8, ctranslate2`."""
        return f"{self.model} {self.precision}" + ("" if self.engine == "quartet" else f", {self.engine}")


@dataclass(frozen=True)
class Choice:
    """The row to take, and why."""

    pair: str
    name: str | None  # None: no row is within the limits
    why: str


@dataclass(frozen=True)
class Text:
    """A test set, as far as a report shows it."""

    pair: str
    name: str
    target: str
    sources: tuple[str, ...]
    references: tuple[str, ...]
    signatures: dict[str, str]


@dataclass(frozen=True)
class Ranking:
    """Everything that was found."""

    machine: dict[str, str]
    settings: Settings
    texts: tuple[Text, ...]  # one for each pair
    rows: tuple[Row, ...]  # by pair, the best first
    choices: tuple[Choice, ...]
    skipped: tuple[str, ...]  # what could not be measured, and why


def of_pair(rows: tuple[Row, ...], pair: str) -> list[Row]:
    """The rows of one pair of languages."""
    return [row for row in rows if row.pair == pair]
