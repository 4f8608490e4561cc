"""From which release of ONNX Runtime on a graph runs on CPUs; Android's, Node's and the browser's builds count alike.

Only what was measured is claimed (`benchmarks/oldest_onnxruntime.py`, results in docs/log.md): a graph with any other
operator, or of a later opset, gets no release at all.
"""

import re

import onnx_ir as ir

Release = tuple[int, int]

OPSET = 20  # that was measured
FIRST: Release = (1, 17)  # that reads this opset
PLAIN = re.findall(
    r"\w+",
    """Add BiasGelu Cast Clip Concat ConstantOfShape Conv Cos CumSum Div Equal Expand FastGelu Gather GatherElements
    Gelu Gemm Identity If LayerNormalization Log Loop MatMul Max Mul MultiHeadAttention Not Pad QuickGelu Range
    ReduceMax Relu Reshape ScatterElements Shape SimplifiedLayerNormalization Sin Size SkipLayerNormalization
    SkipSimplifiedLayerNormalization Slice Softmax Split Squeeze StringConcat Sub TopK Transpose Unsqueeze""",
)
PRODUCT = "MatMulNBits"
PRODUCT_BITS: dict[int, Release] = {4: (1, 19), 8: (1, 22)}  # 1.17 and 1.18 run 4 bits, with other results
PADDED_CROSS_ATTENTION: Release = (1, 21)  # older ones do not see the mask of keys and values given as [b, h, s, k]


def oldest_runtime(model: ir.Model) -> Release | None:
    """The oldest release that runs the graph; None where that was not measured."""
    needed = [_needed(node) for node in model.graph.all_nodes()]
    if model.opset_imports.get("") != OPSET or None in needed:
        return None
    return max((release for release in needed if release is not None), default=FIRST)


def _needed(node: ir.Node) -> Release | None:
    if node.op_type == PRODUCT:
        return PRODUCT_BITS.get(node.attributes.get_int("bits", 4))
    return FIRST if node.op_type in PLAIN else None


def pads_wrongly_before(model: ir.Model) -> Release | None:
    """The release below which rows of a padded batch change each other; None where that cannot happen."""
    masked = any(_is_masked_cross_attention(node) for node in model.graph.all_nodes())
    return PADDED_CROSS_ATTENTION if masked else None


def _is_masked_cross_attention(node: ir.Node) -> bool:
    """Has a mask, and keys that are an input of the graph: the cache."""
    if node.op_type != "MultiHeadAttention" or len(node.inputs) < 5 or node.inputs[4] is None:
        return False
    key = node.inputs[1]
    return key is not None and key.is_graph_input()
