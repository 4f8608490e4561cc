"""The four graphs of the contract (design, section 4), one function each.

Shapes: b batch, s source length, p generated so far, d width, h heads, k head size, v vocabulary.
"""

import onnx_ir as ir

from quartet.graph.attention import (
    biased_linear,
    cross_attention,
    decoder_self_attention,
    encoder_self_attention,
    split_heads,
)
from quartet.graph.builder import Builder, Weight
from quartet.graph.layers import (
    add_and_norm,
    add_positions,
    embedding,
    feed_forward,
    layer_norm,
    path,
    quantized_product,
    vector,
)
from quartet.quantize.numerics import Scheme
from quartet.quantize.recipes import Recipe
from quartet.spec import (
    CACHE_INITIALIZER,
    DECODER,
    EMBED_AND_LM_HEAD,
    ENCODER,
    FILES,
    KEY_AND_VALUE,
    ModelSpec,
    Part,
    past_name,
    present_name,
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
    scheme = recipe.scheme(EMBED_AND_LM_HEAD, d)
    table = b.stored(Weight("/embed_tokens.weight", ("decoder.embed_tokens.weight",), (v, d), scheme=scheme))
    head = table
    if not spec.tied_head:
        head = b.stored(Weight("/lm_head.weight", ("lm_head.weight",), (v, d), scheme=scheme))

    embed = b.subgraph("embed")
    matrix = embedding(embed, table, input_ids, scheme, spec.embed_scale, "/embed")
    embed.output(matrix, "embed/embed_matrix", FLOAT, ["b", "n", d])
    embed.output(_empty(embed, (0, 1, v), "/embed/no_logits"), "embed/logits", FLOAT, ["b", 1, v])

    project = b.subgraph("lm_head")
    nothing = _empty(project, (0, 1, d), "/lm_head/no_embedding")
    project.output(nothing, "lm_head/embed_matrix", FLOAT, ["b", "n", d])
    project.output(_logits(project, head, pre_logits, scheme, spec), "lm_head/logits", FLOAT, ["b", 1, v])

    branches = {"then_branch": project.branch_graph(), "else_branch": embed.branch_graph()}
    embed_matrix, logits = b.op_many("If", [use_lm_head], "/use_lm_head", ("embed_matrix", "logits"), branches)
    b.output(embed_matrix, "embed_matrix", FLOAT, ["b", "n", d])
    b.output(logits, "logits", FLOAT, ["b", 1, v])
    return b


def _logits(b: Builder, head: list[ir.Value], pre_logits: ir.Value, scheme: Scheme | None, spec: ModelSpec) -> ir.Value:
    """`pre_logits` [b, 1, d] times the matrix [v, d] as it lies, plus the bias where there is one: [b, 1, v]."""
    d, v = spec.d_model, spec.vocab_size
    bias = []
    if spec.head_bias:
        bias = [b.weight(Weight("/lm_head.bias", ("final_logits_bias",), (1, v)))]
    if scheme is not None:
        product = quantized_product(b, pre_logits, head, scheme, v, d, "/lm_head/product")
        return b.op("Add", [product, *bias], "/lm_head/logits") if bias else product
    # Gemm can read the matrix transposed; a MatMul would need it stored again
    flat = b.op("Reshape", [pre_logits, b.integers("flat", -1, d)], "/lm_head/flat")
    product = b.op("Gemm", [flat, *head, *bias], "/lm_head/product", {"transB": 1})
    return b.op("Unsqueeze", [product, b.integers("axis1", 1)], "/lm_head/logits")


def _empty(b: Builder, shape: tuple[int, ...], name: str) -> ir.Value:
    return b.op("ConstantOfShape", [b.integers(f"{name}/shape", *shape)], name)


def encoder(spec: ModelSpec, recipe: Recipe) -> Builder:
    """Source embeddings [b, s, d] to `last_hidden_state` [b, s, d]."""
    b = Builder(ENCODER, recipe)
    d, stack = spec.d_model, spec.encoder
    input_ids = b.input("input_ids", INT64, ["b", "s"])
    attention_mask = b.input("attention_mask", INT64, ["b", "s"])
    embedded = b.input("embed_matrix", FLOAT, ["b", "s", d])
    if spec.source_vocab_size is not None:  # a source vocabulary of its own; `embed_matrix` is then unused
        shape = (spec.source_vocab_size, d)
        scheme = recipe.scheme(EMBED_AND_LM_HEAD, d)
        name = "/encoder/embed_tokens.weight"
        table = b.stored(Weight(name, ("encoder.embed_tokens.weight",), shape, scheme=scheme))
        embedded = embedding(b, table, input_ids, scheme, spec.embed_scale, "/encoder/embed")
    x = add_positions(b, embedded, input_ids, None, spec.positions, "/encoder/embed_positions")
    mask = b.op("Cast", [attention_mask], "/encoder/mask", {"to": int(ir.DataType.INT32)})

    blocks = _Blocks(b, spec, "encoder", ("self_attn", "final"), stack.layers)
    residual, hidden = blocks.start(x)
    for layer in range(stack.layers):
        name = f"encoder.layers.{layer}"
        mixed = encoder_self_attention(b, hidden, mask, f"{name}.self_attn", d, stack.heads)
        residual, hidden = blocks.after(residual, mixed, f"{name}.self_attn.out_proj")
        spread = feed_forward(b, hidden, name, d, stack.ffn_dim, spec.activation)
        residual, hidden = blocks.after(residual, spread, f"{name}.fc2")
    b.output(hidden, "last_hidden_state", FLOAT, ["b", "s", d])
    return b


def cache_initializer(spec: ModelSpec, recipe: Recipe) -> Builder:
    """`encoder_hidden_states` [b, s, d] to the encoder part of the cache: keys and values [b, h, s, k] per layer."""
    b = Builder(CACHE_INITIALIZER, recipe)
    d, heads = spec.d_model, spec.decoder.heads
    states = b.input("encoder_hidden_states", FLOAT, ["b", "s", d])
    for layer in range(spec.decoder.layers):
        for what in KEY_AND_VALUE:
            module = f"decoder.layers.{layer}.encoder_attn.{what[0]}_proj"
            projected = biased_linear(b, states, module, d)
            apart = split_heads(b, projected, heads, d // heads, path(module))
            b.output(apart, present_name(layer, "encoder", what), FLOAT, ["b", heads, "s", d // heads])
    return b


def decoder(spec: ModelSpec, recipe: Recipe) -> Builder:
    """One token's embedding [b, 1, d] and the cache to `pre_logits` [b, 1, d] and the cache with one token more."""
    b = Builder(DECODER, recipe)
    d, stack = spec.d_model, spec.decoder
    heads, head_size = stack.heads, d // stack.heads
    input_ids = b.input("input_ids", INT64, ["b", 1])
    encoder_mask = b.input("encoder_attention_mask", INT64, ["b", "s"])
    embedded = b.input("embed_matrix", FLOAT, ["b", 1, d])
    past, encoder_cache = [], []
    for layer in range(stack.layers):
        past.append(_cache_inputs(b, layer, "decoder", (heads, "p", head_size)))
        encoder_cache.append(_cache_inputs(b, layer, "encoder", (heads, "s", head_size)))
    past_length = b.op("Shape", [past[0][0]], "/decoder/past_length", {"start": 2, "end": 3})
    x = add_positions(b, embedded, input_ids, past_length, spec.positions, "/decoder/embed_positions")
    mask = b.op("Cast", [encoder_mask], "/decoder/encoder_mask", {"to": int(ir.DataType.INT32)})

    blocks = _Blocks(b, spec, "decoder", ("self_attn", "encoder_attn", "final"), stack.layers)
    residual, hidden = blocks.start(x)
    presents = []
    for layer in range(stack.layers):
        name = f"decoder.layers.{layer}"
        names = (present_name(layer, "decoder", "key"), present_name(layer, "decoder", "value"))
        mixed, key, value = decoder_self_attention(b, hidden, past[layer], names, f"{name}.self_attn", d, heads)
        presents += [key, value]
        residual, hidden = blocks.after(residual, mixed, f"{name}.self_attn.out_proj")
        looked_up = cross_attention(b, hidden, encoder_cache[layer], mask, f"{name}.encoder_attn", d, heads)
        residual, hidden = blocks.after(residual, looked_up, f"{name}.encoder_attn.out_proj")
        spread = feed_forward(b, hidden, name, d, stack.ffn_dim, spec.activation)
        residual, hidden = blocks.after(residual, spread, f"{name}.fc2")
    b.output(hidden, "pre_logits", FLOAT, ["b", 1, d])
    for present in presents:
        assert present.name is not None
        b.output(present, present.name, FLOAT, ["b", heads, "p + 1", head_size])
    return b


def _cache_inputs(b: Builder, layer: int, part: Part, dims: tuple[int | str, ...]) -> tuple[ir.Value, ir.Value]:
    key = b.input(past_name(layer, part, "key"), FLOAT, ["b", *dims])
    value = b.input(past_name(layer, part, "value"), FLOAT, ["b", *dims])
    return key, value


class _Blocks:
    """Residuals and norms around the blocks of a stack, for norms before the blocks (M2M100) or after (Marian).

    Both are `add_and_norm` after every block. With norms first, the norm is that of the *next* block, and the sum
    goes on as residual; with norms last, it is the block's own, and the normed sum goes on.
    """

    def __init__(self, b: Builder, spec: ModelSpec, side: str, norms: tuple[str, ...], layers: int) -> None:
        names = [f"{side}.layers.{i}.{norm}_layer_norm" for i in range(layers) for norm in norms]
        if spec.final_norm:
            names.append(f"{side}.layer_norm")
        self.b, self.spec, self.names = b, spec, iter(names)

    def start(self, x: ir.Value) -> tuple[ir.Value, ir.Value]:
        """(residual, input of the first block), both [b, s, d]."""
        if not self.spec.norm_first:
            return x, x
        return x, layer_norm(self.b, x, next(self.names), self.spec.d_model, self.spec.layer_norm_epsilon)

    def after(self, residual: ir.Value, branch: ir.Value, last_linear: str) -> tuple[ir.Value, ir.Value]:
        """(residual, input of the next block) after a block that ends in the module `last_linear`."""
        width, epsilon = self.spec.d_model, self.spec.layer_norm_epsilon
        bias = vector(self.b, (f"{last_linear}.bias",), width, f"{path(last_linear)}.bias")
        total, normed = add_and_norm(self.b, residual, branch, bias, next(self.names), width, epsilon)
        return (total if self.spec.norm_first else normed), normed
