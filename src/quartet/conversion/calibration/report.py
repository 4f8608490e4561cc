"""How far is a quartet from float32 on real sentences? Largest and mean differences, file by file, layer by layer.

Each file gets what it would get in float32. A stack of layers is run twice side by side, in float32 and as stored, so
the difference after a layer is what has gathered up to there.
"""

from dataclasses import dataclass

import numpy as np

from quartet.arrays import Floats
from quartet.checkpoint.tensors import read, row_slices
from quartet.conversion.calibration.examples import Examples
from quartet.conversion.calibration.walk import (
    FLOAT32,
    Arrays,
    Model,
    Step,
    carried,
    embedded,
    float_bytes,
    open_session,
    run,
    stored_session,
    walk,
)
from quartet.graph.writer import SLICE_BYTES
from quartet.progress import Progress
from quartet.quantize.recipes import Recipe
from quartet.spec import CACHE_INITIALIZER, DECODER, EMBED_AND_LM_HEAD, ENCODER, FILES, Difference, Report

OUTPUTS = {ENCODER: "last_hidden_state", CACHE_INITIALIZER: "present.*.encoder.*", DECODER: "pre_logits"}
HEAD_ROWS = 64  # tokens whose logits are compared
HEAD_BATCH = 8


@dataclass
class Tally:
    """Differences as they come in."""

    largest: float = 0.0
    total: float = 0.0
    magnitude: float = 0.0
    count: int = 0

    def add(self, expected: Floats, found: Floats) -> None:
        """Compare two arrays of one shape."""
        differences = np.abs(expected - found)
        self.largest = max(self.largest, float(differences.max(initial=0)))
        self.total += float(differences.sum(dtype=np.float64))
        self.magnitude += float(np.abs(expected).sum(dtype=np.float64))
        self.count += differences.size

    def difference(self, file: str, output: str, layer: int | None = None) -> Difference:
        """What came in so far."""
        count = max(self.count, 1)
        return Difference(file, output, layer, self.largest, self.total / count, self.magnitude / count)


def report(model: Model, recipe: Recipe, examples: Examples, progress: Progress) -> Report:
    """Compare the quartet with the checkpoint that it was made from."""
    files: dict[str, Tally] = {}
    layers: list[Difference] = []
    states: list[Arrays] = []  # of the stored stack, for each batch
    total, done = sum(float_bytes(graph) for file, graph in model.graphs.items() if file != EMBED_AND_LM_HEAD), 0
    for step in walk(model, examples.batches):
        tally, states = _compare(step, model, recipe, states)
        of_file = files.get(step.file) if step.file == CACHE_INITIALIZER else None  # a stack's is its last layer's
        files[step.file] = _merged(of_file, tally)
        if step.layer is not None:
            layers.append(tally.difference(step.file, OUTPUTS[step.file], step.layer))
        done += float_bytes(step.build(FLOAT32))
        progress(done, total)
    embedding, logits = _head(model, examples, step.hidden())
    outputs = [
        embedding.difference(EMBED_AND_LM_HEAD, "embed_matrix"),
        logits.difference(EMBED_AND_LM_HEAD, "logits"),
        *(files[file].difference(file, OUTPUTS[file]) for file in OUTPUTS),
    ]
    layers.sort(key=lambda found: FILES.index(found.file))
    return Report(examples.origin, examples.sentences, tuple(outputs), tuple(layers))


def _compare(step: Step, model: Model, recipe: Recipe, states: list[Arrays]) -> tuple[Tally, list[Arrays]]:
    """Run a piece as it is stored, on the stored stack's own states; returns how it differs, and the states after."""
    tally = Tally()
    alone = step.layer is None or step.file == CACHE_INITIALIZER  # takes only what it would get in float32
    own = [Arrays() for _ in step.feeds] if alone else states
    after: list[Arrays] = []
    with stored_session(step.build(recipe), model) as session:
        for feeds, state, expected, mask in zip(step.feeds, own, step.outputs, step.masks, strict=True):
            found = run(session, feeds | state)
            after.append(carried(found))
            for name in expected.keys() - {"next_residual"}:
                tally.add(_of_tokens(expected[name], mask), _of_tokens(found[name], mask))
    return tally, states if step.file == CACHE_INITIALIZER else after


def _of_tokens(x: np.ndarray, mask: np.ndarray) -> Floats:
    """What stands for tokens, not for padding, in states [b, s, d] or keys and values [b, h, s, k]."""
    rows: Floats = (x if x.ndim == 3 else x.transpose(0, 2, 1, 3))[mask > 0]
    return rows


def _merged(a: Tally | None, b: Tally) -> Tally:
    if a is None:
        return b
    largest = max(a.largest, b.largest)
    return Tally(largest, a.total + b.total, a.magnitude + b.magnitude, a.count + b.count)


def _head(model: Model, examples: Examples, hidden: Floats) -> tuple[Tally, Tally]:
    """The file of the embedding and the head: rows of target tokens, and logits of some `hidden` states [n, d]."""
    embedding, logits = Tally(), Tally()
    states = hidden[np.linspace(0, len(hidden) - 1, min(HEAD_ROWS, len(hidden))).astype(np.int64)]
    expected = _logits(model, states)
    session = open_session(model.folder / f"{EMBED_AND_LM_HEAD}.onnx")
    nothing: Arrays = {"input_ids": np.zeros((1, 2), np.int64), "pre_logits": states[:1, None]}
    for batch in examples.batches:
        feeds = nothing | {"use_lm_head": np.array([False]), "input_ids": batch.target_ids}
        matrix = embedded(model, "decoder.embed_tokens.weight", batch.target_ids)
        found = run(session, feeds)["embed_matrix"]
        embedding.add(_of_tokens(matrix, batch.target_mask), _of_tokens(found, batch.target_mask))
    for start in range(0, len(states), HEAD_BATCH):
        part = slice(start, start + HEAD_BATCH)
        feeds = nothing | {"use_lm_head": np.array([True]), "pre_logits": states[part, None]}
        logits.add(expected[part], run(session, feeds)["logits"][:, 0])
    return embedding, logits


def _logits(model: Model, states: Floats) -> Floats:
    """Logits [n, v] of states [n, d] in float32, with a few rows of the matrix in memory."""
    entry = model.tensors["decoder.embed_tokens.weight" if model.spec.tied_head else "lm_head.weight"]
    slices = row_slices(entry.shape, SLICE_BYTES)
    logits = np.concatenate([states @ read(entry, start, stop).T for start, stop in slices], axis=1)
    if model.spec.head_bias:
        logits += read(model.tensors["final_logits_bias"])
    return logits
