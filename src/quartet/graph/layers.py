"""Linear maps, layer norms, feed-forward blocks and positions as ONNX nodes.

Shapes: b batch, s tokens, d width. Node names are paths: `/decoder/layers.0/fc1`.
"""

import re

import numpy as np
import onnx_ir as ir

from quartet.graph.builder import MICROSOFT, Builder, StoredWeight, Weight
from quartet.quantize.numerics import Scheme
from quartet.spec import Activation, Learned, ModelSpec, RelativeBias, Sinusoidal, Stack


def linear(b: Builder, x: ir.Value, parts: tuple[str, ...], rows: int, columns: int, name: str) -> ir.Value:
    """`x` [.., columns] times the transposed matrices `parts` (each [rows, columns]), side by side; no bias."""
    sources = tuple(f"{part}.weight" for part in parts)
    scheme = b.recipe.scheme(b.name, columns, f"{name}.weight")
    if scheme is None:
        weight = b.weight(Weight(f"{name}.weight", sources, (rows, columns), transposed=True))
        return b.op("MatMul", [x, weight], name)
    stored = b.stored(Weight(f"{name}.weight", sources, (rows, columns), scheme=scheme))
    return quantized_product(b, x, stored, scheme, len(parts) * rows, columns, name)


def quantized_product(
    b: Builder, x: ir.Value, stored: StoredWeight, scheme: Scheme, rows: int, columns: int, name: str
) -> ir.Value:
    """`x` [.., columns] times the transposed quantised matrix [rows, columns], with activations in int8.

    Of two planes the coarse one is meant; where columns are scaled, `x` has to be (`times_columns`).
    """
    attributes = {
        "K": columns,
        "N": rows,
        "bits": scheme.code_bits,
        "block_size": scheme.block_size,
        "accuracy_level": 4,  # int8 activations: without it the CPU multiplies in float, three times slower
    }
    return b.op("MatMulNBits", [x, stored.codes, stored.scales, stored.zero_points], name, attributes, MICROSOFT)


def times_columns(b: Builder, x: ir.Value, stored: StoredWeight, name: str) -> ir.Value:
    """`x` [.., columns] times the scales of a quantised matrix's columns, if it has any.

    Rows of the matrix become whole by it, and what the matrix is multiplied with becomes right.
    """
    return x if stored.column_scales is None else b.op("Mul", [x, stored.column_scales], name)


def embedding(b: Builder, stored: StoredWeight, ids: ir.Value, scheme: Scheme | None, name: str) -> ir.Value:
    """Rows of a table [v, d], float32 or quantised, for `ids` [b, n]: [b, n, d].

    Quantised rows are gathered as they lie and unpacked by plain operators, not by `GatherBlockQuantized`: that one
    wants the codes in another shape than the product, and old or small builds of ONNX Runtime lack it.
    """
    if scheme is None:
        return b.op("Gather", [stored.codes, ids], name)
    assert stored.scales is not None
    flat = b.op("Reshape", [ids, b.integers("all", -1)], f"{name}/ids")
    rows = _codes(b, stored.codes, flat, scheme, f"{name}/codes")
    if stored.zero_points is None:
        zero_points = b.constant(f"middle{scheme.code_bits}", np.float32(scheme.middle))
    else:
        zero_points = _zero_points(b, stored.zero_points, stored.codes, flat, scheme, f"{name}/zero_points")
    rows = b.op("Sub", [rows, zero_points], f"{name}/centred")
    if stored.residual is not None:
        fine = b.constant("sixteenths", (_NIBBLES - np.float32(scheme.middle)) / np.float32(16))
        rows = b.op("Add", [rows, _codes(b, stored.residual, flat, scheme, f"{name}/fine", fine)], f"{name}/sum")
    factors = b.op("Gather", [stored.scales, flat], f"{name}/scales")
    factors = b.op("Unsqueeze", [factors, b.integers("axes_last", -1)], f"{name}/scales/column")
    rows = b.op("Mul", [rows, factors], f"{name}/scaled")
    shape = [b.op("Shape", [ids], f"{name}/shape"), b.integers("rest_of_row", -1)]
    rows = b.op("Reshape", [rows, b.op("Concat", shape, f"{name}/shape/rows", {"axis": 0})], name)
    return times_columns(b, rows, stored, f"{name}/whole")


_NIBBLES = np.array([[byte & 15, byte >> 4] for byte in range(256)], np.float32)  # the two codes in each byte


def _codes(
    b: Builder, table: ir.Value, ids: ir.Value, scheme: Scheme, name: str, halves: ir.Value | None = None
) -> ir.Value:
    """Codes [n, blocks, block_size] in float32 of rows `ids` [n] of a table [v, blocks, bytes]; halves: `_unpacked`."""
    rows = b.op("Gather", [table, ids], f"{name}/stored")
    return _unpacked(b, rows, scheme, (0, 0, scheme.block_size), name, halves)


def _zero_points(b: Builder, table: ir.Value, codes: ir.Value, ids: ir.Value, scheme: Scheme, name: str) -> ir.Value:
    """Zero points [n, blocks, 1] in float32 of rows `ids` [n] of a table [v, bytes], for `codes` [v, blocks, ..]."""
    rows = b.op("Gather", [table, ids], f"{name}/stored")
    values = _unpacked(b, rows, scheme, (0, -1), f"{name}/values")
    if scheme.code_bits == 4:  # an odd number of them leaves half a byte unused
        assert codes.shape is not None
        blocks = [b.integers("begin", 0), b.integers("blocks", codes.shape.numpy()[1]), b.integers("axes1", 1)]
        values = b.op("Slice", [values, *blocks], f"{name}/blocks")
    return b.op("Unsqueeze", [values, b.integers("axes_last", -1)], name)


def _unpacked(
    b: Builder, stored: ir.Value, scheme: Scheme, shape: tuple[int, ...], name: str, halves: ir.Value | None = None
) -> ir.Value:
    """Codes in float32 of bytes. Where a byte holds two, they are looked up in `halves` [256, 2], and get the shape."""
    if scheme.code_bits == 8:
        return b.op("Cast", [stored], name, {"to": int(ir.DataType.FLOAT)})
    places = b.op("Cast", [stored], f"{name}/bytes", {"to": int(ir.DataType.INT32)})
    pairs = b.op("Gather", [halves or b.constant("nibbles", _NIBBLES), places], f"{name}/halves")
    return b.op("Reshape", [pairs, b.integers(f"{name}/shape", *shape)], name)


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
    """`total = residual + branch + bias` and its norm; returns (total, normed), [b, s, d].

    Not as `SkipLayerNormalization`, which is one kernel for all of it: it takes 2.5 µs for a row of 512 where these
    take 0.5.
    """
    name = path(module)
    biased = branch if bias is None else b.op("Add", [branch, bias], f"{name}/biased")
    total = b.op("Add", [residual, biased], f"{name}/total")
    return total, norm(b, total, module, spec)


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
