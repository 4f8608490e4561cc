"""The graphs that the Android app RTranslator cuts otherwise than ours are cut.

NLLB's four are ours. MADLAD-400 has its LM head in the decoder, behind the last layer; Whisper has embedding and head
there, the one matrix. Their weights have the names that they have in our files. What comes before and after Whisper,
`mel_graph` and `detokenizer`, has graphs of its own.

Shapes: b rows, n tokens, s source length, d width, v vocabulary.
"""

import onnx_ir as ir

from quartet.graph.builder import Builder, StoredWeight
from quartet.graph.files import (
    FLOAT,
    INT64,
    build,
    cache_initializer,
    cache_outputs,
    decoded,
    decoder_inputs,
    embedded,
    encoder,
)
from quartet.graph.head import bias_weight, head_weight, matrix_weight, whole_head
from quartet.quantize.recipes import Recipe
from quartet.spec import CACHE_INITIALIZER, DECODER, EMBED_AND_LM_HEAD, ENCODER, ModelSpec


def translator(spec: ModelSpec, recipe: Recipe) -> dict[str, Builder]:
    """NLLB and M2M100."""
    return {f"NLLB_{file}.onnx": builder for file, builder in build(spec, recipe).items()}


def translator_with_own_head(spec: ModelSpec, recipe: Recipe) -> dict[str, Builder]:
    """MADLAD-400 and T5, under the same names: the app opens one or the other."""
    own = {EMBED_AND_LM_HEAD: embed(spec, recipe), DECODER: decoder_with_head(spec, recipe)}
    return translator(spec, recipe) | {f"NLLB_{file}.onnx": builder for file, builder in own.items()}


def recognizer(spec: ModelSpec, recipe: Recipe) -> dict[str, Builder]:
    """Whisper. The two cache initializers are the same: the app opens one for one language, the other for two."""
    return {
        f"Whisper_{ENCODER}.onnx": encoder(spec, recipe),
        f"Whisper_{CACHE_INITIALIZER}.onnx": cache_initializer(spec, recipe),
        f"Whisper_{CACHE_INITIALIZER}_batch.onnx": cache_initializer(spec, recipe),
        f"Whisper_{DECODER}.onnx": decoder_with_matrix(spec, recipe),
    }


def embed(spec: ModelSpec, recipe: Recipe) -> Builder:
    """`input_ids` [b, n] to `embed_matrix` [b, n, d]."""
    b = Builder(EMBED_AND_LM_HEAD, recipe)
    input_ids = b.input("input_ids", INT64, ["b", "n"])
    weight = matrix_weight(spec, recipe)
    vectors = embedded(b, spec, b.stored(weight), input_ids, weight.scheme)
    b.output(vectors, "embed_matrix", FLOAT, ["b", "n", spec.d_model])
    return b


def decoder_with_head(spec: ModelSpec, recipe: Recipe) -> Builder:
    """A step from `embed_matrix` [b, 1, d] to `logits` [b, 1, v]; `encoder_hidden_states` [b, s, d] are not read."""
    b = Builder(DECODER, recipe)
    inputs = decoder_inputs(b, spec, 1)
    b.input("encoder_hidden_states", FLOAT, ["b", "s", spec.d_model])
    vectors = b.input("embed_matrix", FLOAT, ["b", 1, spec.d_model])
    _step_with_head(b, spec, recipe, *inputs, vectors, b.stored(head_weight(spec, recipe)))
    return b


def decoder_with_matrix(spec: ModelSpec, recipe: Recipe) -> Builder:
    """A step from `input_ids` [b, 1] to `logits` [b, 1, v], both by one matrix where they are tied."""
    b = Builder(DECODER, recipe)
    input_ids, mask = decoder_inputs(b, spec, 1)
    weight = matrix_weight(spec, recipe)
    matrix = b.stored(weight)
    head = matrix if spec.tied_head else b.stored(head_weight(spec, recipe))
    vectors = embedded(b, spec, matrix, input_ids, weight.scheme)
    _step_with_head(b, spec, recipe, input_ids, mask, vectors, head)
    return b


def _step_with_head(
    b: Builder,
    spec: ModelSpec,
    recipe: Recipe,
    input_ids: ir.Value,
    mask: ir.Value | None,
    vectors: ir.Value,
    head: StoredWeight,
) -> None:
    hidden, presents, _ = decoded(b, spec, input_ids, mask, vectors)
    bias_ = bias_weight(spec)
    bias = b.weight(bias_) if bias_ else None
    logits = whole_head(b, hidden, head, bias, head_weight(spec, recipe).scheme, spec)
    b.output(logits, "logits", FLOAT, ["b", 1, spec.vocab_size])
    cache_outputs(b, spec, presents, 1)
