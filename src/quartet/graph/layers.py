"""Linear maps, layer norms, feed-forward blocks and positions as ONNX nodes.

Shapes: b batch, s tokens, d width. Node names are paths: `/decoder/layers.0/fc1`.
"""

import math
import re

import numpy as np
import onnx_ir as ir

from quartet.graph.builder import MICROSOFT, Builder, Weight
from quartet.quantize.numerics import Scheme
from quartet.spec import Activation, Learned, ModelSpec, RelativeBias, Sinusoidal, Stack


def linear(b: Builder, x: ir.Value, parts: tuple[str, ...], rows: int, columns: int, name: str) -> ir.Value:
    """`x` [.., columns] times the transposed matrices `parts` (each [rows, columns]), side by side; no bias."""
    sources = tuple(f"{part}.weight" for part in parts)
    scheme = b.recipe.scheme(b.name, columns)
    if scheme is None:
        weight = b.weight(Weight(f"{name}.weight", sources, (rows, columns), transposed=True))
        return b.op("MatMul", [x, weight], name)
    stored = b.stored(Weight(f"{name}.weight", sources, (rows, columns), scheme=scheme))
    return quantized_product(b, x, stored, scheme, len(parts) * rows, columns, name)


def quantized_product(
    b: Builder, x: ir.Value, stored: list[ir.Value], scheme: Scheme, rows: int, columns: int, name: str
) -> ir.Value:
    """`x` [.., columns] times the transposed quantised matrix [rows, columns], with activations in int8."""
    attributes = {
        "K": columns,
        "N": rows,
        "bits": scheme.code_bits,
        "block_size": scheme.block_size,
        "accuracy_level": 4,  # int8 activations: without it the CPU multiplies in float, three times slower
    }
    return b.op("MatMulNBits", [x, *stored], name, attributes, MICROSOFT)


def embedding(b: Builder, stored: list[ir.Value], ids: ir.Value, scheme: Scheme | None, name: str) -> ir.Value:
    """Rows of a table [v, d], float32 or quantised, for `ids` [b, n]: [b, n, d]."""
    if scheme is None:
        return b.op("Gather", [stored[0], ids], name)
    codes, *rest = stored
    if not scheme.planes:
        return _quantized_rows(b, codes, ids, rest, scheme, name)
    *rest, residual = rest
    coarse = _quantized_rows(b, codes, ids, rest, scheme, f"{name}/coarse")
    fine = _quantized_rows(b, residual, ids, rest[:1], scheme, f"{name}/fine")
    sixteenth = b.op("Mul", [fine, b.constant("sixteenth", np.float32(1 / 16))], f"{name}/residual")
    return b.op("Add", [coarse, sixteenth], name)


def _quantized_rows(
    b: Builder, codes: ir.Value, ids: ir.Value, rest: list[ir.Value], scheme: Scheme, name: str
) -> ir.Value:
    """Rows [b, n, d] of codes [v, blocks, bytes] with their scales and perhaps zero points."""
    attributes = {"gather_axis": 0, "quantize_axis": 1, "block_size": scheme.block_size, "bits": scheme.code_bits}
    assert codes.shape is not None
    count, *row = codes.shape.numpy()
    table = b.view(f"{codes.name}.rows", codes, (count, math.prod(row)))
    return b.op("GatherBlockQuantized", [table, ids, *rest], name, attributes, MICROSOFT)


def vector(b: Builder, sources: tuple[str, ...], size: int, name: str) -> ir.Value:
    """A bias or the gain of a norm: the vectors `sources`, each [size], one after the other."""
    return b.weight(Weight(name, sources, (size,)))


def norm(b: Builder, x: ir.Value, module: str, spec: ModelSpec) -> ir.Value:
    """Layer norm, or RMS norm, over the last axis of `x` [b, s, d]."""
    kernel = "LayerNormalization" if spec.norm == "layer" else "SimplifiedLayerNormalization"
    inputs = [x, *_norm_weights(b, module, spec)]
    return b.op(kernel, inputs, path(module), {"epsilon": spec.layer_norm_epsilon})


