"""How far are the next tokens from those of float32? Kullback-Leibler divergence from the states before the LM head.

With `d` what the logits change by, and `p` the probabilities in float32, it is `log E_p[exp(d)] - E_p[d]`. Only
likely tokens count in it: those that are among the best at any of the positions stand for the whole vocabulary, so
that the states cost a small product and no logits are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quartet.arrays import Floats
from quartet.checkpoint.tensors import TensorEntry, read, row_slices
from quartet.graph.writer import SLICE_BYTES
from quartet.spec import ModelSpec

BEST = 32  # tokens of each position that are kept


@dataclass(frozen=True)
class Reference:
    """What float32 says at n positions."""

    states: Floats  # [n, d], what goes into the LM head
    rows: Floats  # [u, d], of the head's matrix: the likely tokens'
    probabilities: Floats  # [n, u]


def reference(spec: ModelSpec, tensors: Mapping[str, TensorEntry], states: Floats) -> Reference:
    """The likely tokens after `states` [n, d], and their probabilities; a few rows of the matrix are in memory."""
    head = tensors["decoder.embed_tokens.weight" if spec.tied_head else "lm_head.weight"]
    bias = read(tensors["final_logits_bias"]).reshape(-1) if spec.head_bias else np.zeros(head.shape[0], np.float32)
    scores, ids = np.empty((len(states), 0), np.float32), np.empty((len(states), 0), np.int64)
    for start, stop in row_slices(head.shape, SLICE_BYTES):
        logits = states @ read(head, start, stop).T + bias[start:stop]
        scores = np.concatenate([scores, logits], axis=1)
        ids = np.concatenate([ids, np.broadcast_to(np.arange(start, stop), logits.shape)], axis=1)
        best = np.argpartition(-scores, min(BEST, scores.shape[1] - 1), axis=1)[:, :BEST]
        scores, ids = np.take_along_axis(scores, best, 1), np.take_along_axis(ids, best, 1)
    likely = np.unique(ids)
    rows = np.concatenate([read(head, row, row + 1) for row in likely.tolist()])
    logits = states @ rows.T + bias[likely]
    logits -= logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits)
    return Reference(states, rows, exponentials / exponentials.sum(axis=1, keepdims=True))


def divergences(reference: Reference, states: Floats) -> Floats:
    """Of each position [n] in nats, where float32's states are `states` [n, d] instead."""
    changes = (states - reference.states) @ reference.rows.T
    means = (reference.probabilities * changes).sum(axis=1, keepdims=True)
    grown: Floats = (reference.probabilities * np.expm1(changes - means)).sum(axis=1)
    found: Floats = np.log1p(np.maximum(grown, 0))
    return found
