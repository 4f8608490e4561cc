"""What rewriting a finished graph takes."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir


def take_over(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Put `new` wherever `old` is used, as an output of the graph too: then under its name."""
    for i, output in enumerate(graph.outputs):
        if output is old:
            new.name, new.shape, new.type = old.name, old.shape, old.type
            graph.outputs[i] = new
    for node, index in tuple(old.uses()):
        node.replace_input_with(index, new)


def insert(
    graph: ir.Graph,
    before: ir.Node,
    op_type: str,
    inputs: Sequence[ir.Value],
    name: str,
    attributes: Mapping[str, int] | None = None,
    domain: str = "",
) -> ir.Value:
    """Insert a node in front of another one; returns its output, named like it."""
    value = ir.Value(name=name)
    graph.insert_before(before, ir.node(op_type, inputs, attributes, domain=domain, outputs=[value], name=name))
    return value
