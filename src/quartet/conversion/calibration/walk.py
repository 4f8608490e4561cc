"""A model in float32, run layer by layer with one layer in memory: the sentences wait between the layers.

Texts are known on both sides, so the decoder sees all target tokens at once. What the pieces of the walk give is what
the four files would give.
"""

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from quartet.arrays import Floats
from quartet.checkpoint.tensors import TensorEntry, read
from quartet.graph import pieces, writer
from quartet.graph.builder import Builder
from quartet.quantize.recipes import Recipe
from quartet.spec import CACHE_INITIALIZER, DECODER, ENCODER, KEY_AND_VALUE, ModelSpec, past_name, present_name

Arrays = dict[str, np.ndarray]  # inputs or outputs of a graph, by name
FLOAT32 = Recipe("fp32")
MOMENT_ROWS = 1024  # added together


@dataclass(frozen=True)
class Batch:
    """Sentences with their translations as ids, padded at the end; masks are 1 where a token is."""

    source_ids: np.ndarray  # int64 [b, s], with the special tokens
    source_mask: np.ndarray  # int64 [b, s]
    target_ids: np.ndarray  # int64 [b, t], from the decoder start on, without the end
    target_mask: np.ndarray  # int64 [b, t]


@dataclass(frozen=True)
class Model:
    """A checkpoint, and the quartet that was made from it."""

    spec: ModelSpec
    tensors: Mapping[str, TensorEntry]  # by canonical name
    folder: Path  # of the quartet; what is written on the way goes there too, and is gone afterwards
    graphs: Mapping[str, Builder]  # of the quartet, as they were written


@dataclass(frozen=True)
class Step:
    """One piece of the walk, after it was run in float32; lists have an entry for each batch."""

    file: str
    layer: int | None  # None: what comes before the first one
    build: Callable[[Recipe], Builder]
    feeds: list[Arrays]
    outputs: list[Arrays]
    masks: list[np.ndarray]  # where tokens are in the outputs
    moments: dict[str, Floats] = field(default_factory=dict)  # mean x^T x of each linear map's inputs, by weight

    def hidden(self) -> Floats:
        """The hidden states that come out, of all tokens: [n, d]."""
        pairs = zip(self.outputs, self.masks, strict=True)
        return np.concatenate([out["next_hidden"][mask > 0] for out, mask in pairs])


def walk(model: Model, batches: list[Batch], moments: bool = False, stored: Recipe | None = None) -> Iterator[Step]:
    """Run encoder, cache initializer and decoder, piece by piece, and hand out each; `moments` are made if wanted.

    stored: the recipe of the quartet, to run it as it lies in its files; None: in float32, as the checkpoint is.
    """
    spec = model.spec
    sources, targets = [b.source_mask for b in batches], [b.target_mask for b in batches]
    feeds = [_source(model, batch) for batch in batches]
    step = _step(model, ENCODER, None, partial(pieces.encoder_start, spec), feeds, sources, moments, stored)
    yield step
    for layer in range(spec.encoder.layers):
        feeds = [carried(out) | {"attention_mask": mask} for out, mask in zip(step.outputs, sources, strict=True)]
        build = partial(pieces.encoder_piece, spec, layer=layer)
        step = _step(model, ENCODER, layer, build, feeds, sources, moments, stored)
        yield step
    encoded = [{"encoder_hidden_states": out["next_hidden"]} for out in step.outputs]
    feeds = [_target(model, batch) for batch in batches]
    step = _step(model, DECODER, None, partial(pieces.decoder_start, spec), feeds, targets, moments, stored)
    yield step
    for layer in range(spec.decoder.layers):
        build = partial(pieces.cache_piece, spec, layer=layer)
        cache = _step(model, CACHE_INITIALIZER, layer, build, encoded, sources, moments, stored)
        yield cache
        feeds = [
            carried(out) | past(layer, present) | {"encoder_attention_mask": mask}
            for out, present, mask in zip(step.outputs, cache.outputs, sources, strict=True)
        ]
        build = partial(pieces.decoder_piece, spec, layer=layer)
        step = _step(model, DECODER, layer, build, feeds, targets, moments, stored)
        yield step


def carried(outputs: Arrays) -> Arrays:
    """The states that a piece gives, named as the next one takes them."""
    return {name.removeprefix("next_"): value for name, value in outputs.items() if name.startswith("next_")}


def past(layer: int, present: Arrays) -> Arrays:
    """The encoder part of a layer's cache, named as the decoder takes it."""
    return {past_name(layer, "encoder", what): present[present_name(layer, "encoder", what)] for what in KEY_AND_VALUE}


