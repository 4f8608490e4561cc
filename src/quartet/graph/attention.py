"""The three kinds of attention, each one `MultiHeadAttention` kernel.

Shapes: b batch, s tokens, d width, h heads, k head size, p past length. Bias of the output projection is left to
`layers.add_and_norm`, which adds it together with the residual.
"""

import numpy as np
import onnx_ir as ir

from quartet.graph.builder import MICROSOFT, Builder
from quartet.graph.layers import linear, path, vector


def _project_out(b: Builder, x: ir.Value, module: str, width: int) -> ir.Value:
    return linear(b, x, (f"{module}.out_proj",), width, width, path(f"{module}.out_proj"))


def _query_key_value(
    b: Builder, x: ir.Value, module: str, width: int, key_bias: bool
) -> tuple[list[ir.Value], ir.Value]:
    """The three projections as one product, and their biases as one vector (the attention kernel adds them)."""
    parts = tuple(f"{module}.{p}_proj" for p in "qkv")
    name = path(f"{module}.qkv_proj")
    fused = linear(b, x, parts, width, width, name)
    names = tuple(f"{name}/{p}" for p in "qkv")
    values = b.op_many("Split", [fused], f"{name}/split", names, {"axis": -1, "num_outputs": 3})
    if key_bias:
        return list(values), vector(b, tuple(f"{p}.bias" for p in parts), width, f"{name}.bias")
    query, value = (vector(b, (f"{module}.{p}_proj.bias",), width, f"{path(module)}/{p}_proj.bias") for p in "qv")
    none = b.constant("no_bias", np.zeros(width, np.float32))
    return list(values), b.op("Concat", [query, none, value], f"{name}/bias", {"axis": 0})


def encoder_self_attention(
    b: Builder, x: ir.Value, key_padding_mask: ir.Value | None, module: str, width: int, heads: int, key_bias: bool
) -> ir.Value:
    """Attention of the source over itself. `x` [b, s, d]; `key_padding_mask` int32 [b, s], 1 where a token is."""
    values, bias = _query_key_value(b, x, module, width, key_bias)
    inputs = [*values, bias, *([] if key_padding_mask is None else [key_padding_mask])]
    mixed = b.op("MultiHeadAttention", inputs, path(module), {"num_heads": heads}, MICROSOFT)
    return _project_out(b, mixed, module, width)


def decoder_self_attention(
    b: Builder,
    x: ir.Value,
    past: tuple[ir.Value, ir.Value],
    present: tuple[str, str],
    module: str,
    width: int,
    heads: int,
    key_bias: bool,
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Attention of the new tokens `x` [b, t, d], each over the past [b, h, p, k], those before it, and itself.

    Returns the result [b, t, d] and the grown key and value [b, h, p + t, k], named `present`.
    """
    values, bias = _query_key_value(b, x, module, width, key_bias)
    name = path(module)
    mixed, key, value = b.op_many(
        "MultiHeadAttention",
        [*values, bias, None, None, *past],
        name,
        (name, *present),
        {"num_heads": heads, "unidirectional": 1},
        MICROSOFT,
    )
    return _project_out(b, mixed, module, width), key, value


def causal_self_attention(b: Builder, x: ir.Value, module: str, width: int, heads: int, key_bias: bool) -> ir.Value:
    """What `decoder_self_attention` gives without a past, for all tokens `x` [b, t, d] of known texts."""
    values, bias = _query_key_value(b, x, module, width, key_bias)
    attributes = {"num_heads": heads, "unidirectional": 1}
    mixed = b.op("MultiHeadAttention", [*values, bias], path(module), attributes, MICROSOFT)
    return _project_out(b, mixed, module, width)


def cross_attention(
    b: Builder,
    x: ir.Value,
    cache: tuple[ir.Value, ir.Value],
    key_padding_mask: ir.Value | None,
    per_source: ir.Value | None,
    module: str,
    width: int,
    heads: int,
) -> tuple[ir.Value, ir.Value]:
    """Attention of `x` over the encoder part of the cache, key and value [b, h, s, k]; and its queries, like `x`.

    `x` is [b, t, d]; or, with the shape `per_source` [b, -1, d], it is [r, t, d] where each source has r / b rows, one
    after the other (its beams): they are then the queries of one source, so that its cache is held and read once.
    """
    query = biased_linear(b, x, f"{module}.q_proj", width)
    grouped = query if per_source is None else b.op("Reshape", [query, per_source], f"{path(module)}/per_source")
    inputs = [grouped, *cache, *([] if key_padding_mask is None else [None, key_padding_mask])]
    mixed = b.op("MultiHeadAttention", inputs, path(module), {"num_heads": heads}, MICROSOFT)
    if per_source is not None:
        per_row = b.op("Shape", [query], f"{path(module)}/rows")
        mixed = b.op("Reshape", [mixed, per_row], f"{path(module)}/per_row")
    return _project_out(b, mixed, module, width), query


def biased_linear(b: Builder, x: ir.Value, module: str, width: int, bias: bool = True) -> ir.Value:
    """A linear map of [.., d] to [.., d], with its bias where it has one."""
    product = linear(b, x, (module,), width, width, path(module))
    if not bias:
        return product
    added = vector(b, (f"{module}.bias",), width, f"{path(module)}.bias")
    return b.op("Add", [product, added], f"{path(module)}/biased")


def split_heads(b: Builder, x: ir.Value, heads: int, head_size: int, name: str) -> ir.Value:
    """[b, s, h * k] as [b, h, s, k]."""
    shape = b.integers("heads_apart", 0, 0, heads, head_size)
    apart = b.op("Reshape", [x, shape], f"{name}/apart")
    return b.op("Transpose", [apart], f"{name}/heads", {"perm": [0, 2, 1, 3]})
