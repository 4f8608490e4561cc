"""A thin layer over `onnx_ir` to write a graph node by node.

Weights are only named here (`Weight`: which checkpoint tensors, stored how); their bytes are streamed to the data
file later, by `graph.writer`. So building a graph costs no memory, and the list of weights of a graph is the list
of tensors that a checkpoint has to have.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from quartet.quantize.numerics import Scheme
from quartet.quantize.recipes import Recipe

OPSET = 20  # at most 21, and IR at most 10, so that mobile and web builds of ONNX Runtime load the files
IR_VERSION = 9
MICROSOFT = "com.microsoft"

Dim = int | str


@dataclass(frozen=True)
class Initializer:
    """A tensor of the graph as it is stored."""

    name: str
    dtype: ir.DataType
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes in the data file."""
        return math.prod(self.shape) * self.dtype.itemsize  # type: ignore[return-value]


@dataclass(frozen=True)
class Weight:
    """Initializers whose bytes come from the checkpoint.

    `sources` are canonical tensor names, all of shape `source_shape` (each), put under each other along the first
    axis. With `transposed` the result, a matrix [out, in], is stored as [in, out], as `MatMul` wants it. With a
    `scheme` it is stored as codes, scales and perhaps zero points, as `MatMulNBits` wants them.
    """

    name: str
    sources: tuple[str, ...]
    source_shape: tuple[int, ...]
    transposed: bool = False
    scheme: Scheme | None = None

    @property
    def parts(self) -> dict[str, Initializer]:
        """What is stored, by the names of `StoredWeight`."""
        if self.scheme is None:
            return {"codes": Initializer(self.name, ir.DataType.FLOAT, self._shape())}
        bits, size = self.scheme.code_bits, self.scheme.block_size
        rows, blocks = len(self.sources) * self.source_shape[0], self.scheme.blocks(self.source_shape[1])
        packed = (rows, blocks, size * bits // 8)
        stored = {"codes": (ir.DataType.UINT8, packed), "scales": (ir.DataType.FLOAT, (rows, blocks))}
        if not self.scheme.symmetric:
            stored["zero_points"] = ir.DataType.UINT8, (rows, -(-blocks * bits // 8))
        if self.scheme.planes:
            stored["residual"] = ir.DataType.UINT8, packed
        if self.scheme.scaled_columns:
            stored["column_scales"] = ir.DataType.FLOAT, self.source_shape[1:]
        return {part: Initializer(f"{self.name}.{part}", *what) for part, what in stored.items()}

    @property
    def initializers(self) -> tuple[Initializer, ...]:
        """What is stored, in the order of the data file."""
        return tuple(self.parts.values())

    def _shape(self) -> tuple[int, ...]:
        """A leading axis of one (Marian's `final_logits_bias` [1, v]) is dropped."""
        if len(self.source_shape) == 2 and self.source_shape[0] == 1 and len(self.sources) == 1:
            return self.source_shape[1:]
        shape = (len(self.sources) * self.source_shape[0], *self.source_shape[1:])
        return shape[::-1] if self.transposed else shape

    @property
    def nbytes(self) -> int:
        """Bytes in the data file."""
        return sum(initializer.nbytes for initializer in self.initializers)


@dataclass(frozen=True)
class StoredWeight:
    """The values in a graph that hold a weight: in float32 `codes` alone, which are the weight itself."""

    codes: ir.Value
    scales: ir.Value | None = None
    zero_points: ir.Value | None = None
    residual: ir.Value | None = None  # the fine one of two planes
    column_scales: ir.Value | None = None  # what columns were divided by


class Builder:
    """The nodes, inputs, outputs and weights of one graph while it is being written."""

    def __init__(self, name: str, recipe: Recipe) -> None:
        self.name, self.recipe = name, recipe
        self.inputs: list[ir.Value] = []
        self.outputs: list[ir.Value] = []
        self.nodes: list[ir.Node] = []
        self.initializers: dict[str, ir.Value] = {}
        self.weights: dict[str, Weight] = {}
        self.borrowings: dict[str, tuple[str, int]] = {}  # initializer -> one of another graph, and bytes into it

    def input(self, name: str, dtype: ir.DataType, shape: Sequence[Dim]) -> ir.Value:
        """Declare an input of the graph."""
        value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
        self.inputs.append(value)
        return value

    def output(self, value: ir.Value, name: str, dtype: ir.DataType, shape: Sequence[Dim]) -> None:
        """Declare an output of the graph; the value gets the name."""
        value.name, value.shape, value.type = name, ir.Shape(shape), ir.TensorType(dtype)
        self.outputs.append(value)

    def weight(self, weight: Weight) -> ir.Value:
        """An initializer in float32 that the writer fills from the checkpoint."""
        return self.stored(weight).codes

    def stored(self, weight: Weight) -> StoredWeight:
        """The initializers of a weight, which the writer fills from the checkpoint."""
        self.weights[weight.name] = weight
        return StoredWeight(**{part: self._initializer(i.name, i.dtype, i.shape) for part, i in weight.parts.items()})

    def borrowed(self, weight: Weight, start: int, stop: int) -> StoredWeight:
        """Initializers over rows `start` to `stop` of a weight that another graph stores."""
        rows = dict.fromkeys(weight.parts, (start, stop)) | {"column_scales": (0, weight.source_shape[-1])}
        return StoredWeight(**{part: self._borrow(i, *rows[part]) for part, i in weight.parts.items()})

    def _borrow(self, initializer: Initializer, start: int, stop: int) -> ir.Value:
        name = f"{initializer.name}.{start}"
        row_bytes = int(initializer.nbytes) // initializer.shape[0]
        self.borrowings[name] = (initializer.name, start * row_bytes)
        return self._initializer(name, initializer.dtype, (stop - start, *initializer.shape[1:]))

    def constant(self, name: str, array: np.ndarray | np.generic) -> ir.Value:
        """A small initializer that lives inside the graph file."""
        if name not in self.initializers:
            tensor = ir.tensor(np.asarray(array, order="C"), name=name)  # a number keeps its rank of zero
            self._initializer(name, tensor.dtype, array.shape).const_value = tensor
        return self.initializers[name]

    def integers(self, name: str, *values: int) -> ir.Value:
        """A small int64 vector."""
        return self.constant(name, np.array(values, np.int64))

    def strings(self, name: str, values: Sequence[bytes], shape: Sequence[int]) -> ir.Value:
        """A table of strings that lives inside the graph file."""
        value = self._initializer(name, ir.DataType.STRING, shape)
        value.const_value = ir.StringTensor(values, shape=ir.Shape(shape), name=name)
        return value

    def op(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        attributes: Mapping[str, Any] | None = None,
        domain: str = "",
    ) -> ir.Value:
        """Append a node with one output; returns the output, named like the node."""
        return self.op_many(op_type, inputs, name, (name,), attributes, domain)[0]

    def op_many(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        outputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
        domain: str = "",
    ) -> tuple[ir.Value, ...]:
        """Append a node with several outputs; an empty name leaves an output out, and None an input."""
        values = [ir.Value(name=output) for output in outputs]
        while inputs and inputs[-1] is None:
            inputs = inputs[:-1]
        self.nodes.append(ir.node(op_type, inputs, attributes, domain=domain, outputs=values, name=name))
        return tuple(values)

    def subgraph(self, name: str) -> "Builder":
        """A builder for the branch of an `If` or the body of a `Loop`: it shares initializers and weights with this."""
        branch = Builder(name, self.recipe)
        branch.initializers, branch.weights = self.initializers, self.weights
        return branch

    def branch_graph(self) -> ir.Graph:
        """The finished branch of an `If`, or body of a `Loop`."""
        return ir.Graph(self.inputs, self.outputs, nodes=self.nodes, name=self.name)

    def model(self) -> ir.Model:
        """The finished model; initializers that are weights have no bytes yet."""
        graph = ir.Graph(
            self.inputs,
            self.outputs,
            nodes=self.nodes,
            initializers=list(self.initializers.values()),
            opset_imports={"": OPSET, MICROSOFT: 1},
            name=self.name,
        )
        return ir.Model(graph, ir_version=IR_VERSION, producer_name="quartet")

    def _initializer(self, name: str, dtype: ir.DataType, shape: Sequence[int]) -> ir.Value:
        value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
        self.initializers[name] = value
        return value
