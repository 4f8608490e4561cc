"""A ranking as one HTML file that needs nothing else: plots, tables that can be sorted, the worst sentences."""

from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from string import Template

from quartet.bench.plots import DARK, LIGHT, PLOTS, as_svg, mark, styles
from quartet.bench.rows import Choice, Ranking, Row, Text, of_pair
from quartet.bench.tables import COLUMNS, Column, conditions, shown_columns, worst

WORST = 10


def as_html(ranking: Ranking) -> str:
    """The whole file."""
    template = Template(resources.files(__package__).joinpath("html_report.html").read_text(encoding="utf-8"))
    pairs = ", ".join(text.pair for text in ranking.texts)
    title = f"Translation models for {pairs}"
    return template.substitute(
        title=escape(title),
        body="\n".join(_body(title, ranking)),
        light=_variables(LIGHT),
        dark=_variables(DARK),
    )


def _variables(colours: Sequence[str]) -> str:
    return " ".join(f"--c{i}: {colour};" for i, colour in enumerate(colours))


def _body(title: str, ranking: Ranking) -> Iterator[str]:
    yield f"<h1>{escape(title)}</h1>"
    yield from (f'<p class="small">{escape(line)}</p>' for line in conditions(ranking))
    for text, choice in zip(ranking.texts, ranking.choices, strict=True):
        yield from _section(text, choice, of_pair(ranking.rows, text.pair))
    yield "<h2>What the columns say</h2><ul>"
    yield from (f"<li>{escape(c.name)}: {escape(c.about)}</li>" for c in COLUMNS if c.about)
    yield "</ul>"
    if ranking.skipped:
        yield "<h2>Left out</h2><ul>"
        yield from (f"<li>{escape(line)}</li>" for line in ranking.skipped)
        yield "</ul>"


def _section(text: Text, choice: Choice, rows: Sequence[Row]) -> Iterator[str]:
    yield f"<section><h2>{escape(text.pair)}</h2>"
    yield f"<p>{len(text.sources)} sentences: {escape(text.name)}</p>"
    taken = f"Take <strong>{escape(choice.name)}</strong>" if choice.name else "No choice"
    yield f'<p class="choice">{taken}: {escape(choice.why)}.</p>'
    yield from _legend(rows)
    yield '<div class="plots">'
    yield from (f"<figure>{as_svg(rows, plot)}</figure>" for plot in PLOTS)
    yield '</div><p class="small">The dashed line is the frontier: nothing measured is better in both. Lines through '
    yield "points are 95 % intervals.</p>"
    yield from _table(rows, choice.name)
    signatures = "; ".join(f"{name} {signature}" for name, signature in text.signatures.items())
    yield f'<p class="small">{escape(signatures)}</p>'
    if rows:
        yield f"<details><summary>What {escape(rows[0].name)} translates worst, side by side</summary>"
        yield from _worst(text, rows)
        yield "</details>"
    yield "</section>"


def _legend(rows: Sequence[Row]) -> Iterator[str]:
    looks = styles(rows)
    yield '<ul class="legend">'
    for engine, colour in {row.engine: looks[row.name][0] for row in rows}.items():
        yield f'<li class="c{colour}">{_swatch("circle")} {escape(engine)}</li>'
    for model, shape in {row.model: looks[row.name][1] for row in rows}.items():
        yield f'<li class="shape">{_swatch(shape)} {escape(model)}</li>'
    yield "</ul>"


def _swatch(shape: str) -> str:
    return f'<svg viewBox="0 0 16 16" aria-hidden="true">{mark(shape, 8, 8)}</svg>'


def _table(rows: Sequence[Row], taken: str | None) -> Iterator[str]:
    columns = shown_columns(rows)
    yield '<div class="scroll"><table><thead><tr>'
    for column in columns:
        button = f'<button title="{escape(column.about)}">{column.name}</button>'
        yield f'<th scope="col"{_class(column, rows)}>{button}</th>'
    yield "</tr></thead><tbody>"
    for row in rows:
        yield '<tr class="taken">' if row.name == taken else "<tr>"
        for column in columns:
            value = column.value(row)
            shown = "" if value is None else escape(str(value))
            yield f'<td data-value="{shown}"{_class(column, rows)}>{escape(column.shown(row))}</td>'
        yield "</tr>"
    yield "</tbody></table></div>"


def _class(column: Column, rows: Sequence[Row]) -> str:
    return ' class="word"' if any(isinstance(column.value(row), str) for row in rows) else ""


def _worst(text: Text, rows: Sequence[Row]) -> Iterator[str]:
    for source, reference, found in worst(text, rows, WORST):
        yield f"<blockquote><p>{escape(source)}</p><dl><dt>reference</dt><dd>{escape(reference)}</dd>"
        for row, hypothesis in found:
            yield f"<dt>{escape(row.name)}</dt><dd>{escape(hypothesis) or '(nothing)'}</dd>"
        yield "</dl></blockquote>"
