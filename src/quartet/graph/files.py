"""The four graphs of the contract (design, section 4), one function each.

Shapes: b batch, s source length, p generated so far, t tokens fed at once, d width, h heads, k head size, v vocabulary.
"""

import numpy as np
import onnx_ir as ir

from quartet.graph.attention import (
    cross_attention,
    decoder_self_attention,
    encoder_self_attention,
    heads_of,
    projection,
    split_heads,
)
from quartet.graph.builder import Builder, StoredWeight, Weight
from quartet.graph.head import bias_weight, head_weight, matrix_weight, whole_head
from quartet.graph.layers import (
    add_and_norm,
    add_positions,
    convolution,
    embedding,
    feed_forward,
    norm,
    path,
    vector,
)
from quartet.graph.relative import step_bias, whole_bias
from quartet.quantize.numerics import Scheme
from quartet.quantize.recipes import Recipe
from quartet.spec import (
    CACHE_INITIALIZER,
    DECODER,
    EMBED_AND_LM_HEAD,
    ENCODER,
    FILES,
    KEY_AND_VALUE,
    FrontEnd,
    ModelSpec,
    Part,
    past_name,
    present_name,
    query_name,
)

INT64, FLOAT, BOOL = ir.DataType.INT64, ir.DataType.FLOAT, ir.DataType.BOOL


def build(spec: ModelSpec, recipe: Recipe) -> dict[str, Builder]:
    """All four graphs, by file."""
    makers = {
        EMBED_AND_LM_HEAD: embed_and_lm_head,
        ENCODER: encoder,
        CACHE_INITIALIZER: cache_initializer,
        DECODER: decoder,
    }
    return {file: makers[file](spec, recipe) for file in FILES}


def embed_and_lm_head(spec: ModelSpec, recipe: Recipe) -> Builder:
    """One matrix, two uses: rows of it for `input_ids`, or its product with `pre_logits`; `use_lm_head` says which.

    The idle branch gives an empty tensor (batch of zero) for the other output.
    """
    b = Builder(EMBED_AND_LM_HEAD, recipe)
    d, v = spec.d_model, spec.vocab_size
    use_lm_head = b.input("use_lm_head", BOOL, [1])
    input_ids = b.input("input_ids", INT64, ["b", "n"])
    pre_logits = b.input("pre_logits", FLOAT, ["b", 1, d])
    weight, head_, bias_ = matrix_weight(spec, recipe), head_weight(spec, recipe), bias_weight(spec)
    matrix = b.stored(weight)
    head = matrix if spec.tied_head else b.stored(head_)
    bias = b.weight(bias_) if bias_ else None

    embed = b.subgraph("embed")
    embed.output(embedded(embed, spec, matrix, input_ids, weight.scheme), "embed/embed_matrix", FLOAT, ["b", "n", d])
    embed.output(_empty(embed, (0, 1, v), "/embed/no_logits"), "embed/logits", FLOAT, ["b", 1, v])

    project = b.subgraph("lm_head")
    nothing = _empty(project, (0, 1, d), "/lm_head/no_embedding")
    project.output(nothing, "lm_head/embed_matrix", FLOAT, ["b", "n", d])
    logits = whole_head(project, pre_logits, head, bias, head_.scheme, spec)
    project.output(logits, "lm_head/logits", FLOAT, ["b", 1, v])

    branches = {"then_branch": project.branch_graph(), "else_branch": embed.branch_graph()}
    embed_matrix, logits = b.op_many("If", [use_lm_head], "/use_lm_head", ("embed_matrix", "logits"), branches)
    b.output(embed_matrix, "embed_matrix", FLOAT, ["b", "n", d])
    b.output(logits, "logits", FLOAT, ["b", 1, v])
    return b


def embedded(b: Builder, spec: ModelSpec, matrix: StoredWeight, input_ids: ir.Value, scheme: Scheme | None) -> ir.Value:
    """Rows of the matrix for `input_ids` [b, n], scaled: [b, n, d]."""
    rows = embedding(b, matrix, input_ids, scheme, "/embed/rows")
    return b.op("Mul", [rows, b.constant("/embed/scale", np.float32(spec.embed_scale))], "/embed")


def _empty(b: Builder, shape: tuple[int, ...], name: str) -> ir.Value:
    return b.op("ConstantOfShape", [b.integers(f"{name}/shape", *shape)], name)


