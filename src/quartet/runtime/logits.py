"""Scores of the next token: the LM head's logits, the best of them scored again by the whole matrix.

Shapes: b rows, d width, v vocabulary, k best.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import IOBinding, OrtValue

from quartet.arrays import Floats, Ids
from quartet.runtime.machine import packing
from quartet.runtime.matrix import MatrixRows
from quartet.runtime.model import Model
from quartet.runtime.scores import Scores
from quartet.spec import TOP_K

LOGITS_BYTES = packing.LARGEST_KEPT  # of the head at once: what is larger comes from the system, page by page
RESCORED = 6  # of the best tokens by the coarse plane, and twice as many more as the search asks for


@dataclass
class HeadOutputs:
    """What the head of one model writes into, step after step of a search."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)  # by output, for as many rows as there were at most
    rows: int = 0  # that `parts` are bound for
    parts: list[tuple[slice, IOBinding]] = field(default_factory=list)  # rows that are read at once
    read: OrtValue | None = None  # what the only part is bound to

    def bind(self, model: Model, rows: int) -> None:
        """Make room for so many rows, unless there is."""
        if rows == self.rows:
            return
        vocabulary = model.head_size
        if rows > len(self.arrays.get("logits", ())):
            best = min(TOP_K, vocabulary)
            self.arrays = {
                "logits": np.empty((rows, 1, vocabulary), np.float32),
                "top_scores": np.empty((rows, 1, best), np.float32),
                "top_ids": np.empty((rows, 1, best), np.int64),
                "log_sum_exp": np.empty((rows, 1), np.float32),
            }
        at_once = max(1, LOGITS_BYTES // (4 * vocabulary))
        parts = [slice(start, min(start + at_once, rows)) for start in range(0, rows, at_once)]
        self.parts = [(part, self._bound(model, part)) for part in parts]
        self.rows, self.read = rows, None

    def _bound(self, model: Model, part: slice) -> IOBinding:
        binding = model.lm_head.io_binding()
        for name, values in self.arrays.items():
            binding.bind_ortvalue_output(name, OrtValue.ortvalue_from_numpy(values[part]))
        return binding


def read_scores(model: Model, pre_logits: OrtValue, count: int = 1, outputs: HeadOutputs | None = None) -> Scores:
    """The LM head: `pre_logits` [b, 1, d] to the scores of the next token, in memory that may be written to.

    count: how many of the best tokens have to be right, where the head is quantised in two planes. outputs: where to
    write; scores that were read into them before are lost.
    """
    outputs = HeadOutputs() if outputs is None else outputs
    hidden = pre_logits.numpy()
    outputs.bind(model, len(hidden))
    for part, binding in outputs.parts:
        if len(outputs.parts) > 1:
            binding.bind_ortvalue_input("pre_logits", OrtValue.ortvalue_from_numpy(hidden[part]))
        elif pre_logits is not outputs.read:
            binding.bind_ortvalue_input("pre_logits", pre_logits)
            outputs.read = pre_logits
        model.lm_head.run_with_iobinding(binding)
    logits, top_scores, top_ids, log_sum_exp = (values[: len(hidden), 0] for values in outputs.arrays.values())
    scores = Scores(logits, top_ids, top_scores[:, -1], log_sum_exp)
    if model.candidates is not None:
        ids = top_ids[:, : RESCORED + 2 * count]
        scores.correct(ids, rescored(hidden[:, 0], model.candidates, model.model_ids(ids)))
    return scores


def rescored(pre_logits: Floats, matrix: MatrixRows, ids: Ids) -> Floats:
    """Logits of `ids` [b, k] by the whole matrix instead of its coarse plane; `pre_logits` [b, d].

    Not by `matmul`: threads of numpy's BLAS spin for some 20 ms after each product, beside the next runs of the model,
    which then take twice as long.
    """
    logits: Floats = np.vecdot(matrix.read(ids), pre_logits[:, None]) + matrix.bias_of(ids)
    return logits
