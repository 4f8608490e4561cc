"""Look into a folder of ONNX files: a quartet, an export by Optimum, or others."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from quartet.errors import ManifestError, ModelNotFoundError
from quartet.inspection.meanings import ROLES, Layout, cut_of, kind_of, layout_of, meaning, role_of
from quartet.inspection.runtime import Release, oldest_runtime, pads_wrongly_before
from quartet.inspection.weights import Part, Repeat, Stored, load, repeats, stored, type_name
from quartet.spec import MANIFEST_NAME, Manifest

_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class Variable:
    """An input or output of a graph, or a family of them that differ only in the number of their layer.

    A family is named `past_key_values.{0..5}.decoder.key`. Dimensions of `shape` are numbers or names.
    """

    name: str
    count: int
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str


@dataclass(frozen=True)
class Graph:
    """One ONNX file. Nodes are counted with those inside of branches."""

    file: str
    role: str
    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    nodes: int
    opset: int
    ir_version: int
    weight_bytes: int
    precision: dict[str, int]  # bytes by type, most first
    data_files: tuple[str, ...]  # where the weights lie; empty where they are inside the file
    oldest_runtime: Release | None  # of ONNX Runtime, as major and minor number; None: not known
    pads_from: Release | None  # from which on a batch may be padded; None: from the oldest on


@dataclass(frozen=True)
class Inspection:
    """What is in a folder. `dataclasses.asdict` makes JSON of it."""

    folder: str
    layout: Layout
    manifest: Manifest | None  # only a quartet has one
    graphs: tuple[Graph, ...]
    weight_bytes: int
    wasted_bytes: int  # of these, how many hold what is stored elsewhere already
    repeats: tuple[Repeat, ...]
    parts: dict[Part, int]  # bytes by what they are part of


def inspect_folder(folder: Path) -> Inspection:
    """Look into a folder, or the folder `onnx` inside it.

    Raises `ModelNotFoundError` (no such folder), `ManifestError` (no ONNX files in it, or a damaged manifest),
    `CheckpointError` (a damaged ONNX file, or one whose data file is missing).
    """
    if not folder.is_dir():
        raise ModelNotFoundError(f"{folder}: no such folder; name a quartet or a folder that Optimum exported")
    manifest = Manifest.load(folder) if (folder / MANIFEST_NAME).exists() else None
    files = _files(folder)
    weights: list[Stored] = []
    graphs = []
    for path in files:
        model = load(path)
        found = stored(path.name, model)
        graphs.append(_graph(path, model, found))
        weights += found
    repeated = repeats(files[0].parent, weights)
    kinds = {kind for path in files if (kind := kind_of(path.stem))}
    places = {weight.place: weight for weight in weights}
    parts: Counter[Part] = Counter()
    for weight in places.values():
        parts[weight.part] += weight.bytes
    return Inspection(
        folder=str(folder),
        layout="quartet" if manifest else layout_of(kinds),
        manifest=manifest,
        graphs=tuple(graphs),
        weight_bytes=parts.total(),
        wasted_bytes=sum(repeat.wasted for repeat in repeated),
        repeats=repeated,
        parts=dict(parts.most_common()),
    )


def _files(folder: Path) -> list[Path]:
    """The ONNX files in the order in which data passes them."""
    order = {kind: i for i, kind in enumerate(ROLES)}
    files = [*folder.glob("*.onnx")] or [*folder.glob("onnx/*.onnx")]
    if not files:
        raise ManifestError(f"{folder} has no ONNX files: name a quartet or a folder that Optimum exported")
    return sorted(files, key=lambda path: (order.get(kind_of(path.stem) or "", len(order)), path.name))


def _graph(path: Path, model: ir.Model, weights: list[Stored]) -> Graph:
    names = {value.name or "" for value in (*model.graph.inputs, *model.graph.outputs)}
    kind = cut_of(kind_of(path.stem), names)
    precision: Counter[str] = Counter()
    for weight in weights:
        precision[weight.precision] += weight.bytes
    data_files = {str(weight.place[0]): None for weight in weights if isinstance(weight.place[1], int)}
    return Graph(
        file=path.name,
        role=role_of(kind),
        inputs=_variables(kind, model.graph.inputs),
        outputs=_variables(kind, model.graph.outputs),
        nodes=sum(1 for _ in model.graph.all_nodes()),
        opset=model.opset_imports.get("", 0),
        ir_version=model.ir_version,
        weight_bytes=precision.total(),
        precision=dict(precision.most_common()),
        data_files=tuple(data_files),
        oldest_runtime=oldest_runtime(model),
        pads_from=pads_wrongly_before(model),
    )


def _variables(kind: str | None, values: Iterable[ir.Value]) -> tuple[Variable, ...]:
    """One entry per variable, or per family of them with the same type and shape."""
    families: dict[tuple[str, str, tuple[int | str, ...]], list[str]] = defaultdict(list)
    for value in values:
        name = value.name or ""
        key = (_LAYER.sub("{i}", name, count=1), type_name(value.dtype), _shape(value))
        families[key].append(name)
    return tuple(
        Variable(_family_name(pattern, names), len(names), dtype, shape, meaning(kind, pattern))
        for (pattern, dtype, shape), names in families.items()
    )


def _family_name(pattern: str, names: list[str]) -> str:
    """`present.{0..5}.encoder.key`; with gaps `{0,2,5}`; the name itself where there is one only."""
    if len(names) == 1:
        return names[0]
    layers = sorted(int(match[0]) for name in names if (match := _LAYER.search(name)))
    first, last = layers[0], layers[-1]
    whole = layers == list(range(first, last + 1))
    return pattern.replace("{i}", f"{{{first}..{last}}}" if whole else "{" + ",".join(map(str, layers)) + "}")


def _shape(value: ir.Value) -> tuple[int | str, ...]:
    dims = value.shape if value.shape is not None else ()
    return tuple(dim if isinstance(dim, int) else str(dim.value or "?") for dim in dims)
