"""A thin layer over `onnx_ir` to write a graph node by node.

Weights are only named here (`Weight`: which checkpoint tensors, stored how); their bytes are streamed to the data
file later, by `graph.writer`. So building a graph costs no memory, and the list of weights of a graph is the list
of tensors that a checkpoint has to have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

OPSET = 20  # at most 21, and IR at most 10, so that mobile and web builds of ONNX Runtime load the files
IR_VERSION = 9
MICROSOFT = "com.microsoft"

Dim = int | str


@dataclass(frozen=True)
class Weight:
    """An initializer whose bytes come from the checkpoint.

    `sources` are canonical tensor names, all of shape `source_shape` (each), put under each other along the first
    axis. With `transposed` the result, a matrix [out, in], is stored as [in, out], as `MatMul` wants it.
    """

    name: str
    sources: tuple[str, ...]
    source_shape: tuple[int, ...]
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape as stored. A leading axis of one (Marian's `final_logits_bias` [1, v]) is dropped."""
        if len(self.source_shape) == 2 and self.source_shape[0] == 1 and len(self.sources) == 1:
            return self.source_shape[1:]
        rows = len(self.sources) * self.source_shape[0]
        shape = (rows, *self.source_shape[1:])
        return shape[::-1] if self.transposed else shape

    @property
    def nbytes(self) -> int:
        """Bytes as stored."""
        return 4 * int(np.prod(self.shape))


class Builder:
    """The nodes, inputs, outputs and weights of one graph while it is being written."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inputs: list[ir.Value] = []
        self.outputs: list[ir.Value] = []
        self.nodes: list[ir.Node] = []
        self.initializers: dict[str, ir.Value] = {}
        self.weights: dict[str, Weight] = {}

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
        """An initializer that the writer fills from the checkpoint."""
        self.weights[weight.name] = weight
        return self._initializer(weight.name, ir.DataType.FLOAT, weight.shape)

    def constant(self, name: str, array: np.ndarray | np.generic) -> ir.Value:
        """A small initializer that lives inside the graph file."""
        if name not in self.initializers:
            tensor = ir.tensor(np.ascontiguousarray(array), name=name)
            self._initializer(name, tensor.dtype, array.shape).const_value = tensor
        return self.initializers[name]

    def integers(self, name: str, *values: int) -> ir.Value:
        """A small int64 vector."""
        return self.constant(name, np.array(values, np.int64))

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
        """Append a node with several outputs; an empty name leaves an output out."""
        values = [ir.Value(name=output) for output in outputs]
        self.nodes.append(ir.node(op_type, inputs, attributes, domain=domain, outputs=values, name=name))
        return tuple(values)

    def subgraph(self, name: str) -> "Builder":
        """A builder for the branch of an `If`: it shares initializers and weights with this one."""
        branch = Builder(name)
        branch.initializers, branch.weights = self.initializers, self.weights
        return branch

    def branch_graph(self) -> ir.Graph:
        """The finished branch of an `If`."""
        return ir.Graph([], self.outputs, nodes=self.nodes, name=self.name)

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
