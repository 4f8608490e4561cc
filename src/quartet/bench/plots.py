"""Quality against memory and against speed, with the frontier: as SVG for the HTML report, and as PNG by matplotlib."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from quartet.bench.choice import frontier
from quartet.bench.rows import Row
from quartet.errors import OptionError

WIDTH, HEIGHT = 560, 400
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 50  # margins
RADIUS = 6
LETTER = 6.7  # width of a letter of a label, about
# colours of programs, for a light and a dark page; models have shapes
LIGHT = ("#2a78d6", "#d9541e", "#12855c", "#8657c7", "#b07a00")
DARK = ("#5a9ff0", "#f08654", "#3fc493", "#b493ea", "#e0b040")
SHAPES = ("circle", "square", "triangle", "diamond", "bar")
MARKERS = dict(zip(SHAPES, "os^DP", strict=True))  # matplotlib's


@dataclass(frozen=True)
class Plot:
    """What stands on the x axis; quality is on the other one."""

    name: str
    title: str
    unit: str
    value: Callable[[Row], float | None]
    cost: Callable[[Row], float]  # the less the better, for the frontier


PLOTS = (
    Plot("memory", "largest resident memory", "MB", lambda row: row.cost.peak, lambda row: row.cost.peak or math.inf),
    Plot(
        "speed", "sentences per second, one at a time", "", lambda row: row.cost.sentences, lambda r: -r.cost.sentences
    ),
)


@dataclass(frozen=True)
class _Scale:
    """From values to places: logarithmic from left to right, linear from bottom to top."""

    low: float
    high: float
    bottom: float
    top: float

    def x(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.bottom) / (self.top - self.bottom)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def styles(rows: Sequence[Row]) -> dict[str, tuple[int, str]]:
    """Number of the colour and shape of each row, by its name: programs have colours, models have shapes."""
    engines = list(dict.fromkeys(sorted((row.engine for row in rows), key=lambda engine: engine != "quartet")))
    models = list(dict.fromkeys(row.model for row in rows))
    return {
        row.name: (engines.index(row.engine) % len(LIGHT), SHAPES[models.index(row.model) % len(SHAPES)])
        for row in rows
    }


def as_svg(rows: Sequence[Row], plot: Plot) -> str:
    """The plot as an element for a page that defines `.c0` to `.c4`; nothing where no row has the value."""
    shown = [row for row in rows if plot.value(row)]
    if not shown:
        return ""
    scale = _scale_of(shown, plot)
    looks = styles(rows)
    parts = [*_axes(scale, plot), _frontier_path(shown, plot, scale)]
    taken: list[tuple[float, float, float, float]] = []
    points = [(scale.x(plot.value(row) or 1), scale.y(row.quality.chrf)) for row in shown]
    for row, (x, y) in zip(shown, points, strict=True):
        colour, shape = looks[row.name]
        low, high = (scale.y(value) for value in (row.quality.low, row.quality.high))
        about = f"{row.name}: chrF++ {row.quality.chrf:.1f}, {plot.value(row) or 0:,.1f} {plot.unit or 'sentences/s'}"
        parts.append(
            f'<g class="point c{colour}"><title>{escape(about)}</title>'
            f'<path class="interval" d="M{x:.1f} {low:.1f}V{high:.1f}"/>{mark(shape, x, y)}</g>'
        )
        taken.append((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS))
    parts += _labels(shown, points, taken)
    label = f"chrF++ against {plot.title}"
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>'
    return f"{head}{''.join(parts)}</svg>"


def as_png(rows: Sequence[Row], plot: Plot) -> bytes | None:
    """The plot as an image; None where no row has the value. Raises `OptionError` without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - of the extra `rank`
    except ImportError:
        raise OptionError("plots as images need matplotlib: pip install 'quartet-onnx[rank]'") from None
    shown = [row for row in rows if plot.value(row)]
    if not shown:
        return None
    figure: Any = Figure(figsize=(7, 4.6), dpi=160, layout="constrained")
    axes = figure.subplots()
    best = frontier(shown, plot.cost)
    axes.plot(*_steps(best, plot), color="#888888", linewidth=1.5, linestyle="--", zorder=1)
    looks = styles(rows)
    for row in shown:
        colour, shape = looks[row.name]
        x, quality = plot.value(row), row.quality
        bars = [[quality.chrf - quality.low], [quality.high - quality.chrf]]
        look: dict[str, Any] = {"color": LIGHT[colour], "marker": MARKERS[shape], "linestyle": ""}
        axes.errorbar(x, quality.chrf, yerr=bars, elinewidth=0.8, label=f"{row.model}, {row.engine}", **look)
        axes.annotate(row.precision, (x, quality.chrf), xytext=(5, 5), textcoords="offset points", fontsize=7)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one for each model and program
    axes.legend(handles.values(), handles.keys(), fontsize=7, loc="best")
    axes.set_xscale("log")
    scale = _scale_of(shown, plot)
    axes.set_xlim(scale.low, scale.high)
    ticks = _round_logs(scale.low, scale.high)
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(f"{plot.title}{f' ({plot.unit})' if plot.unit else ''}")
    axes.set_ylabel("chrF++")
    axes.grid(alpha=0.25)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _scale_of(rows: Sequence[Row], plot: Plot) -> _Scale:
    values = [plot.value(row) or 1 for row in rows]
    bottom, top = min(row.quality.low for row in rows), max(row.quality.high for row in rows)
    room = max(1.0, (top - bottom) * 0.08)
    return _Scale(min(values) / 1.35, max(values) * 1.35, max(0.0, bottom - room), min(100.0, top + room))


