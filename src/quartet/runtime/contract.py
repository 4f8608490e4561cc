"""Whether the files of a quartet are what its manifest says, before ONNX Runtime is given them.

An ONNX file is a protocol buffer (`onnx.proto`). Only its inputs, outputs and the places of its weights are read: that
takes milliseconds, while the `onnx` package takes longer to import than a model to open. Nodes are for ONNX Runtime.

Shapes: as in docs/run-anywhere.md; a dimension that is open is None.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from quartet.errors import ManifestError
from quartet.json_schema import shown
from quartet.protobuf_wire import VARINT, plain_fields, read_varint
from quartet.spec import (
    CACHE_INITIALIZER,
    DECODER,
    ENCODER,
    KEY_AND_VALUE,
    LM_HEAD,
    MANIFEST_NAME,
    Manifest,
    Part,
    past_name,
    present_name,
)

# fields of the messages, by number
_GRAPH = 7  # of the model
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12  # of a graph
_DIMS, _NAME, _EXTERNAL = 1, 8, 13  # of a tensor
_KEY, _VALUE = 1, 2  # of an entry of `external_data`
_VALUE_NAME, _TYPE, _TENSOR_TYPE, _SHAPE, _DIM, _DIM_VALUE = 1, 2, 1, 2, 1, 1  # from a value to its dimensions
_LOCATION = b"location"
LARGEST_GRAPH = 512 << 20  # bytes; weights are in data files

Dims = tuple[int | None, ...]


@dataclass(frozen=True)
class Weight:
    """An initializer: its dimensions, and where its bytes lie if not in the graph's own file."""

    name: str
    dims: tuple[int, ...]
    place: Mapping[bytes, bytes]  # location, offset, length; empty for one inside


@dataclass(frozen=True)
class GraphFile:
    """What an ONNX file says of itself."""

    inputs: Mapping[str, Dims]
    outputs: Mapping[str, Dims]
    weights: tuple[Weight, ...]


def check_graphs(folder: Path, manifest: Manifest) -> None:
    """Raise `ManifestError` where a file that is run is no graph, or another one than the manifest says.

    Its data files are among the manifest's files, and hold all bytes of its weights.
    """
    for name in (ENCODER, CACHE_INITIALIZER, DECODER, LM_HEAD):
        path = folder / f"{name}.onnx"
        if path.name not in manifest.files:
            raise ManifestError(
                f"{folder / MANIFEST_NAME}: field files.{path.name} is missing; convert the model again"
            )
        graph = read_graph_file(path)
        for weight in graph.weights:
            if weight.place and (fault := _fault_of_place(weight, manifest)):
                raise ManifestError(f"{path}: {weight.name} {fault}; convert the model again")
        for values, expected in ((graph.inputs, _inputs(name, manifest)), (graph.outputs, _outputs(name, manifest))):
            for value, dims in expected.items():
                if not _agrees(values.get(value), dims):
                    raise ManifestError(
                        f"{path}: {value} has the shape {_shown(values.get(value))}, by the manifest "
                        f"{_shown(dims)}; convert the model again"
                    )
        if (fault := _fault_of_rows(graph, name, manifest)) is not None:
            raise ManifestError(f"{path}: {fault}; convert the model again")


def read_graph_file(path: Path) -> GraphFile:
    """The inputs, outputs and weights of an ONNX file. Raises `ManifestError` where it is none."""
    try:
        if path.stat().st_size > LARGEST_GRAPH:
            raise ValueError(f"it has more than {LARGEST_GRAPH} bytes")
        data = path.read_bytes()
        graphs = [(value, end) for number, _, _, value, end in plain_fields(data, 0, len(data)) if number == _GRAPH]
        if len(graphs) != 1:
            raise ValueError("it has no graph")
        graph = _graph(data, *graphs[0])
        # weights of branches and constants are not looked at: they have to be in the file
        if data.count(_LOCATION) != sum(_LOCATION in weight.place for weight in graph.weights):
            raise ValueError("weights inside of nodes lie in other files")
    except (ValueError, IndexError, OSError) as error:
        raise ManifestError(f"{path} is damaged, or no ONNX file: {error}; convert the model again") from None
    return graph


# ---- reading --------------------------------------------------------------------------------------------------------


def _graph(data: bytes, start: int, end: int) -> GraphFile:
    inputs: dict[str, Dims] = {}
    outputs: dict[str, Dims] = {}
    weights: list[Weight] = []
    for number, _, _, value, stop in plain_fields(data, start, end):
        if number == _INITIALIZER:
            weights.append(_weight(data, value, stop))
        elif number in (_INPUT, _OUTPUT):
            name, dims = _value(data, value, stop)
            (inputs if number == _INPUT else outputs)[name] = dims
    return GraphFile(inputs, outputs, tuple(weights))


def _weight(data: bytes, start: int, end: int) -> Weight:
    name, dims, place = "", [], {}
    for number, wire_type, _, value, stop in plain_fields(data, start, end):
        if number == _EXTERNAL:
            entry = {key: data[first:last] for key, _, _, first, last in plain_fields(data, value, stop)}
            place[entry.get(_KEY, b"")] = entry.get(_VALUE, b"")
        elif number == _NAME:
            name = data[value:stop].decode("utf-8", "replace")
        elif number == _DIMS and wire_type == VARINT:
            dims.append(read_varint(data, value, stop)[0])
        elif number == _DIMS:
            dims += _numbers(data, value, stop)
    return Weight(name, tuple(dims), place)