def convolution(b: Builder, x: ir.Value, module: str, channels: tuple[int, int], stride: int) -> ir.Value:
    """A convolution over the last axis of `x` [b, in, n], with windows of three: [b, out, (n - 1) // stride + 1]."""
    inputs, outputs = channels
    name = path(module)
    kernel = b.weight(Weight(f"{name}.weight", (f"{module}.weight",), (outputs, inputs, 3)))
    bias = vector(b, (f"{module}.bias",), outputs, f"{name}.bias")
    return b.op("Conv", [x, kernel, bias], name, {"kernel_shape": [3], "pads": [1, 1], "strides": [stride]})


def add_and_norm(
    b: Builder, residual: ir.Value, branch: ir.Value, bias: ir.Value | None, module: str, spec: ModelSpec
) -> tuple[ir.Value, ir.Value]:
    """`total = residual + branch + bias` and its norm, in one kernel; returns (total, normed), [b, s, d]."""
    name = path(module)
    kernel = "SkipLayerNormalization" if spec.norm == "layer" else "SkipSimplifiedLayerNormalization"
    inputs = [branch, residual, *_norm_weights(b, module, spec), *([] if bias is None else [bias])]
    outputs = (name, "", "", f"{name}/total")
    values = b.op_many(kernel, inputs, name, outputs, {"epsilon": spec.layer_norm_epsilon}, MICROSOFT)
    return values[3], values[0]


def _norm_weights(b: Builder, module: str, spec: ModelSpec) -> list[ir.Value]:
    """The gain [d], and the bias [d] of a layer norm."""
    kinds = ("weight", "bias") if spec.norm == "layer" else ("weight",)
    return [vector(b, (f"{module}.{kind}",), spec.d_model, f"{path(module)}.{kind}") for kind in kinds]


def path(module: str) -> str:
    """Name of the node of a module: `decoder.layers.0.fc1` gives `/decoder/layers.0/fc1`."""
    return "/" + re.sub(r"\.(?!\d)", "/", module)


def feed_forward(b: Builder, x: ir.Value, layer: str, spec: ModelSpec, stack: Stack) -> ir.Value:
    """The two linear maps of a layer with the activation between; the second one's bias is left to `add_and_norm`.

    A gated one (Shazeer 2020) has a third map, of which the activation is taken, beside the first.
    """
    width, ffn_dim = spec.d_model, stack.ffn_dim
    if spec.gated:
        hidden = _gated(b, x, layer, spec, ffn_dim)
    else:
        hidden = linear(b, x, (f"{layer}.fc1",), ffn_dim, width, path(f"{layer}.fc1"))
        bias = vector(b, (f"{layer}.fc1.bias",), ffn_dim, f"{path(f'{layer}.fc1')}.bias") if spec.biases else None
        hidden = biased_activation(b, hidden, bias, spec.activation, path(f"{layer}.activation"))
    return linear(b, hidden, (f"{layer}.fc2",), width, ffn_dim, path(f"{layer}.fc2"))


def _gated(b: Builder, x: ir.Value, layer: str, spec: ModelSpec, ffn_dim: int) -> ir.Value:
    """`activation(gate(x)) * fc1(x)` [.., ffn_dim], the two maps as one product; neither has a bias."""
    name = path(f"{layer}.gate_and_fc1")
    both = linear(b, x, (f"{layer}.gate", f"{layer}.fc1"), ffn_dim, spec.d_model, name)
    names = (f"{name}/gate", f"{name}/fc1")
    gate, hidden = b.op_many("Split", [both], f"{name}/split", names, {"axis": -1, "num_outputs": 2})
    active = biased_activation(b, gate, None, spec.activation, path(f"{layer}.activation"))
    return b.op("Mul", [active, hidden], f"{path(layer)}/gated")


def biased_activation(b: Builder, x: ir.Value, bias: ir.Value | None, activation: Activation, name: str) -> ir.Value:
    """`activation(x + bias)`, in one kernel where ONNX Runtime has one."""
    both = [x] if bias is None else [x, bias]
    if activation == "gelu":  # x * Phi(x) with the error function
        return b.op("Gelu" if bias is None else "BiasGelu", both, name, domain=MICROSOFT)
    if activation == "gelu_new":  # the tanh approximation
        return b.op("FastGelu", both, name, domain=MICROSOFT)
    total = x if bias is None else b.op("Add", both, f"{name}/bias")
    if activation == "relu":
        return b.op("Relu", [total], name)
    return b.op("QuickGelu", [total], name, {"alpha": 1.0}, MICROSOFT)  # x * sigmoid(x): swish


