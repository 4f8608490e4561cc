"""The weights of ONNX files: where each is stored, how large and precise it is, and which are stored more than once.

Data files are mapped and read in blocks, so they take no memory of their own; weights inside a graph file are in memory
as long as that graph is, and one graph is looked at after the other.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quartet.errors import CheckpointError

SMALLEST = 4096  # bytes; smaller tensors and vectors are not worth a line when stored twice
BLOCK_BYTES = 4 << 20
SAMPLES = 8  # rows and columns compared at first

_QUANTIZED_INPUT = {"MatMulNBits": 1, "GatherBlockQuantized": 0}  # where a quantised operator reads its codes

Part = Literal["embedding", "attention", "feed-forward", "other"]
PARTS: tuple[tuple[Part, str], ...] = (  # what a name tells, the first that fits
    ("other", r"norm"),
    ("attention", r"attn|[Aa]ttention"),
    ("feed-forward", r"\bfc[12]\b|DenseReluDense|feed_forward|\bw[io](_\d)?\b|\bmlp\b"),
    ("embedding", r"embed|shared|lm_head|proj_out|final_logits_bias"),
)

Bits = NDArray[np.unsignedinteger[Any]]
Place = tuple[str, int | str]  # data file and offset, or graph file and name


@dataclass(frozen=True)
class Stored:
    """One weight as stored. `precision` is its type, or what its bytes stand for where it is quantised."""

    file: str
    name: str
    shape: tuple[int, ...]
    precision: str
    bytes: int
    place: Place
    part: Part
    sample: Hashable  # equal for tensors that may have the same content, transposed or not; None: not worth comparing


@dataclass(frozen=True)
class Copy:
    """Where one of several copies is: graph file, name, shape."""

    file: str
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Repeat:
    """One content in several places. A copy whose shape is another one's backwards is its transpose."""

    bytes: int  # of one copy
    precision: str
    copies: tuple[Copy, ...]

    @property
    def wasted(self) -> int:
        """Bytes that all copies but one take."""
        return self.bytes * (len(self.copies) - 1)


def load(path: Path) -> ir.Model:
    """Read a graph. Raises `CheckpointError` where it is damaged or its data file is missing or cut short."""
    try:
        model = ir.load(path)
    except Exception as error:  # protobuf and onnx_ir raise a dozen types
        raise CheckpointError(f"{path} is no ONNX file, or a damaged one: {error}") from None
    for _, tensor in tensors(model.graph):
        if isinstance(tensor, ir.ExternalTensor):
            _check_data_file(path, tensor)
    return model


def _check_data_file(path: Path, tensor: ir.ExternalTensor) -> None:
    data = Path(tensor.path)
    if not data.is_file():
        raise CheckpointError(f"{path} keeps its weights in {tensor.location}, which is missing")
    end = (tensor.offset or 0) + tensor.nbytes
    if end > data.stat().st_size:
        raise CheckpointError(f"{data} is cut short: {tensor.name} ends at byte {end} of {data.stat().st_size}")


def tensors(graph: ir.Graph) -> Iterator[tuple[str, ir.TensorProtocol]]:
    """Every initializer and constant of a graph and of the branches inside it."""
    for name, value in graph.initializers.items():
        if value.const_value is not None:
            yield name, value.const_value
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                yield from tensors(attribute.value)
            elif node.op_type == "Constant" and attribute.type == ir.AttributeType.TENSOR:
                yield node.outputs[0].name or node.name or "", attribute.value


def stored(file: str, model: ir.Model) -> list[Stored]:
    """The weights of a graph, each place once."""
    quantized, readers = _quantized(model.graph), _readers(model.graph)
    found: dict[Place, Stored] = {}
    for name, tensor in tensors(model.graph):
        place: Place = (file, name)
        if isinstance(tensor, ir.ExternalTensor):
            place = (str(tensor.location), tensor.offset or 0)
        shape = tuple(tensor.shape.numpy())
        precision = quantized.get(name, type_name(tensor.dtype))
        part = part_of(name, readers.get(name, ""))
        entry = Stored(file, name, shape, precision, tensor.nbytes, place, part, _sample(tensor))
        found.setdefault(place, entry)
    return list(found.values())


def type_name(dtype: ir.DataType | None) -> str:
    """`float32`, `int64` and so on."""
    return "?" if dtype is None else "string" if dtype == ir.DataType.STRING else dtype.numpy().name


def part_of(name: str, reader: str) -> Part:
    """What a weight belongs to, by its name, or by that of the node that reads it where an exporter gave it none."""
    for text in (name, reader):
        for part, pattern in PARTS:
            if re.search(pattern, text):
                return part
    return "other"


def _readers(graph: ir.Graph) -> dict[str, str]:
    """The name of a node that reads a value, by the value's name."""
    return {value.name: node.name or "" for node in graph.all_nodes() for value in node.inputs if value and value.name}