def float_bytes(builder: Builder) -> int:
    """Bytes of a graph's weights in float32."""
    return sum(4 * len(weight.sources) * math.prod(weight.source_shape) for weight in builder.weights.values())


def embedded(model: Model, table: str, ids: np.ndarray) -> Floats:
    """Rows of an embedding for `ids` [b, n], scaled: [b, n, d]. Only these are read."""
    unique, places = np.unique(ids, return_inverse=True)
    rows = np.concatenate([read(model.tensors[table], row, row + 1) for row in unique.tolist()])
    scaled: Floats = rows[places.reshape(ids.shape)] * np.float32(model.spec.embed_scale)
    return scaled


def _source(model: Model, batch: Batch) -> Arrays:
    if model.spec.source_vocab_size is None:
        matrix = embedded(model, "decoder.embed_tokens.weight", batch.source_ids)
    else:  # the encoder has a table of its own
        matrix = np.zeros((*batch.source_ids.shape, model.spec.d_model), np.float32)
    return {"input_ids": batch.source_ids, "attention_mask": batch.source_mask, "embed_matrix": matrix}


def _target(model: Model, batch: Batch) -> Arrays:
    matrix = embedded(model, "decoder.embed_tokens.weight", batch.target_ids)
    return {"input_ids": batch.target_ids, "embed_matrix": matrix}


def _step(
    model: Model,
    file: str,
    layer: int | None,
    build: Callable[[Recipe], Builder],
    feeds: list[Arrays],
    masks: list[np.ndarray],
    moments: bool,
    stored: Recipe | None,
) -> Step:
    builder = build(stored or FLOAT32)
    wanted = [value.name for value in builder.outputs]
    taps = pieces.tap(builder) if moments else {}
    sums: dict[str, Floats] = {}
    outputs: list[Arrays] = []
    with stored_session(builder, model) if stored else float_session(builder, model) as session:
        for feed, mask in zip(feeds, masks, strict=True):
            found = run(session, feed)
            outputs.append({name: found[name] for name in wanted if name is not None})
            for name in set(taps.values()):
                _add_moments(sums, name, (found | feed)[name][mask > 0])
    count = sum(int(mask.sum()) for mask in masks)
    for total in sums.values():
        np.divide(total, np.float32(count), out=total)
    return Step(file, layer, build, feeds, outputs, masks, {weight: sums[name] for weight, name in taps.items()})


def _add_moments(sums: dict[str, Floats], name: str, x: Floats) -> None:
    """Add those of `x` [n, K], a few rows of the [K, K] at a time: 8192 columns make 268 MB, and that once."""
    columns = x.shape[1]
    total = sums.setdefault(name, np.zeros((columns, columns), np.float32))
    for start in range(0, columns, MOMENT_ROWS):
        part = slice(start, start + MOMENT_ROWS)
        total[part] += x[:, part].T @ x


def run(session: ort.InferenceSession, feeds: Arrays) -> Arrays:
    """All outputs; of the feeds only what the graph takes."""
    names = [output.name for output in session.get_outputs()]
    wanted = {value.name for value in session.get_inputs()}
    found = session.run(names, {name: array for name, array in feeds.items() if name in wanted})
    return dict(zip(names, found, strict=True))


@contextlib.contextmanager
def float_session(builder: Builder, model: Model) -> Iterator[ort.InferenceSession]:
    """A piece in float32, with its weights as the checkpoint has them."""
    with tempfile.TemporaryDirectory(dir=model.folder) as folder:
        writer.write(builder, model.tensors, Path(folder), _ignore)
        yield open_session(Path(folder) / f"{builder.name}.onnx", prepacking=False)


@contextlib.contextmanager
def stored_session(builder: Builder, model: Model) -> Iterator[ort.InferenceSession]:
    """A piece with the weights of the quartet, where they lie in its data file."""
    whole = model.graphs[builder.name]
    for name, value in builder.initializers.items():
        if value.const_value is None:
            value.const_value = whole.initializers[name].const_value
    path = model.folder / f".{builder.name}.piece.onnx"  # beside the data: ONNX Runtime does not look elsewhere
    ir.save(builder.model(), path)
    try:
        yield open_session(path)
    finally:
        path.unlink()


def open_session(path: Path, prepacking: bool = True) -> ort.InferenceSession:
    """A graph that is soon closed again. Without `prepacking`, float32 weights stay mapped: slower, and smaller."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if not prepacking:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _ignore(count: int) -> None:
    """No bar for a layer."""
