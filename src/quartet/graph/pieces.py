"""Each layer of a model as a small graph of its own, so that a large model can be run with one of them in memory.

They are made by the very functions that make the four files, and name the same weights. The decoder's take all tokens
of known texts at once. What goes from piece to piece is called `hidden` as an input and `next_hidden` as an output;
where norms come first (`ModelSpec.norm_first`) there is also `residual`.

Shapes: b batch, s source length, t target length, d width, h heads, k head size.
"""

from collections.abc import Iterator

import onnx_ir as ir

from quartet.graph.attention import causal_self_attention, heads_of
from quartet.graph.builder import Builder, Weight
from quartet.graph.files import (
    FLOAT,
    INT64,
    Blocks,
    cache_inputs,
    cache_layer,
    decoder_layer,
    encoder_input,
    encoder_layer,
)
from quartet.graph.layers import add_positions
from quartet.graph.relative import whole_bias
from quartet.quantize.recipes import Recipe
from quartet.spec import CACHE_INITIALIZER, DECODER, ENCODER, ModelSpec

States = tuple[ir.Value, ir.Value]  # (residual, hidden)


def encoder_start(spec: ModelSpec, recipe: Recipe) -> Builder:
    """What the encoder does before its first layer; inputs as those of the whole file."""
    b = Builder(ENCODER, recipe)
    x, _ = encoder_input(b, spec)
    _give(b, spec, Blocks(b, spec, "encoder").start(x), "s")
    return b


def encoder_piece(spec: ModelSpec, recipe: Recipe, layer: int) -> Builder:
    """A layer of the encoder; inputs `attention_mask` [b, s] and the states."""
    b = Builder(ENCODER, recipe)
    mask = _mask(b, "attention_mask")
    states = _take(b, spec, "s")
    source = mask, whole_bias(b, spec, "encoder", states[1])
    states = encoder_layer(b, spec, Blocks(b, spec, "encoder", layer), layer, states, source)
    _give(b, spec, states, "s")
    return b


def cache_piece(spec: ModelSpec, recipe: Recipe, layer: int) -> Builder:
    """A layer's part of the cache initializer: `encoder_hidden_states` [b, s, d] to its key and value."""
    b = Builder(CACHE_INITIALIZER, recipe)
    cache_layer(b, spec, layer, b.input("encoder_hidden_states", FLOAT, ["b", "s", spec.d_model]))
    return b


def decoder_start(spec: ModelSpec, recipe: Recipe) -> Builder:
    """What the decoder does before its first layer: `input_ids` [b, t] and `embed_matrix` [b, t, d] to states."""
    b = Builder(DECODER, recipe)
    input_ids = b.input("input_ids", INT64, ["b", "t"])
    embedded = b.input("embed_matrix", FLOAT, ["b", "t", spec.d_model])
    positions = spec.decoder_positions or spec.positions
    x = add_positions(b, embedded, input_ids, None, positions, "/decoder/embed_positions")
    _give(b, spec, Blocks(b, spec, "decoder").start(x), "t")
    return b


def decoder_piece(spec: ModelSpec, recipe: Recipe, layer: int) -> Builder:
    """A layer of the decoder; inputs `encoder_attention_mask` [b, s], the layer's encoder cache, and the states."""
    b = Builder(DECODER, recipe.of_layer(layer, spec.decoder.layers))
    heads = heads_of(spec, spec.decoder)
    mask = _mask(b, "encoder_attention_mask")
    cache = cache_inputs(b, layer, "encoder", ("b", heads.count, "s", heads.size))
    residual, hidden = _take(b, spec, "t")
    bias = whole_bias(b, spec, "decoder", hidden)
    mixed = causal_self_attention(b, hidden, bias, f"decoder.layers.{layer}.self_attn", heads)
    blocks = Blocks(b, spec, "decoder", layer)
    states, _ = decoder_layer(b, spec, blocks, layer, (residual, mixed), (*cache, mask))
    _give(b, spec, states, "t")
    return b


def tap(b: Builder) -> dict[str, str]:
    """Make the inputs of all linear maps in float32 outputs too; returns the name of each one by its weight's name."""
    taps: dict[str, str] = {}
    outside = {value.name for value in b.inputs}
    for x, weight in _linear_maps(b):
        assert x.name is not None
        if x.name not in outside | set(taps.values()):
            b.output(x, x.name, FLOAT, ["b", "n", weight.source_shape[1]])
        taps[weight.name] = x.name
    return taps


def feed_matrices(b: Builder) -> dict[str, Weight]:
    """Make the matrices [in, out] of all linear maps in float32 inputs, no weights any more; returns them by name."""
    matrices = {weight.name: weight for _, weight in _linear_maps(b)}
    for name in matrices:
        del b.weights[name]
        b.inputs.append(b.initializers.pop(name))
    return matrices


def _linear_maps(b: Builder) -> Iterator[tuple[ir.Value, Weight]]:
    """The input and the weight of each linear map in float32."""
    for node in b.nodes:
        x, weight = (*node.inputs, None, None)[:2]
        if node.op_type == "MatMul" and x is not None and weight is not None and weight.name in b.weights:
            yield x, b.weights[weight.name]


def _mask(b: Builder, name: str) -> ir.Value:
    return b.op("Cast", [b.input(name, INT64, ["b", "s"])], f"/{name}", {"to": int(ir.DataType.INT32)})


def _take(b: Builder, spec: ModelSpec, length: str) -> States:
    hidden = b.input("hidden", FLOAT, ["b", length, spec.d_model])
    return (b.input("residual", FLOAT, ["b", length, spec.d_model]) if spec.norm_first else hidden), hidden


def _give(b: Builder, spec: ModelSpec, states: States, length: str) -> None:
    residual, hidden = states
    b.output(hidden, "next_hidden", FLOAT, ["b", length, spec.d_model])
    if spec.norm_first:
        if residual in b.inputs:  # nothing is added to the embedding: an input cannot be an output too
            residual = b.op("Identity", [residual], "/residual")
        b.output(residual, "next_residual", FLOAT, ["b", length, spec.d_model])
