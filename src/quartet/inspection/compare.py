"""Two inspections side by side, 80 columns wide where names allow it."""

from collections.abc import Iterator
from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from quartet.inspection.account import cache_of
from quartet.inspection.folder import Graph, Inspection
from quartet.inspection.meanings import kind_of
from quartet.inspection.page import megabytes, release, runtime_of

Row = tuple[str, str, str]


def render_both(left: Inspection, right: Inspection) -> RenderableType:
    """A table: a fact per line, with the value of each folder; what differs is bold."""
    sections = [list(_facts(left, right)), list(_parts(left, right)), list(_files(left, right))]
    widths = [max(len(row[i]) for rows in sections for row in rows) for i in (0, 1)]
    lines: list[RenderableType] = []
    for rows in sections:
        lines += [_line(row, widths) for row in rows] + [Text()]
    return Group(*lines[:-1])


def _line(row: Row, widths: list[int]) -> Text:
    label, left, right = row
    style = "bold" if left != right else ""
    line = Text.assemble((f"{label:<{widths[0]}}  ", "dim"), (f"{left:<{widths[1]}}  ", style), (right, style))
    line.rstrip()
    return line


def _facts(left: Inspection, right: Inspection) -> Iterator[Row]:
    both = (left, right)
    yield "folder", left.folder, right.folder
    yield _row("model", [i.manifest.name if i.manifest else "" for i in both])
    yield _row("precision", [i.manifest.precision if i.manifest else "" for i in both])
    yield _row("layout", [i.manifest.layout if i.manifest else i.layout for i in both])
    yield _row("files", [str(len(i.graphs)) for i in both])
    yield _row("ONNX Runtime", [release(runtime_of(i)) for i in both])
    yield _row("weights", [megabytes(i.weight_bytes) for i in both])
    yield _row("stored again", [megabytes(i.wasted_bytes) for i in both])
    caches = [cache_of(inspection) for inspection in both]
    yield _row("cache per token", [megabytes(cache.per_token) if cache else "" for cache in caches])
    yield _row("... per source token", [megabytes(cache.per_source_token) if cache else "" for cache in caches])


def _row(label: str, values: list[str]) -> Row:
    return label, values[0] or "-", values[1] or "-"


def _parts(left: Inspection, right: Inspection) -> Iterator[Row]:
    for part in {**left.parts, **right.parts}:
        sizes = [(i.parts.get(part, 0), i.weight_bytes) for i in (left, right)]
        yield _row(part, [f"{megabytes(size)}, {share(size, total)}" for size, total in sizes])


def share(size: int, total: int) -> str:
    """`12 %`."""
    return f"{100 * size / total if total else 0:.0f} %"


def _files(left: Inspection, right: Inspection) -> Iterator[Row]:
    """A line for each kind of file; files of the same kind stand side by side whatever they are called."""
    found = [{key: list(group) for key, group in groupby(i.graphs, key=_kind)} for i in (left, right)]
    for kind in {**found[0], **found[1]}:
        yield _row(kind, [", ".join(map(_file, graphs.get(kind, []))) for graphs in found])


def _kind(graph: Graph) -> str:
    stem = graph.file.removesuffix(".onnx")
    return kind_of(stem) or stem


def _file(graph: Graph) -> str:
    return f"{megabytes(graph.weight_bytes)}, {graph.nodes} nodes"