def encoder(spec: ModelSpec, recipe: Recipe) -> Builder:
    """Source embeddings [b, s, d], or log-mel frames, to `last_hidden_state` [b, s, d]."""
    b = Builder(ENCODER, recipe)
    x, mask = encoder_input(b, spec) if spec.front_end is None else (front_end(b, spec, spec.front_end), None)
    source = mask, whole_bias(b, spec, "encoder", x)
    blocks = Blocks(b, spec, "encoder")
    residual, hidden = blocks.start(x)
    for layer in range(spec.encoder.layers):
        residual, hidden = encoder_layer(b, spec, blocks, layer, (residual, hidden), source)
    b.output(hidden, "last_hidden_state", FLOAT, ["b", "s", spec.d_model])
    return b


def encoder_input(b: Builder, spec: ModelSpec) -> tuple[ir.Value, ir.Value]:
    """The encoder's inputs: (embeddings with positions [b, s, d], mask int32 [b, s])."""
    d = spec.d_model
    input_ids = b.input("input_ids", INT64, ["b", "s"])
    attention_mask = b.input("attention_mask", INT64, ["b", "s"])
    embedded = b.input("embed_matrix", FLOAT, ["b", "s", d])
    if spec.source_vocab_size is not None:  # a source vocabulary of its own; `embed_matrix` is then unused
        shape = (spec.source_vocab_size, d)
        scheme = b.recipe.scheme(EMBED_AND_LM_HEAD, d)
        name = "/encoder/embed_tokens.weight"
        table = b.stored(Weight(name, ("encoder.embed_tokens.weight",), shape, scheme=scheme))
        rows = embedding(b, table, input_ids, scheme, "/encoder/embed/rows")
        scale = b.constant("/encoder/embed/scale", np.float32(spec.embed_scale))
        embedded = b.op("Mul", [rows, scale], "/encoder/embed")
    x = add_positions(b, embedded, input_ids, None, spec.positions, "/encoder/embed_positions")
    return x, b.op("Cast", [attention_mask], "/encoder/mask", {"to": int(ir.DataType.INT32)})


def front_end(b: Builder, spec: ModelSpec, shape: FrontEnd) -> ir.Value:
    """A speech encoder's input `input_features` [b, mels, frames] to vectors with positions [b, s, d], s = frames / 2.

    A window may have fewer frames than the encoder was trained with; an odd last one gets a position too.
    """
    x = b.input("input_features", FLOAT, ["b", shape.mel_bins, "frames"])
    for name, channels, stride in (("conv1", shape.mel_bins, 1), ("conv2", spec.d_model, 2)):
        x = convolution(b, x, f"encoder.{name}", (channels, spec.d_model), stride)
        x = b.op("Gelu", [x], f"/encoder/{name}/gelu")
    x = b.op("Transpose", [x], "/encoder/frames_first", {"perm": [0, 2, 1]})
    return add_positions(b, x, None, None, spec.positions, "/encoder/embed_positions")


def encoder_layer(
    b: Builder,
    spec: ModelSpec,
    blocks: "Blocks",
    layer: int,
    states: tuple[ir.Value, ir.Value],
    source: tuple[ir.Value | None, ir.Value | None],
) -> tuple[ir.Value, ir.Value]:
    """(residual, hidden), both [b, s, d], after a layer; source: mask [b, s], and bias of the scores, if any."""
    name = f"encoder.layers.{layer}"
    residual, hidden = states
    mixed = encoder_self_attention(b, hidden, *source, f"{name}.self_attn", heads_of(spec, spec.encoder))
    residual, hidden = blocks.after(residual, mixed, f"{name}.self_attn.out_proj")
    spread = feed_forward(b, hidden, name, spec, spec.encoder)
    return blocks.after(residual, spread, f"{name}.fc2")


def cache_initializer(spec: ModelSpec, recipe: Recipe) -> Builder:
    """`encoder_hidden_states` [b, s, d] to the encoder part of the cache: keys and values [b, h, s, k] per layer."""
    b = Builder(CACHE_INITIALIZER, recipe)
    states = b.input("encoder_hidden_states", FLOAT, ["b", "s", spec.d_model])
    for layer in range(spec.decoder.layers):
        cache_layer(b, spec, layer, states)
    return b


