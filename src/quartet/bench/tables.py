"""A ranking as tables: for the terminal, Markdown, CSV and JSON, all from the same columns."""

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from quartet.bench.rows import Ranking, Row, Text, of_pair

WORST = 5  # sentences that are shown side by side


@dataclass(frozen=True)
class Column:
    """A column: its heading, what it says of a row to people, and the number or word behind that."""

    name: str
    about: str
    shown: Callable[[Row], str]
    value: Callable[[Row], float | str | None]


def _number(name: str, about: str, value: Callable[[Row], float | None], digits: int, unit: str = "") -> Column:
    def shown(row: Row) -> str:
        found = value(row)
        return "" if found is None else f"{found:,.{digits}f}{unit}"

    return Column(name, about, shown, value)


def _word(name: str, about: str, value: Callable[[Row], str]) -> Column:
    return Column(name, about, value, value)


COLUMNS = (
    _number("rank", "shared by those that cannot be told apart", lambda row: row.rank, 0),
    _word("model", "", lambda row: row.model),
    _word("precision", "of the weights", lambda row: row.precision),
    _word("program", "what runs it", lambda row: row.engine),
    Column(
        "chrF++",
        "with half the width of its 95 % interval",
        lambda row: f"{row.quality.chrf:.1f} ±{(row.quality.high - row.quality.low) / 2:.1f}",
        lambda row: row.quality.chrf,
    ),
    _number("BLEU", "", lambda row: row.quality.bleu, 1),
    _number("spBLEU", "BLEU on the pieces of FLORES-200's tokeniser", lambda row: row.quality.spbleu, 1),
    _number("COMET", "wmt22-comet-da", lambda row: row.quality.comet, 4),
    Column(
        "loss",
        "chrF++ less that of quartet in float32; * where the 95 % interval is without 0",
        lambda row: _loss(row),  # noqa: PLW0108 - it is defined below
        lambda row: row.loss[0] if row.loss else None,
    ),
    _number("RAM", "largest resident memory", lambda row: row.cost.peak, 0, " MB"),
    _number("private", "memory that no file backs, at the end", lambda row: row.cost.private, 0, " MB"),
    _number("disk", "of the model", lambda row: row.cost.disk, 0, " MB"),
    _number("load", "without the imports before", lambda row: row.cost.load, 2, " s"),
    _number("first token", "from the text's ids on", lambda row: row.cost.first_token * 1e3, 0, " ms"),
    _number("tokens/s", "new ones, one sentence at a time", lambda row: row.cost.tokens, 0),
    _number("sentences/s", "one at a time", lambda row: row.cost.sentences, 1),
    _number("batch tokens/s", "the same in batches", lambda row: row.cost.batch_tokens, 0),
    _number("batch sentences/s", "the same in batches", lambda row: row.cost.batch_sentences, 1),
    Column(
        "faults",
        "sentences with loops, nothing, another script, another language",
        lambda row: _faults(row),  # noqa: PLW0108 - as above
        lambda row: row.faults.count,
    ),
)


def shown_columns(rows: Sequence[Row]) -> list[Column]:
    """The columns that say something of any of the rows."""
    return [column for column in COLUMNS if any(column.value(row) is not None for row in rows)]


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """The table with its head."""
    columns = shown_columns(rows)
    return [[column.name for column in columns], *([column.shown(row) for column in columns] for row in rows)]


def as_markdown(ranking: Ranking) -> str:
    """Everything that a reader needs to judge the numbers, and the worst sentences."""
    lines = ["# Ranking", "", *conditions(ranking), ""]
    for text, choice in zip(ranking.texts, ranking.choices, strict=True):
        rows = of_pair(ranking.rows, text.pair)
        lines += [f"## {text.pair}", "", f"{len(text.sources)} sentences: {text.name}.", ""]
        if rows:
            head, *body = cells(rows)
            lines += [_line(head), "|" + "---|" * len(head), *map(_line, body), ""]
            lines += [f"**Take {choice.name}**: {choice.why}." if choice.name else f"No choice: {choice.why}.", ""]
        lines += [f"{name}: `{signature}`" + "  " for name, signature in text.signatures.items()]
        lines += ["", *_worst_lines(text, rows)]
    lines += ["What the columns say: " + "; ".join(f"{c.name}: {c.about}" for c in COLUMNS if c.about) + ".", ""]
    if ranking.skipped:
        lines += ["Left out:", "", *(f"- {line}" for line in ranking.skipped), ""]
    return "\n".join(lines)


def conditions(ranking: Ranking) -> list[str]:
    """The machine and the settings, in sentences."""
    versions = {name: number for row in ranking.rows for name, number in row.versions.items()}
    machine = ranking.machine | versions
    settings = ranking.settings
    search = "greedy" if settings.beam_size == 1 else f"beam {settings.beam_size}"
    return [
        ", ".join(f"{name} {number}" for name, number in machine.items() if name not in ("cpu", "memory", "system")),
        f"{machine['cpu']}, {machine['memory']}, {machine['system']}; {settings.threads} threads, {search}, batches of "
        f"{settings.batch_size}, {settings.timed} sentences one at a time. Each row is a process of its own; all get "
        "the ids of quartet's tokeniser, so tokenising is in no time.",
    ]


def as_csv(ranking: Ranking) -> str:
    """One line per row, with numbers alone."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    columns = shown_columns(ranking.rows)
    table.writerow(["pair", *(column.name for column in columns)])
    for row in ranking.rows:
        table.writerow([row.pair, *("" if (v := column.value(row)) is None else v for column in columns)])
    return out.getvalue()


def as_json(ranking: Ranking) -> str:
    """All that was found, the translations too."""
    return json.dumps(dataclasses.asdict(ranking), ensure_ascii=False, indent=1)


def worst(text: Text, rows: Sequence[Row], count: int = WORST) -> Iterator[tuple[str, str, list[tuple[Row, str]]]]:
    """Source, reference and every row's translation of the sentences that the best row translates worst."""
    if rows:
        places = sorted(range(len(text.sources)), key=lambda i: rows[0].by_sentence[i])[:count]
        for i in places:
            yield text.sources[i], text.references[i], [(row, row.hypotheses[i]) for row in rows]


def _worst_lines(text: Text, rows: Sequence[Row]) -> Iterator[str]:
    for source, reference, found in worst(text, rows):
        yield f"- {source}  \n  *{reference}*"
        yield from (f"  - {row.name}: {_one_line(hypothesis)}" for row, hypothesis in found)
    yield ""


def _loss(row: Row) -> str:
    if row.loss is None:
        return ""
    change, low, high = row.loss
    return f"{change:+.2f}{'*' if low > 0 or high < 0 else ''}"


def _faults(row: Row) -> str:
    """`3 loops, 1 empty`, or nothing."""
    kinds = {name: len(places) for name, places in vars(row.faults).items() if places}
    return ", ".join(f"{count} {name}" for name, count in kinds.items())


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "(nothing)"