def _quantized(graph: ir.Graph) -> dict[str, str]:
    """Initializers that block-quantised operators read, and what their bytes stand for."""
    found: dict[str, str] = {}
    for node in graph.all_nodes():
        place = _QUANTIZED_INPUT.get(node.op_type)
        value = node.inputs[place] if place is not None else None
        if value is not None and value.name is not None:
            bits, block = node.attributes.get_int("bits", 4), node.attributes.get_int("block_size", 128)
            found[value.name] = f"int{bits} in blocks of {block}"
    return _gathered(graph) | found


def _gathered(graph: ir.Graph) -> dict[str, str]:
    """Tables of codes [rows, blocks, bytes] whose rows are gathered and unpacked by plain operators."""
    found: dict[str, str] = {}
    for node in graph.all_nodes():
        table = node.inputs[0] if node.op_type == "Gather" else None
        if table is not None and table.name and table.dtype == ir.DataType.UINT8 and len(table.shape or ()) == 3:
            # a byte that holds two codes is made a place in a table of pairs
            halved = any(use.node.attributes.get_int("to", 0) == ir.DataType.INT32 for use in node.outputs[0].uses())
            assert table.shape is not None
            size = table.shape.numpy()[2]
            found[table.name] = f"int4 in blocks of {2 * size}" if halved else f"int8 in blocks of {size}"
    return found


# ---- the same content twice -------------------------------------------------------------------------------------


def repeats(folder: Path, weights: Iterable[Stored]) -> tuple[Repeat, ...]:
    """Weights whose content is stored more than once, most wasteful first.

    Only those whose samples agree are read in full. A copy may be transposed; a square matrix's transpose is not
    recognised.
    """
    alike = [group for group in _grouped((weight.sample, weight) for weight in weights) if group[0].sample is not None]
    suspects = [weight for group in alike for weight in group]
    digests: dict[Place, str] = {}
    for file in dict.fromkeys(weight.file for weight in suspects):
        wanted = {weight.name: weight.place for weight in suspects if weight.file == file}
        for name, tensor in tensors(load(folder / file).graph):
            if name in wanted:
                digests[wanted[name]] = _digest(tensor)
    found = _grouped(((weight.sample, digests[weight.place]), weight) for weight in suspects)
    return tuple(sorted(map(_repeat, found), key=lambda repeat: -repeat.wasted))


def _repeat(group: list[Stored]) -> Repeat:
    copies = tuple(Copy(weight.file, weight.name, weight.shape) for weight in group)
    return Repeat(group[0].bytes, group[0].precision, copies)


def _grouped(pairs: Iterable[tuple[Hashable, Stored]]) -> list[list[Stored]]:
    """Weights with the same key in different places, where there are at least two."""
    groups: dict[Hashable, dict[Place, Stored]] = defaultdict(dict)
    for key, weight in pairs:
        groups[key].setdefault(weight.place, weight)
    return [list(group.values()) for group in groups.values() if len(group) > 1]


def _sample(tensor: ir.TensorProtocol) -> Hashable:
    if tensor.nbytes < SMALLEST or len(tensor.shape) < 2:
        return None
    tall = _tall(tensor)
    rows, columns = (max(1, size // SAMPLES) for size in tall.shape)
    return tensor.dtype.name, tall.shape, tall[::rows, ::columns].tobytes()


def _digest(tensor: ir.TensorProtocol) -> str:
    """SHA-256 of the content, row by row of the tall form."""
    sha = hashlib.sha256()
    inline = None if isinstance(tensor, ir.ExternalTensor) else _tall(tensor)
    rows, columns = _tall(tensor).shape
    step = max(1, BLOCK_BYTES // (columns * 8))
    for start in range(0, rows, step):
        tall = _tall(tensor) if inline is None else inline
        sha.update(np.ascontiguousarray(tall[start : start + step]).data)
        del tall  # mapped afresh for each block: the pages that were read are given back
    return sha.hexdigest()


def _tall(tensor: ir.TensorProtocol) -> Bits:
    """The tensor's bits as a matrix with at least as many rows as columns: transposed where it has fewer."""
    matrix = _bits(tensor)
    return matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T


def _bits(tensor: ir.TensorProtocol) -> Bits:
    """The tensor as a matrix of unsigned integers; types smaller than a byte as one column of bytes."""
    size = tensor.nbytes // max(1, tensor.size)
    dtype: np.dtype[np.unsignedinteger[Any]] = np.dtype(f"u{max(1, size)}")
    rows = tensor.shape.numpy()[0] if size else tensor.nbytes
    if not isinstance(tensor, ir.ExternalTensor):
        return np.frombuffer(tensor.tobytes(), dtype).reshape(rows, -1)
    count = tensor.nbytes // dtype.itemsize
    mapped: Bits = np.memmap(tensor.path, dtype, mode="r", offset=tensor.offset or 0, shape=(count,))
    return mapped.reshape(rows, -1)