def _numbers(data: bytes, at: int, end: int) -> Iterator[int]:
    while at < end:
        number, at = read_varint(data, at, end)
        yield number


def _value(data: bytes, start: int, end: int) -> tuple[str, Dims]:
    """Name and dimensions of an input or output."""
    name = _inside(data, start, end, _VALUE_NAME)
    shape = _inside(data, *_inside(data, *_inside(data, start, end, _TYPE), _TENSOR_TYPE), _SHAPE)
    dims = (_dim(data, value, stop) for number, _, _, value, stop in plain_fields(data, *shape) if number == _DIM)
    return data[slice(*name)].decode("utf-8", "replace"), tuple(dims)


def _inside(data: bytes, start: int, end: int, number: int) -> tuple[int, int]:
    """Where the field of a number lies in a message; nowhere (0, 0) where there is none."""
    found = ((value, stop) for key, _, _, value, stop in plain_fields(data, start, end) if key == number)
    return next(found, (0, 0))


def _dim(data: bytes, start: int, end: int) -> int | None:
    for number, wire_type, _, value, stop in plain_fields(data, start, end):
        if number == _DIM_VALUE and wire_type == VARINT:
            return read_varint(data, value, stop)[0]
    return None


# ---- what is expected -----------------------------------------------------------------------------------------------


def _inputs(file: str, manifest: Manifest) -> dict[str, Dims]:
    shapes, speech = manifest.shapes, manifest.speech
    d, heads, size = shapes.d_model, shapes.decoder_heads, shapes.head_size
    if file == ENCODER:
        return (
            {"embed_matrix": (None, None, d)} if speech is None else {"input_features": (None, speech.mel_bins, None)}
        )
    if file == CACHE_INITIALIZER:
        return {"encoder_hidden_states": (None, None, d)}
    if file == LM_HEAD:
        return {"pre_logits": (None, 1, d)}
    layers = {
        past_name(layer, part, what): (None, heads, None, size)
        for layer in range(shapes.decoder_layers)
        for part in ("decoder", "encoder")
        for what in KEY_AND_VALUE
    }
    return {"embed_matrix": (None, None, d), **layers}


def _outputs(file: str, manifest: Manifest) -> dict[str, Dims]:
    shapes = manifest.shapes
    d, heads, size = shapes.d_model, shapes.decoder_heads, shapes.head_size
    if file == ENCODER:
        return {"last_hidden_state": (None, None, d)}
    if file == LM_HEAD:
        return {"logits": (None, 1, shapes.vocab_size)}
    part: Part = "encoder" if file == CACHE_INITIALIZER else "decoder"
    presents: dict[str, Dims] = {
        present_name(layer, part, what): (None, heads, None, size)
        for layer in range(shapes.decoder_layers)
        for what in KEY_AND_VALUE
    }
    return presents if file == CACHE_INITIALIZER else {"pre_logits": (None, None, d), **presents}


def _agrees(found: Dims | None, expected: Dims) -> bool:
    if found is None or len(found) != len(expected):
        return False
    return all(dim is None or dim == other for dim, other in zip(expected, found, strict=True))


def _shown(dims: Dims | None) -> str:
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in dims) + "]" if dims is not None else "nothing"


def _fault_of_place(weight: Weight, manifest: Manifest) -> str | None:
    place = weight.place
    entry = manifest.files.get(place.get(_LOCATION, b"").decode("utf-8", "replace"))
    if entry is None:
        return "lies in a file that the manifest does not name"
    offset, length = (place.get(key, b"0") for key in (b"offset", b"length"))
    if not (offset.isdigit() and length.isdigit() and max(len(offset), len(length)) < 20):
        return "lies at a place that is no number"
    end = int(offset) + int(length)
    return f"ends at byte {end} of {entry.bytes} of its data file" if end > entry.bytes else None


def _fault_of_rows(graph: GraphFile, file: str, manifest: Manifest) -> str | None:
    """Tables of the graph have a row for each id or position that it is asked for."""
    shapes = manifest.shapes
    rows = {weight.name: weight.dims[0] for weight in graph.weights if weight.dims}
    if file == ENCODER:
        own = rows.get("/encoder/embed_tokens.weight", rows.get("/encoder/embed_tokens.weight.codes"))
        if own != shapes.source_vocab_size:
            found = f"an embedding of {own} rows" if own else "no embedding of its own"
            return f"it has {found}, shapes.source_vocab_size is {shown(shapes.source_vocab_size)}"
    positions = rows.get(f"/{file}/embed_positions.weight")
    needed = shapes.max_target_length
    if file == ENCODER:
        needed = manifest.speech.window_frames // 2 if manifest.speech else shapes.max_source_length
    if positions is not None and positions < needed:
        return f"it has {positions} positions, the manifest asks for {needed}"
    return None
