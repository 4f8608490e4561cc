"""T5's relative positions: biases of the scores of attention, one per head and bucket of distances.

They are computed once per graph and run, and go into the kernel's bias input of every layer. Shapes: h heads, s tokens
of the source, t tokens of the target, p tokens before this step.
"""

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quartet.graph.builder import Builder, Weight
from quartet.spec import ModelSpec, Part, RelativeBias


def whole_bias(b: Builder, spec: ModelSpec, side: Part, tokens: ir.Value) -> ir.Value | None:
    """The bias [1, h, s, s] between all tokens of `tokens` [b, s, ..]; None where the model has other positions."""
    if not isinstance(spec.positions, RelativeBias):
        return None
    name = f"/{side}/relative_bias"
    length = b.op("Shape", [tokens], f"{name}/length", {"start": 1, "end": 2})
    places = _range(b, length, f"{name}/places")
    queries = b.op("Unsqueeze", [places, b.integers("axes_last", -1)], f"{name}/queries")
    offsets = b.op("Sub", [places, queries], f"{name}/offsets")  # of keys from queries, [s, s]
    return _bias(b, spec, spec.positions, side, offsets, name)


def step_bias(b: Builder, spec: ModelSpec, tokens: ir.Value, past_length: ir.Value) -> ir.Value | None:
    """The bias [1, h, t, p + t] of `tokens` [b, t] after `past_length` [1] others; None as in `whole_bias`."""
    if not isinstance(spec.positions, RelativeBias):
        return None
    name = "/decoder/relative_bias"
    count = b.op("Shape", [tokens], f"{name}/count", {"start": 1, "end": 2})
    places = _range(b, b.op("Add", [past_length, count], f"{name}/length"), f"{name}/places")
    new = b.op("Add", [_range(b, count, f"{name}/new"), past_length], f"{name}/new_places")
    queries = b.op("Unsqueeze", [new, b.integers("axes_last", -1)], f"{name}/queries")
    offsets = b.op("Sub", [places, queries], f"{name}/offsets")  # of keys from queries, [t, p + t]
    return _bias(b, spec, spec.positions, "decoder", offsets, name)


def _range(b: Builder, length: ir.Value, name: str) -> ir.Value:
    """0, 1, 2, ... up to `length` [1], which does not belong to it."""
    stop = b.op("Squeeze", [length], f"{name}/stop")
    return b.op("Range", [b.constant("zero", np.int64(0)), stop, b.constant("step", np.int64(1))], name)


def _bias(b: Builder, spec: ModelSpec, positions: RelativeBias, side: Part, offsets: ir.Value, name: str) -> ir.Value:
    """[1, h, queries, keys] for `offsets` [queries, keys]: a table of buckets, then the row of each bucket."""
    heads = (spec.encoder if side == "encoder" else spec.decoder).heads
    farthest = positions.max_distance
    low, high = (b.constant(f"{name}/{end}", np.int64(at)) for end, at in (("low", -farthest), ("high", farthest)))
    near = b.op("Clip", [offsets, low, high], f"{name}/near")
    index = b.op("Add", [near, high], f"{name}/index")
    table = b.constant(f"{name}/table", buckets(positions, bidirectional=side == "encoder"))
    bucket = b.op("Gather", [table, index], f"{name}/buckets")
    source = f"{side}.relative_bias.weight"
    weight = b.weight(Weight(f"{name}.weight", (source,), (positions.buckets, heads)))
    rows = b.op("Gather", [weight, bucket], f"{name}/rows")  # [queries, keys, h]
    by_head = b.op("Transpose", [rows], f"{name}/by_head", {"perm": [2, 0, 1]})
    return b.op("Unsqueeze", [by_head, b.integers("axis0_list", 0)], name)


def buckets(positions: RelativeBias, bidirectional: bool) -> NDArray[np.int64]:
    """Bucket of each offset of a key from its query, from -max_distance to max_distance: [2 * max_distance + 1].

    Half of the buckets of a direction are for one distance each, the others for ranges that grow with the logarithm,
    computed in float32 as transformers does (`T5Attention._relative_position_bucket`): rounding decides at their ends.
    """
    offsets = np.arange(-positions.max_distance, positions.max_distance + 1)
    count = positions.buckets // 2 if bidirectional else positions.buckets
    distance = np.abs(offsets) if bidirectional else np.maximum(-offsets, 0)
    exact = count // 2
    scale = np.float32(math.log(positions.max_distance / exact))
    octaves = np.log(np.maximum(distance, exact).astype(np.float32) / np.float32(exact)) / scale
    far = np.minimum(exact + (octaves * np.float32(count - exact)).astype(np.int64), count - 1)
    found: NDArray[np.int64] = np.where(distance < exact, distance, far)
    if bidirectional:
        found[offsets > 0] += count
    return found
