"""Rewrite a decoder so that its own cache is a buffer with room, into which each step writes.

`MultiHeadAttention` returns past and new keys and values as arrays of their own, and so copies the whole cache at every
step: with many rows that takes longer than the products. `GroupQueryAttention` writes the new ones behind the past
where its outputs are bound to its inputs. How much of the buffers is in use then is an input of the graph.

Such a graph is made for our own runtime, in the cache (`runtime.packing`); a quartet's own files, which are for every
reader, keep the past as it is.

Shapes: b rows, h heads, k head size, t tokens fed, c tokens that a buffer has room for.
"""

import onnx_ir as ir

from quartet.graph.builder import MICROSOFT
from quartet.runtime.machine.rewriting import insert, take_over
from quartet.spec import PAST_LENGTH, past_name

KERNEL = "GroupQueryAttention"
HEAD_SIZES = 8  # the kernel takes multiples of it
HALF, FULL = ir.TensorType(ir.DataType.FLOAT16), int(ir.DataType.FLOAT)


def write_into_buffers(graph: ir.Graph, *, half: bool = False) -> None:
    """Let every self-attention write into its past [b, h, c, k], of which `past_length` [1] (int64) tokens are known.

    Outputs are then to be bound to the inputs. A graph whose head size the kernel does not take stays as it is.
    half: keep the past in float16. With many rows it is the largest part of memory, and a step is as fast.
    """
    inputs = {value.name: value for value in graph.inputs}
    first = inputs[past_name(0, "decoder", "key")]
    assert first.shape is not None
    if not isinstance(size := first.shape[3], int) or size % HEAD_SIZES:
        return
    attentions = [node for node in graph if node.op_type == "MultiHeadAttention" and len(node.outputs) > 1]
    (measured,) = (node for node, _ in first.uses() if node.op_type == "Shape")
    past_length = ir.Value(name=PAST_LENGTH, shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.INT64))
    graph.inputs.append(past_length)
    take_over(graph, measured.outputs[0], past_length)
    graph.remove(measured, safe=True)
    lengths = _lengths(graph, inputs["input_ids"], past_length)
    for node in attentions:
        _replace(graph, node, lengths, half)
    if half:
        for value in (*graph.inputs, *graph.outputs):
            if value.name and ".decoder." in value.name:
                value.type = HALF


def _lengths(graph: ir.Graph, input_ids: ir.Value, past_length: ir.Value) -> tuple[ir.Value, ir.Value]:
    """What the kernel asks for, int32: the tokens before the last new one, for each row [b], and those in all, []."""
    name = "/decoder/buffers"
    first = graph[0]
    rows = insert(graph, first, "Shape", [input_ids], f"{name}/rows", {"end": 1})
    new = insert(graph, first, "Shape", [input_ids], f"{name}/new", {"start": 1, "end": 2})
    known = insert(graph, first, "Add", [past_length, new], f"{name}/known")
    in_all = insert(graph, first, "Cast", [known], f"{name}/in_all", {"to": int(ir.DataType.INT32)})
    one = ir.Value(name=f"{name}/one", const_value=ir.tensor([1], ir.DataType.INT32))
    graph.register_initializer(one)
    before = insert(graph, first, "Sub", [in_all, one], f"{name}/before")
    per_row = insert(graph, first, "Expand", [before, rows], f"{name}/per_row")
    total = insert(graph, first, "Squeeze", [in_all], f"{name}/total")
    return per_row, total


def _replace(graph: ir.Graph, old: ir.Node, lengths: tuple[ir.Value, ir.Value], half: bool) -> None:
    """Put the kernel in the place of an attention. It takes query, key and value as the one product that they are."""
    query, _, _, bias, _, scores_bias, *past = old.inputs
    assert query is not None
    split = query.producer()
    assert split is not None
    assert split.inputs[0] is not None
    fused = split.inputs[0]
    if bias is not None:
        fused = insert(graph, old, "Add", [fused, bias], f"{fused.name}/biased")
    if half:
        fused = _cast(graph, old, fused, ir.DataType.FLOAT16)
        scores_bias = _cast(graph, old, scores_bias, ir.DataType.FLOAT16) if scores_bias else None
    inputs = [fused, None, None, *past, *lengths, *([None, None, None, scores_bias] if scores_bias else [])]
    heads = old.attributes["num_heads"].as_int()
    attributes: dict[str, int | float] = {"num_heads": heads, "kv_num_heads": heads}
    if "scale" in old.attributes:
        attributes["scale"] = old.attributes["scale"].as_float()
    outputs = [ir.Value(name=value.name, shape=value.shape, type=value.type) for value in old.outputs]
    new = ir.node(KERNEL, inputs, attributes, domain=MICROSOFT, outputs=outputs, name=old.name)
    graph.insert_before(old, new)
    for before, after in zip(old.outputs, outputs, strict=True):
        take_over(graph, before, after)
    graph.remove([old, split], safe=True)
    if half:
        attended, readers = outputs[0], tuple(outputs[0].uses())
        attended.type = HALF
        in_full = insert(graph, readers[0].node, "Cast", [attended], f"{attended.name}/full", {"to": FULL})
        for node, index in readers:
            node.replace_input_with(index, in_full)


def _cast(graph: ir.Graph, before: ir.Node, value: ir.Value, to: ir.DataType) -> ir.Value:
    """The value as another type."""
    return insert(graph, before, "Cast", [value], f"{before.name}/{value.name}/{to.name.lower()}", {"to": int(to)})