def cache_layer(b: Builder, spec: ModelSpec, layer: int, states: ir.Value) -> None:
    """Key and value [b, h, s, k] of a layer from the encoder's `states` [b, s, d], as outputs."""
    heads = heads_of(spec, spec.decoder)
    for what in KEY_AND_VALUE:
        module = f"decoder.layers.{layer}.encoder_attn.{what[0]}_proj"
        projected = projection(b, states, module, heads, bias=what == "value" or spec.key_bias)
        apart = split_heads(b, projected, heads, path(module))
        b.output(apart, present_name(layer, "encoder", what), FLOAT, ["b", heads.count, "s", heads.size])


def decoder(spec: ModelSpec, recipe: Recipe) -> Builder:
    """Embeddings [b, t, d] of the next tokens and the cache to `pre_logits` [b, t, d] and the cache with t tokens more.

    Each of the tokens sees those before it: a step of the search feeds one, a prompt goes in at once. The
    encoder part of the cache and its mask are per source: b rows of them, or fewer where each source has the same
    number of rows, one after the other, as in beam search.
    """
    b = Builder(DECODER, recipe)
    inputs = decoder_inputs(b, spec, "t")
    vectors = b.input("embed_matrix", FLOAT, ["b", "t", spec.d_model])
    hidden, presents, queries = decoded(b, spec, *inputs, vectors)
    b.output(hidden, "pre_logits", FLOAT, ["b", "t", spec.d_model])
    cache_outputs(b, spec, presents, "t")
    if spec.front_end is not None:  # with the keys in the cache they say where in the audio a token was heard
        for layer, query in enumerate(queries):
            b.output(query, query_name(layer), FLOAT, ["b", "t", heads_of(spec, spec.decoder).inner])
    return b


def decoder_inputs(b: Builder, spec: ModelSpec, fed: int | str) -> tuple[ir.Value, ir.Value | None]:
    """The ids [b, t] that are fed, and the source's mask [sources, s], as inputs; fed: t, or the number that it is."""
    input_ids = b.input("input_ids", INT64, ["b", fed])
    padded = spec.front_end is None  # windows of audio are equally long in a batch
    return input_ids, b.input("encoder_attention_mask", INT64, ["sources", "s"]) if padded else None


def decoded(
    b: Builder,
    spec: ModelSpec,
    input_ids: ir.Value,
    encoder_mask: ir.Value | None,
    vectors: ir.Value,
) -> tuple[ir.Value, list[ir.Value], list[ir.Value]]:
    """The decoder's layers over embeddings [b, t, d], with the cache as inputs.

    Returns what goes into the LM head [b, t, d], keys and values of all layers with t tokens more, and the queries of
    their cross-attention [b, t, h * k].
    """
    recipe, stack = b.recipe, spec.decoder
    heads = heads_of(spec, stack)
    past, encoder_cache = [], []
    for layer in range(stack.layers):
        past.append(cache_inputs(b, layer, "decoder", ("b", heads.count, "p", heads.size)))
        encoder_cache.append(cache_inputs(b, layer, "encoder", ("sources", heads.count, "s", heads.size)))
    past_length = b.op("Shape", [past[0][0]], "/decoder/past_length", {"start": 2, "end": 3})
    positions = spec.decoder_positions or spec.positions
    x = add_positions(b, vectors, input_ids, past_length, positions, "/decoder/embed_positions")
    bias = step_bias(b, spec, input_ids, past_length)
    mask = encoder_mask and b.op("Cast", [encoder_mask], "/decoder/encoder_mask", {"to": int(ir.DataType.INT32)})
    sources = b.op("Shape", [encoder_cache[0][0]], "/decoder/sources", {"start": 0, "end": 1})
    per_source = b.op("Concat", [sources, b.integers("rest", -1, heads.inner)], "/decoder/per_source", {"axis": 0})

    blocks = Blocks(b, spec, "decoder")
    residual, hidden = blocks.start(x)
    presents, queries = [], []
    for layer in range(stack.layers):
        b.recipe = recipe.of_layer(layer, stack.layers)
        module = f"decoder.layers.{layer}.self_attn"
        names = (present_name(layer, "decoder", "key"), present_name(layer, "decoder", "value"))
        mixed, key, value = decoder_self_attention(b, hidden, past[layer], names, bias, module, heads)
        presents += [key, value]
        states, source = (residual, mixed), (*encoder_cache[layer], mask)
        (residual, hidden), query = decoder_layer(b, spec, blocks, layer, states, source, per_source)
        queries.append(query)
    return hidden, presents, queries