def add_positions(
    b: Builder,
    x: ir.Value,
    input_ids: ir.Value | None,
    past_length: ir.Value | None,
    positions: Sinusoidal | Learned | RelativeBias,
    name: str,
) -> ir.Value:
    """`x` [b, s, d] plus the positions of its tokens, if it has any; `past_length` int64 [1] came before them.

    Sines and cosines (Vaswani et al. 2017) are computed, not looked up: no table to store in both stacks, no
    last position. `input_ids` are asked for `padding_id` alone: these tokens count for nothing and get nothing, as in
    M2M100.
    """
    if isinstance(positions, RelativeBias):  # a matter of attention: `graph.relative`
        return x
    if isinstance(positions, Learned):
        return b.op("Add", [x, _looked_up_positions(b, x, past_length, positions, name)], name)
    if positions.padding_id is None:
        index, mask = _float_column(b, _running_positions(b, x, past_length, name), f"{name}/float"), None
    else:
        assert input_ids is not None
        index, mask = _counted_positions(b, input_ids, past_length, positions.padding_id, name)
    shifted = b.op("Add", [index, b.constant(f"{name}/offset", np.float32(positions.offset))], f"{name}/index")
    frequencies = b.constant(f"{name}/frequencies", np.array(positions.frequencies, np.float32))
    angles = b.op("Mul", [shifted, frequencies], f"{name}/angles")
    halves = [b.op("Sin", [angles], f"{name}/sin"), b.op("Cos", [angles], f"{name}/cos")]
    table = b.op("Concat", halves, f"{name}/concat", {"axis": -1})
    if positions.interleaved:
        in_turn = np.arange(2 * len(positions.frequencies)).reshape(2, -1).T.reshape(-1)  # 0, d/2, 1, d/2 + 1, ...
        table = b.op("Gather", [table, b.constant(f"{name}/in_turn", in_turn)], f"{name}/interleaved", {"axis": -1})
    if mask is not None:
        table = b.op("Mul", [table, mask], f"{name}/masked")
    return b.op("Add", [x, table], name)


def _looked_up_positions(
    b: Builder, x: ir.Value, past_length: ir.Value | None, positions: Learned, name: str
) -> ir.Value:
    """Rows [s, d] of the table that is called as the node is."""
    module = name[1:].replace("/", ".")
    table = b.weight(Weight(f"{name}.weight", (f"{module}.weight",), (positions.rows, positions.width)))
    return b.op("Gather", [table, _running_positions(b, x, past_length, name)], f"{name}/rows")


def _running_positions(b: Builder, x: ir.Value, past_length: ir.Value | None, name: str) -> ir.Value:
    """0, 1, 2, ..., or as many from the past length on: int64 [s]."""
    length = b.op("Shape", [x], f"{name}/length", {"start": 1, "end": 2})
    ones = b.op("Expand", [b.integers("one", 1), length], f"{name}/ones")
    count = b.op("CumSum", [ones, b.constant("axis0", np.int64(0))], f"{name}/count", {"exclusive": 1})
    return count if past_length is None else b.op("Add", [count, past_length], f"{name}/after_past")


def _counted_positions(
    b: Builder, input_ids: ir.Value, past_length: ir.Value | None, padding_id: int, name: str
) -> tuple[ir.Value, ir.Value]:
    """Positions from 0 that only count tokens other than padding, and the mask of those; both float [b, s, 1]."""
    is_padding = b.op("Equal", [input_ids, b.constant("padding_id", np.int64(padding_id))], f"{name}/is_padding")
    kept = b.op("Cast", [b.op("Not", [is_padding], f"{name}/not")], f"{name}/kept", {"to": int(ir.DataType.INT64)})
    count = b.op("CumSum", [kept, b.constant("axis1", np.int64(1))], f"{name}/count", {"exclusive": 1})
    if past_length is not None:
        count = b.op("Add", [count, past_length], f"{name}/after_past")
    return _float_column(b, count, f"{name}/column"), _float_column(b, kept, f"{name}/mask")


def _float_column(b: Builder, value: ir.Value, name: str) -> ir.Value:
    column = b.op("Unsqueeze", [value, b.integers("axes_last", -1)], f"{name}/int")
    return b.op("Cast", [column], name, {"to": int(ir.DataType.FLOAT)})
