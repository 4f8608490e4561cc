"""The LM head: logits, the best of them, and what they sum to.

With the matrix in two nibble planes (`Scheme.planes`) each step multiplies by the coarse plane only, half the bytes of
8 bits. The k best are then scored again, in float32, by both planes together; the logits of the other ids keep the
precision of 4 bits. In `embed_and_lm_head`, the file for every reader, the graph does that too. `lm_head` is for our
own runtime, which reads the few rows itself (`runtime.matrix`), so that nothing else of the matrix is ever in memory.

Shapes: b rows, d width, v vocabulary, k best.
"""

import math

import onnx_ir as ir

from quartet.graph.builder import Builder, StoredWeight, Weight
from quartet.graph.layers import embedding, quantized_product, times_columns
from quartet.quantize.numerics import Scheme
from quartet.quantize.recipes import Recipe
from quartet.spec import EMBED_AND_LM_HEAD, LM_HEAD, TOP_K, ModelSpec

CHUNK_BYTES = 36 << 20  # of a product's matrix: packing one at load needs twice this for a moment


def matrix_weight(spec: ModelSpec, recipe: Recipe) -> Weight:
    """The embedding [v, d] of the decoder (and of the encoder, where they share it)."""
    scheme = recipe.embedding_scheme(spec.d_model, spec.tied_head)
    shape = (spec.vocab_size, spec.d_model)
    return Weight("/embed_tokens.weight", ("decoder.embed_tokens.weight",), shape, scheme=scheme)


def head_weight(spec: ModelSpec, recipe: Recipe) -> Weight:
    """The matrix of the head: the embedding's own, where they are tied."""
    if spec.tied_head:
        return matrix_weight(spec, recipe)
    scheme = recipe.scheme(EMBED_AND_LM_HEAD, spec.d_model)
    return Weight("/lm_head.weight", ("lm_head.weight",), (spec.vocab_size, spec.d_model), scheme=scheme)


def bias_weight(spec: ModelSpec) -> Weight | None:
    """The bias [v] of the logits."""
    return Weight("/lm_head.bias", ("final_logits_bias",), (1, spec.vocab_size)) if spec.head_bias else None


def lm_head(spec: ModelSpec, recipe: Recipe) -> Builder:
    """`pre_logits` [b, 1, d] to logits, the k best scores and their ids, best first, and the log-sum-exp [b, 1].

    It has no weights of its own but names those of `embed_and_lm_head`, in chunks of rows. With two planes the logits
    are those of the coarse one.
    """
    return head_over(head_weight(spec, recipe), bias_weight(spec), recipe)


def head_over(weight: Weight, bias_: Weight | None, recipe: Recipe) -> Builder:
    """The head's graph over a matrix [v, d] and a bias [v] that another graph stores."""
    b = Builder(LM_HEAD, recipe)
    v, d = weight.source_shape
    k = min(TOP_K, v)
    pre_logits = b.input("pre_logits", ir.DataType.FLOAT, ["b", 1, d])
    bias = b.borrowed(bias_, 0, v).codes if bias_ else None
    if weight.scheme is None:
        logits = _float_product(b, pre_logits, b.borrowed(weight, 0, v).codes, bias, d)
    else:
        parts = [(b.borrowed(weight, start, stop), start, stop) for start, stop in _chunks(weight)]
        x = times_columns(b, pre_logits, parts[0][0], "/lm_head/scaled")
        chunks = [
            quantized_product(b, x, stored, weight.scheme, stop - start, d, f"/lm_head/product.{start}")
            for stored, start, stop in parts
        ]
        logits = b.op("Concat", chunks, "/lm_head/product", {"axis": 2}) if len(chunks) > 1 else chunks[0]
        logits = b.op("Add", [logits, bias], "/lm_head/biased") if bias else logits
    scores, ids = _top(b, logits, k, "/lm_head/top")
    b.output(_log_sum_exp(b, logits, scores, ids), "log_sum_exp", ir.DataType.FLOAT, ["b", 1])
    b.output(logits, "logits", ir.DataType.FLOAT, ["b", 1, v])
    b.output(scores, "top_scores", ir.DataType.FLOAT, ["b", 1, k])
    b.output(ids, "top_ids", ir.DataType.INT64, ["b", 1, k])
    return b