def _axes(scale: _Scale, plot: Plot) -> Iterator[str]:
    right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
    for value in _round_values(scale.bottom, scale.top):
        y = scale.y(value)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    for value in _round_logs(scale.low, scale.high):
        x = scale.x(value)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{floor}"/>'
        yield f'<text x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{value:,g}</text>'
    unit = f" ({plot.unit})" if plot.unit else ""
    yield f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{plot.title}{unit}</text>'
    yield f'<text x="14" y="{(TOP + floor) / 2}" text-anchor="middle" transform="rotate(-90 14 {(TOP + floor) / 2})">'
    yield "chrF++</text>"


def _frontier_path(rows: Sequence[Row], plot: Plot, scale: _Scale) -> str:
    xs, ys = _steps(frontier(rows, plot.cost), plot)
    points = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in zip(xs, ys, strict=True))
    return f'<polyline class="frontier" points="{points}"/>'


def _steps(best: Sequence[Row], plot: Plot) -> tuple[list[float], list[float]]:
    """Corners of the line through the frontier: what can be had up to a cost, so it changes at the next row only."""
    points = [(plot.value(row) or 1, row.quality.chrf) for row in best]
    corners = [corner for (_, y), (next_x, next_y) in pairwise(points) for corner in ((next_x, y), (next_x, next_y))]
    whole = [*points[:1], *corners]
    return [x for x, _ in whole], [y for _, y in whole]


def mark(shape: str, x: float, y: float) -> str:
    """A point of a plot as an element."""
    r = RADIUS
    paths = {
        "square": f"M{x - r + 1:.1f} {y - r + 1:.1f}h{2 * r - 2}v{2 * r - 2}h{2 - 2 * r}z",
        "triangle": f"M{x:.1f} {y - r - 1:.1f}l{r + 1} {2 * r}h{-2 * r - 2}z",
        "diamond": f"M{x:.1f} {y - r - 1:.1f}l{r + 1} {r + 1}l{-r - 1} {r + 1}l{-r - 1} {-r - 1}z",
        "bar": f"M{x - r:.1f} {y - 2.5:.1f}h{2 * r}v5h{-2 * r}z",
    }
    if shape in paths:
        return f'<path class="mark" d="{paths[shape]}"/>'
    return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'


def _labels(
    rows: Sequence[Row],
    points: Sequence[tuple[float, float]],
    taken: list[tuple[float, float, float, float]],
) -> Iterator[str]:
    """Precisions beside the points where there is room; all points say what they are when pointed at."""
    for row, (x, y) in zip(rows, points, strict=True):
        width = LETTER * len(row.precision)
        for left, base in ((x + 10, y + 4), (x - 10 - width, y + 4), (x - width / 2, y - 11), (x - width / 2, y + 20)):
            box = (left, base - 11, left + width, base + 3)
            inside = box[0] >= LEFT and box[2] <= WIDTH - 2 and box[1] >= 0 and box[3] <= HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                yield f'<text class="name" x="{left:.1f}" y="{base:.1f}">{escape(row.precision)}</text>'
                break


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _round_values(low: float, high: float) -> list[float]:
    step = next(step for step in (0.5, 1, 2, 5, 10, 20, 50) if (high - low) / step <= 8)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _round_logs(low: float, high: float) -> list[float]:
    """1, 2, 5 of each power of ten; the ones alone where that is too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [digit * 10.0**power for power in powers for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]
    return found if len(found) <= 8 else [value for value in found if round(math.log10(value), 6).is_integer()]
