"""The three kinds of attention, each one `MultiHeadAttention` kernel.

Shapes: b batch, s tokens, d width, h heads, k head size, p past length. Bias of the output projection is left to
`layers.add_and_norm`, which adds it together with the residual.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from quartet.graph.builder import MICROSOFT, Builder
from quartet.graph.layers import linear, path, vector
from quartet.spec import ModelSpec, Stack


@dataclass(frozen=True)
class Heads:
    """How a stack's attention is cut: `count` heads of `size` channels, from and to the model's `width`."""

    width: int
    count: int
    size: int
    scale: float | None  # of the scores; None: 1 / sqrt(size)
    biases: bool  # of the projections
    key_bias: bool  # likewise of those to keys

    @property
    def inner(self) -> int:
        """h * k: the channels of all heads."""
        return self.count * self.size

    def attributes(self, **more: int) -> dict[str, Any]:
        """Of the kernel."""
        return {"num_heads": self.count, **more} | ({} if self.scale is None else {"scale": self.scale})


def heads_of(spec: ModelSpec, stack: Stack) -> Heads:
    """The heads of the encoder's or the decoder's attention."""
    return Heads(spec.d_model, stack.heads, spec.size_of_head(stack), spec.attention_scale, spec.biases, spec.key_bias)


def _project_out(b: Builder, x: ir.Value, module: str, heads: Heads) -> ir.Value:
    return linear(b, x, (f"{module}.out_proj",), heads.width, heads.inner, path(f"{module}.out_proj"))


def _query_key_value(b: Builder, x: ir.Value, module: str, heads: Heads) -> list[ir.Value | None]:
    """The three projections as one product, and their biases as one vector (the attention kernel adds them)."""
    parts = tuple(f"{module}.{p}_proj" for p in "qkv")
    name = path(f"{module}.qkv_proj")
    fused = linear(b, x, parts, heads.inner, heads.width, name)
    names = tuple(f"{name}/{p}" for p in "qkv")
    values = b.op_many("Split", [fused], f"{name}/split", names, {"axis": -1, "num_outputs": 3})
    return [*values, _query_key_value_bias(b, module, heads)]


def _query_key_value_bias(b: Builder, module: str, heads: Heads) -> ir.Value | None:
    name = path(f"{module}.qkv_proj")
    if not heads.biases:
        return None
    if heads.key_bias:
        return vector(b, tuple(f"{module}.{p}_proj.bias" for p in "qkv"), heads.inner, f"{name}.bias")
    query, value = (vector(b, (f"{module}.{p}_proj.bias",), heads.inner, f"{path(module)}/{p}_proj.bias") for p in "qv")
    none = b.constant("no_bias", np.zeros(heads.inner, np.float32))
    return b.op("Concat", [query, none, value], f"{name}/bias", {"axis": 0})


def encoder_self_attention(
    b: Builder, x: ir.Value, key_padding_mask: ir.Value | None, scores_bias: ir.Value | None, module: str, heads: Heads
) -> ir.Value:
    """Attention of the source over itself. `x` [b, s, d]; `key_padding_mask` int32 [b, s], 1 where a token is.

    scores_bias: what is added to the scores, [1, h, s, s].
    """
    inputs = _without_end(*_query_key_value(b, x, module, heads), key_padding_mask, scores_bias)
    mixed = b.op("MultiHeadAttention", inputs, path(module), heads.attributes(), MICROSOFT)
    return _project_out(b, mixed, module, heads)


def decoder_self_attention(
    b: Builder,
    x: ir.Value,
    past: tuple[ir.Value, ir.Value],
    present: tuple[str, str],
    scores_bias: ir.Value | None,
    module: str,
    heads: Heads,
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Attention of the new tokens `x` [b, t, d], each over the past [b, h, p, k], those before it, and itself.

    scores_bias: what is added to the scores, [1, h, t, p + t]. Returns the result [b, t, d] and the grown key and
    value [b, h, p + t, k], named `present`.
    """
    inputs = [*_query_key_value(b, x, module, heads), None, scores_bias, *past]
    name = path(module)
    outputs = (name, *present)
    attributes = heads.attributes(unidirectional=1)
    mixed, key, value = b.op_many("MultiHeadAttention", inputs, name, outputs, attributes, MICROSOFT)
    return _project_out(b, mixed, module, heads), key, value


def causal_self_attention(b: Builder, x: ir.Value, scores_bias: ir.Value | None, module: str, heads: Heads) -> ir.Value:
    """What `decoder_self_attention` gives without a past, for all tokens `x` [b, t, d] of known texts."""
    inputs = _without_end(*_query_key_value(b, x, module, heads), None, scores_bias)
    mixed = b.op("MultiHeadAttention", inputs, path(module), heads.attributes(unidirectional=1), MICROSOFT)
    return _project_out(b, mixed, module, heads)


def cross_attention(
    b: Builder,
    x: ir.Value,
    cache: tuple[ir.Value, ir.Value],
    key_padding_mask: ir.Value | None,
    per_source: ir.Value | None,
    module: str,
    heads: Heads,
) -> tuple[ir.Value, ir.Value]:
    """Attention of `x` over the encoder part of the cache, key and value [b, h, s, k]; and its queries [b, t, h * k].

    `x` is [b, t, d]; or, with the shape `per_source` [b, -1, h * k], it is [r, t, d] where each source has r / b rows,
    one after the other (its beams): they are then the queries of one source, so that its cache is held and read once.
    """
    query = projection(b, x, f"{module}.q_proj", heads)
    grouped = query if per_source is None else b.op("Reshape", [query, per_source], f"{path(module)}/per_source")
    inputs = _without_end(grouped, *cache, None, key_padding_mask)
    mixed = b.op("MultiHeadAttention", inputs, path(module), heads.attributes(), MICROSOFT)
    if per_source is not None:
        per_row = b.op("Shape", [query], f"{path(module)}/rows")
        mixed = b.op("Reshape", [mixed, per_row], f"{path(module)}/per_row")
    return _project_out(b, mixed, module, heads), query


def _without_end(*inputs: ir.Value | None) -> list[ir.Value | None]:
    """Inputs of a node without those at the end that it does not have."""
    last = max(i for i, value in enumerate(inputs) if value is not None)
    return list(inputs[: last + 1])


def projection(b: Builder, x: ir.Value, module: str, heads: Heads, bias: bool = True) -> ir.Value:
    """A linear map of [.., d] to the channels of all heads [.., h * k], with its bias where it has one."""
    product = linear(b, x, (module,), heads.inner, heads.width, path(module))
    if not (heads.biases and bias):
        return product
    added = vector(b, (f"{module}.bias",), heads.inner, f"{path(module)}.bias")
    return b.op("Add", [product, added], f"{path(module)}/biased")


def split_heads(b: Builder, x: ir.Value, heads: Heads, name: str) -> ir.Value:
    """[b, s, h * k] as [b, h, s, k]."""
    shape = b.integers("heads_apart", 0, 0, heads.count, heads.size)
    apart = b.op("Reshape", [x, shape], f"{name}/apart")
    return b.op("Transpose", [apart], f"{name}/heads", {"perm": [0, 2, 1, 3]})