def _chunks(weight: Weight) -> list[tuple[int, int]]:
    codes = weight.parts["codes"]
    rows = codes.shape[0]
    step = math.ceil(rows / math.ceil(codes.nbytes / CHUNK_BYTES))
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def whole_head(
    b: Builder,
    pre_logits: ir.Value,
    stored: StoredWeight,
    bias: ir.Value | None,
    scheme: Scheme | None,
    spec: ModelSpec,
) -> ir.Value:
    """`pre_logits` [b, 1, d] times the matrix [v, d] as it lies, plus the bias: logits [b, 1, v]."""
    d, v = spec.d_model, spec.vocab_size
    if scheme is None:
        return _float_product(b, pre_logits, stored.codes, bias, d)
    x = times_columns(b, pre_logits, stored, "/lm_head/scaled")
    logits = quantized_product(b, x, stored, scheme, v, d, "/lm_head/product")
    logits = b.op("Add", [logits, bias], "/lm_head/biased") if bias else logits
    if not scheme.planes:
        return logits
    _, ids = _top(b, logits, min(TOP_K, v), "/lm_head/top")
    scores = _rescored(b, pre_logits, stored, bias, scheme, ids)
    return b.op("ScatterElements", [logits, ids, scores], "/lm_head/logits", {"axis": 2})


def _float_product(b: Builder, pre_logits: ir.Value, matrix: ir.Value, bias: ir.Value | None, d: int) -> ir.Value:
    """Gemm can read the matrix transposed; a MatMul would need it stored again."""
    flat = b.op("Reshape", [pre_logits, b.integers("flat", -1, d)], "/lm_head/flat")
    product = b.op("Gemm", [flat, matrix, *([bias] if bias else [])], "/lm_head/product", {"transB": 1})
    return b.op("Unsqueeze", [product, b.integers("axis1", 1)], "/lm_head/product/rows")


def _top(b: Builder, scores: ir.Value, count: int, name: str) -> tuple[ir.Value, ...]:
    """The best scores [b, 1, k] of each row and where they stand, best first; equal ones in their order."""
    return b.op_many("TopK", [scores, b.integers("k", count)], name, (name, f"{name}/places"))


def _rescored(
    b: Builder, pre_logits: ir.Value, stored: StoredWeight, bias: ir.Value | None, scheme: Scheme, ids: ir.Value
) -> ir.Value:
    """Logits of `ids`, both [b, 1, k], by both planes and float32 activations."""
    last = b.integers("axes_last", -1)
    rows = embedding(b, stored, ids, scheme, "/lm_head/candidates")  # [b, 1, k, d]
    column = b.op("Unsqueeze", [pre_logits, last], "/lm_head/column")
    products = b.op("MatMul", [rows, column], "/lm_head/rescored_column")
    scores = b.op("Squeeze", [products, last], "/lm_head/rescored")
    if bias is None:
        return scores
    return b.op("Add", [scores, b.op("Gather", [bias, ids], "/lm_head/candidate_bias")], "/lm_head/rescored_biased")


def _log_sum_exp(b: Builder, logits: ir.Value, scores: ir.Value, ids: ir.Value) -> ir.Value:
    """[b, 1, v] and its best [b, 1, k] to [b, 1]: the best logit less the logarithm of its probability.

    `Softmax` is the fastest way to it: `ReduceLogSumExp` takes four times as long.
    """
    probabilities = b.op("Softmax", [logits], "/lm_head/probabilities", {"axis": -1})
    first = [b.integers("from0", 0), b.integers("to1", 1), b.integers("axes_last", -1)]
    highest = b.op("Slice", [scores, *first], "/lm_head/highest")
    place = b.op("Slice", [ids, *first], "/lm_head/highest_place")
    likeliest = b.op("GatherElements", [probabilities, place], "/lm_head/likeliest", {"axis": -1})
    difference = b.op("Sub", [highest, b.op("Log", [likeliest], "/lm_head/log_likeliest")], "/lm_head/difference")
    return b.op("Squeeze", [difference, b.integers("axes_last", -1)], "/lm_head/log_sum_exp")