def cache_outputs(b: Builder, spec: ModelSpec, presents: list[ir.Value], fed: int | str) -> None:
    """Keys and values of the tokens fed so far as outputs, under the names that they have."""
    heads = heads_of(spec, spec.decoder)
    for present in presents:
        assert present.name is not None
        b.output(present, present.name, FLOAT, ["b", heads.count, f"p + {fed}", heads.size])


def decoder_layer(
    b: Builder,
    spec: ModelSpec,
    blocks: "Blocks",
    layer: int,
    states: tuple[ir.Value, ir.Value],
    source: tuple[ir.Value, ir.Value, ir.Value | None],
    per_source: ir.Value | None = None,
) -> tuple[tuple[ir.Value, ir.Value], ir.Value]:
    """(residual, hidden) after a layer, from (residual, self-attention's result) on, and its queries; all [b, t, d].

    source: key and value of the encoder part of the cache, and the mask of both; per_source: see `cross_attention`.
    """
    name = f"decoder.layers.{layer}"
    residual, mixed = states
    residual, hidden = blocks.after(residual, mixed, f"{name}.self_attn.out_proj")
    module, (key, value, mask) = f"{name}.encoder_attn", source
    heads = heads_of(spec, spec.decoder)
    looked_up, query = cross_attention(b, hidden, (key, value), mask, per_source, module, heads)
    residual, hidden = blocks.after(residual, looked_up, f"{name}.encoder_attn.out_proj")
    spread = feed_forward(b, hidden, name, spec, spec.decoder)
    return blocks.after(residual, spread, f"{name}.fc2"), query


def cache_inputs(b: Builder, layer: int, part: Part, dims: tuple[int | str, ...]) -> tuple[ir.Value, ir.Value]:
    """The key and value of a layer's past, both of this shape, as inputs."""
    key = b.input(past_name(layer, part, "key"), FLOAT, dims)
    value = b.input(past_name(layer, part, "value"), FLOAT, dims)
    return key, value


# the norms of a layer, in order
NORMS: dict[Part, tuple[str, ...]] = {
    "encoder": ("self_attn", "final"),
    "decoder": ("self_attn", "encoder_attn", "final"),
}


class Blocks:
    """Residuals and norms around the blocks of a stack, for norms before the blocks (M2M100) or after (Marian).

    Both are `add_and_norm` after every block. With norms first, the norm is that of the *next* block, and the sum
    goes on as residual; with norms last, it is the block's own, and the normed sum goes on. A graph that begins at a
    later `layer` has the norms before it behind it.
    """

    def __init__(self, b: Builder, spec: ModelSpec, side: Part, layer: int | None = None) -> None:
        layers = (spec.encoder if side == "encoder" else spec.decoder).layers
        names = [f"{side}.layers.{i}.{norm}_layer_norm" for i in range(layers) for norm in NORMS[side]]
        if spec.final_norm:
            names.append(f"{side}.layer_norm")
        done = 0 if layer is None else layer * len(NORMS[side]) + spec.norm_first
        self.b, self.spec, self.names = b, spec, iter(names[done:])

    def start(self, x: ir.Value) -> tuple[ir.Value, ir.Value]:
        """(residual, input of the first block), both [b, s, d]."""
        if not self.spec.norm_first:
            return x, x
        return x, norm(self.b, x, next(self.names), self.spec)

    def after(self, residual: ir.Value, branch: ir.Value, last_linear: str) -> tuple[ir.Value, ir.Value]:
        """(residual, input of the next block) after a block that ends in the module `last_linear`."""
        b, spec, name = self.b, self.spec, next(self.names)
        bias = vector(b, (f"{last_linear}.bias",), spec.d_model, f"{path(last_linear)}.bias") if spec.biases else None
        total, normed = add_and_norm(b, residual, branch, bias, name, spec)
        if name == "decoder.layer_norm" and spec.output_scale != 1:
            normed = b.op("Mul", [normed, b.constant("output_scale", np.float32(spec.output_scale))], "/decoder/scaled")
        return (total if spec.norm_first else normed), normed
