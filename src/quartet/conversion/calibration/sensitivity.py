"""How much does each matrix of the layers harm where it alone is rounded, all others being in float32?

One walk through the layers carries all these models side by side: a model is float32's own up to the layer of its
matrix, and goes its own way from there. So a layer's weights are read once, and what waits between the layers are
the states of a few sentences for each matrix. In the encoder, whose models go through all of the decoder, the matrices
of a block are rounded together and share what they harm by their sizes.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from quartet.arrays import Floats
from quartet.checkpoint.tensors import read
from quartet.conversion.calibration.divergence import Reference, divergences, reference
from quartet.conversion.calibration.walk import (
    FLOAT32,
    Arrays,
    Batch,
    Model,
    Step,
    carried,
    float_session,
    past,
    run,
    walk,
)
from quartet.graph import pieces
from quartet.progress import Progress
from quartet.quantize.numerics import Scheme, dequantize, quantize
from quartet.quantize.recipes import fitting
from quartet.spec import CACHE_INITIALIZER, DECODER, ENCODER, ModelSpec

GROUPS = {ENCODER: 2, DECODER: 8}  # of matrices in a layer, those of its cache included
Names = tuple[str, ...]


@dataclass
class _Variant:
    """The model with one matrix rounded, so far; lists have an entry for each batch, None: as in float32."""

    states: list[Arrays] | None = None
    encoded: list[Arrays] | None = None  # what the cache initializer gets

    def turn_to_the_decoder(self) -> None:
        """Keep the encoder's states as what the decoder looks at."""
        assert self.states is not None
        self.encoded = [{"encoder_hidden_states": state["hidden"]} for state in self.states]
        self.states = None


@dataclass(frozen=True)
class _Piece:
    """A layer whose matrices are fed."""

    session: ort.InferenceSession
    weights: dict[str, Floats]  # its matrices [in, out], by name
    step: Step

    def outputs(self, own: Sequence[Arrays] | None, rounded: Arrays) -> list[Arrays]:
        """What comes out for each batch, with feeds of a variant's `own` and some matrices `rounded`."""
        added: Sequence[Arrays] = own or [{}] * len(self.step.feeds)
        return [
            run(self.session, feeds | self.weights | more | rounded)
            for feeds, more in zip(self.step.feeds, added, strict=True)
        ]


def products(spec: ModelSpec) -> int:
    """Multiplications that `harms` takes for each token, biases and attention left out."""
    d, encoder, decoder = spec.d_model, spec.encoder, spec.decoder
    gates = 3 if spec.gated else 2
    of_encoder = 4 * d * encoder.heads * spec.size_of_head(encoder) + gates * d * encoder.ffn_dim
    of_decoder = 8 * d * decoder.heads * spec.size_of_head(decoder) + gates * d * decoder.ffn_dim
    in_encoder = GROUPS[ENCODER] * encoder.layers * (encoder.layers + 1) // 2
    in_decoder = GROUPS[DECODER] * decoder.layers * (decoder.layers + 1) // 2
    return of_encoder * in_encoder + of_decoder * (in_decoder + GROUPS[ENCODER] * encoder.layers * decoder.layers)


def harms(model: Model, batches: list[Batch], scheme: Scheme, progress: Progress) -> dict[str, float]:
    """Divergence from float32 per token, in nats, by the name of the matrix that is rounded plainly as `scheme` says.

    Raises `CheckpointError` for weights that are not finite.
    """
    variants: dict[Names, _Variant] = {}
    cache: Step | None = None
    step: Step | None = None
    layers, done = model.spec.encoder.layers + model.spec.decoder.layers, 0
    for step in walk(model, batches):
        if step.layer is None:
            for variant in variants.values():
                variant.turn_to_the_decoder()
            continue
        if step.file == CACHE_INITIALIZER:
            cache = step
            continue
        if step.file == ENCODER:
            _through_encoder(model, step, variants, scheme)
        else:
            assert cache is not None
            _through_decoder(model, cache, step, variants, scheme)
        done += 1
        progress(done, layers)
    assert step is not None
    expected = reference(model.spec, model.tensors, step.hidden())
    found: dict[str, float] = {}
    for names, variant in variants.items():
        sizes = [_size(model, name) for name in names]
        harm = _harm(expected, variant, step) / sum(sizes)
        found |= {name: harm * size for name, size in zip(names, sizes, strict=True)}
    return found


def _size(model: Model, name: str) -> int:
    """Elements of a matrix in the layers."""
    weight = next(graph.weights[name] for graph in model.graphs.values() if name in graph.weights)
    return len(weight.sources) * math.prod(weight.source_shape)


def _harm(expected: Reference, variant: _Variant, step: Step) -> float:
    assert variant.states is not None
    pairs = zip(variant.states, step.masks, strict=True)
    states = np.concatenate([state["hidden"][mask > 0] for state, mask in pairs])
    return float(divergences(expected, states).mean(dtype=np.float64))


def _through_encoder(model: Model, step: Step, variants: dict[Names, _Variant], scheme: Scheme) -> None:
    with _opened(step, model) as piece:
        for variant in variants.values():
            variant.states = _carried(piece.outputs(variant.states, {}))
        for names, rounded in _rounded(piece, scheme):
            variants[names] = _Variant(_carried(piece.outputs(None, rounded)))


def _through_decoder(model: Model, cache: Step, step: Step, variants: dict[Names, _Variant], scheme: Scheme) -> None:
    with _opened(cache, model) as cache_piece, _opened(step, model) as piece:
        layer = step.layer
        assert layer is not None

        def with_cache(found: list[Arrays], states: list[Arrays] | None) -> list[Arrays]:
            own = [past(layer, present) for present in found]
            return own if states is None else [a | b for a, b in zip(own, states, strict=True)]

        for variant in variants.values():
            own = variant.states
            if variant.encoded is not None:
                own = with_cache(cache_piece.outputs(variant.encoded, {}), own)
            variant.states = _carried(piece.outputs(own, {}))
        for names, rounded in _rounded(cache_piece, scheme):
            own = with_cache(cache_piece.outputs(None, rounded), None)
            variants[names] = _Variant(_carried(piece.outputs(own, {})))
        for names, rounded in _rounded(piece, scheme):
            variants[names] = _Variant(_carried(piece.outputs(None, rounded)))


def _carried(outputs: list[Arrays]) -> list[Arrays]:
    return [carried(output) for output in outputs]


def _rounded(piece: _Piece, scheme: Scheme) -> Iterator[tuple[Names, Arrays]]:
    """The matrices of a layer, rounded, to be fed instead of those in float32: those of a block at once, or each."""
    groups: dict[str, Arrays] = {}
    for name, weights in piece.weights.items():
        rows = weights.T
        fitted = fitting(scheme, rows.shape[1])
        if fitted is not None:
            found = dequantize(quantize(rows, fitted), fitted, rows.shape[1])
            block = name.rpartition("/")[0] if piece.step.file == ENCODER else name
            groups.setdefault(block, {})[name] = np.ascontiguousarray(found.T)
    for rounded in groups.values():
        yield tuple(rounded), rounded


@contextlib.contextmanager
def _opened(step: Step, model: Model) -> Iterator[_Piece]:
    builder = step.build(FLOAT32)
    matrices = pieces.feed_matrices(builder)
    weights = {
        name: np.ascontiguousarray(np.concatenate([read(model.tensors[s]) for s in weight.sources]).T)
        for name, weight in matrices.items()
    }
    with float_session(builder, model) as session:
        yield _Piece(session, weights, step)
