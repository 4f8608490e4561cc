"""The calls of the loop: encode a batch, decode tokens. The cache stays inside ONNX Runtime.

Shapes: b rows, s source length, p decoded so far, c tokens that a cache has room for, t tokens fed at once, d width,
h heads, k head size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import IOBinding, OrtValue

from quartet.arrays import Floats, Ids
from quartet.runtime.machine import packing, pages
from quartet.runtime.model import Model
from quartet.spec import KEY_AND_VALUE, PAST_LENGTH, past_name, present_name

Cached = NDArray[np.float32] | NDArray[np.float16]  # keys or values

MANY_SOURCES = 8
SMALLEST_ROOM = 32  # tokens of a cache that is written in place; it doubles when they are used up
SMALL_CACHE = 1 << 19  # numbers of one that may come from memory that the C library keeps


@dataclass(frozen=True)
class BoundStep:
    """Arrays that a decoder reads and writes at each step, bound to it together with those that stay the same."""

    binding: IOBinding
    input_ids: Ids  # [b, t]
    embed_matrix: Floats  # [b, t, d]
    past_length: Ids  # [1]
    pre_logits: OrtValue  # [b, t, d]


@dataclass(eq=False)
class DecoderState:
    """What one batch carries from step to step, by the decoder's input names. Only `past` changes as tokens come.

    The encoder's part is held once per source, however many rows (beams) each source has.
    """

    encoder_mask: OrtValue | None  # int64 [sources, s]; None where sources are never padded
    encoder_cache: dict[str, OrtValue]  # past_key_values.{i}.encoder.*: [sources, h, s, k]
    past: dict[str, OrtValue]  # past_key_values.{i}.decoder.*: [b, h, p, k], or [b, h, c, k] where written in place
    length: int = 0  # p
    shared: bool = False  # whether others read `encoder_cache` too
    room: int = 0  # c, where written in place
    bound: BoundStep | None = None  # and these arrays, to a decoder that writes in place; None: anew at the next step


def encode(model: Model, sources: Sequence[Sequence[int]]) -> DecoderState:
    """Run the encoder and the cache initializer on sources of mixed length; the decoder's own cache starts empty.

    Of mapped weights only those stay in memory that are used at the same time: the encoder's, or the decoder's.
    """
    input_ids, mask = padded(sources, model.manifest.tokens.pad)
    attention_mask = OrtValue.ortvalue_from_numpy(mask)
    inputs = {
        "input_ids": OrtValue.ortvalue_from_numpy(input_ids),
        "attention_mask": attention_mask,
        "embed_matrix": OrtValue.ortvalue_from_numpy(_source_embedding(model, input_ids)),
    }
    cache = _cache(model, inputs)
    if len(sources) >= MANY_SOURCES:
        packing.trim()  # what the encoder has freed of a large batch would lie there while it is decoded
    return _decoded(model, DecoderState(attention_mask, cache, _empty_past(model, len(sources))))


def encode_features(model: Model, features: Floats) -> dict[str, OrtValue]:
    """Log-mel frames [b, mels, frames] to the encoder's part of the cache, as `DecoderState` has it."""
    return _cache(model, {"input_features": OrtValue.ortvalue_from_numpy(features)})


def start(model: Model, cache: dict[str, OrtValue], rows: int) -> DecoderState:
    """Before the first step of some rows over an encoder's cache, which stays as it is: the decoder's own is empty."""
    return _decoded(model, DecoderState(None, cache, _empty_past(model, rows), shared=True))


def _decoded(model: Model, state: DecoderState) -> DecoderState:
    model.residency.decodes(state)
    return state


def _cache(model: Model, inputs: dict[str, OrtValue]) -> dict[str, OrtValue]:
    layers = range(model.manifest.shapes.decoder_layers)
    pairs = [(i, what) for i in layers for what in KEY_AND_VALUE]
    outputs = [present_name(i, "encoder", what) for i, what in pairs]
    with model.residency.encoding():
        (hidden,) = model.encoder.run_with_ort_values(["last_hidden_state"], inputs)
        cache = model.cache_initializer.run_with_ort_values(outputs, {"encoder_hidden_states": hidden})
    return dict(zip([past_name(i, "encoder", what) for i, what in pairs], cache, strict=True))


def _source_embedding(model: Model, input_ids: Ids) -> Floats:
    """Embeddings [b, s, d] for the encoder; zeros where it has an embedding of its own and ignores them."""
    shapes = model.manifest.shapes
    if shapes.source_vocab_size is None:
        return embed(model, input_ids)
    return np.zeros((*input_ids.shape, shapes.d_model), np.float32)


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Ids, Ids]:
    """Rows of mixed length as one array [b, s], padded at the end, and its mask."""
    length = max(len(row) for row in rows)
    ids = np.full((len(rows), length), pad, np.int64)
    mask = np.zeros((len(rows), length), np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


def _empty_past(model: Model, rows: int) -> dict[str, OrtValue]:
    shapes = model.manifest.shapes
    empty = np.zeros((rows, shapes.decoder_heads, 0, shapes.head_size), model.cache_dtype)
    return {
        past_name(i, "decoder", what): OrtValue.ortvalue_from_numpy(empty)
        for i in range(shapes.decoder_layers)
        for what in KEY_AND_VALUE
    }


def embed(model: Model, input_ids: Ids) -> Floats:
    """Embeddings [b, n, d] of ids [b, n]."""
    rows: Floats = model.embedding.read(input_ids) * np.float32(model.manifest.shapes.embed_scale)
    return rows


def decode_one_token(model: Model, state: DecoderState, tokens: Ids) -> OrtValue:
    """Feed one token per row [b], as the head numbers them; the past grows by one.

    Returns `pre_logits` [b, 1, d], which the next call may overwrite.
    """
    return decode_tokens(model, state, tokens[:, None])[0]


def decode_tokens(model: Model, state: DecoderState, tokens: Ids, more: Sequence[str] = ()) -> tuple[OrtValue, ...]:
    """Feed tokens [b, t], as the head numbers them; each sees those before it, and the past grows by t.

    Returns `pre_logits` [b, t, d], which the next call may overwrite, then what other outputs were asked for by name.
    """
    input_ids = model.model_ids(tokens)
    run = _run_in_place if model.cache_in_place else _run
    found = run(model, state, input_ids, embed(model, input_ids), more)
    state.length += tokens.shape[1]
    return tuple(found)


def _run(
    model: Model, state: DecoderState, input_ids: Ids, embed_matrix: Floats, more: Sequence[str]
) -> list[OrtValue]:
    """Outputs of a decoder that returns a longer past."""
    inputs = {
        "input_ids": OrtValue.ortvalue_from_numpy(input_ids),
        "embed_matrix": OrtValue.ortvalue_from_numpy(embed_matrix),
    }
    names = [*map(_present, state.past), "pre_logits", *more]
    grown: list[OrtValue] = model.decoder.run_with_ort_values(names, inputs | _of_sources(state) | state.past)
    found = grown[len(state.past) :]
    state.past = dict(zip(state.past, grown, strict=False))
    return found


def _run_in_place(
    model: Model, state: DecoderState, input_ids: Ids, embed_matrix: Floats, more: Sequence[str]
) -> list[OrtValue]:
    """Outputs of a decoder that writes into the past, which gets room for the new tokens."""
    _make_room(state, input_ids.shape[1])
    bound = state.bound
    if bound is None or bound.input_ids.shape != input_ids.shape:
        bound = state.bound = _bound(model, state, embed_matrix)
    bound.input_ids[:], bound.embed_matrix[:], bound.past_length[:] = input_ids, embed_matrix, state.length
    for name in more:
        bound.binding.bind_output(name)
    model.decoder.run_with_iobinding(bound.binding)
    if not more:
        return [bound.pre_logits]
    state.bound = None  # the next step may want something else
    return [bound.pre_logits, *bound.binding.get_outputs()[-len(more) :]]


def _bound(model: Model, state: DecoderState, embed_matrix: Floats) -> BoundStep:
    """Once for many steps: the 78 arrays of NLLB-600M take half a millisecond."""
    bound = BoundStep(
        model.decoder.io_binding(),
        np.empty(embed_matrix.shape[:2], np.int64),
        np.empty(embed_matrix.shape, np.float32),
        np.empty(1, np.int64),
        OrtValue.ortvalue_from_numpy(np.empty(embed_matrix.shape, np.float32)),
    )
    inputs = {
        "input_ids": OrtValue.ortvalue_from_numpy(bound.input_ids),
        "embed_matrix": OrtValue.ortvalue_from_numpy(bound.embed_matrix),
        PAST_LENGTH: OrtValue.ortvalue_from_numpy(bound.past_length),
    }
    for name, value in (inputs | _of_sources(state) | state.past).items():
        bound.binding.bind_ortvalue_input(name, value)
    for name, value in state.past.items():
        bound.binding.bind_ortvalue_output(_present(name), value)
    bound.binding.bind_ortvalue_output("pre_logits", bound.pre_logits)
    return bound


def _of_sources(state: DecoderState) -> dict[str, OrtValue]:
    """The decoder's inputs that the encoder has made."""
    mask = {} if state.encoder_mask is None else {"encoder_attention_mask": state.encoder_mask}
    return mask | state.encoder_cache


def _present(past: str) -> str:
    return past.replace("past_key_values", "present", 1)


def _make_room(state: DecoderState, count: int) -> None:
    """Let so many more tokens fit into a past that is written in place."""
    if state.length + count > state.room:
        state.bound = None
        state.room = max(SMALLEST_ROOM, 2 * state.room, state.length + count)
        for name, value in state.past.items():  # one after the other: of a single one there are two at a time
            state.past[name] = _with_room(value, state.length, state.room)


def _with_room(value: OrtValue, length: int, room: int) -> OrtValue:
    return OrtValue.ortvalue_from_numpy(_roomy(value.numpy()[:, :, :length], room))


def _roomy(known: Cached, room: int) -> Cached:
    """Keys or values [b, h, p, k] in an array [b, h, room, k]."""
    rows, heads, length, size = known.shape
    shape = rows, heads, room, size
    small = math.prod(shape) < SMALL_CACHE
    larger: NDArray[Any] = np.empty(shape, known.dtype) if small else pages.untouched(shape, known.dtype)
    larger[:, :, :length] = known
    return larger


def last_of(pre_logits: OrtValue) -> OrtValue:
    """`pre_logits` of the last token, [b, 1, d] of [b, t, d]."""
    values = pre_logits.numpy()
    return pre_logits if values.shape[1] == 1 else OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values[:, -1:]))


def select_rows(state: DecoderState, rows: Ids, first: int = 0) -> None:
    """Keep, repeat or reorder rows [r] of the decoder's own cache. Each source has as many, one after the other.

    first: so many tokens are the same in each row and the one that takes its place, and need not be moved.
    """
    past = _selected(state.past, rows, first, state.length)
    if past is not state.past:
        state.past, state.bound = past, None


def select_sources(state: DecoderState, sources: Ids) -> None:
    """Keep some of the sources."""
    state.bound = None
    state.encoder_cache = _selected(state.encoder_cache, sources, 0, None, in_place=not state.shared)
    state.shared = False
    if state.encoder_mask is not None:
        state.encoder_mask = rows_of(state.encoder_mask, sources)


def _selected(
    cache: dict[str, OrtValue], rows: Ids, first: int, stop: int | None, in_place: bool = True
) -> dict[str, OrtValue]:
    """Rows of a cache, which differ from the token `first` on, and of which tokens from `stop` on are not known.

    In place only what moves is copied: of beams, and where rows have left, that is a part.
    """
    cached = next(iter(cache.values())).shape()[0]
    moved = np.flatnonzero(rows != np.arange(len(rows)))
    if not in_place or len(rows) > cached:
        return {name: _rows_as_far_as_known(value, rows, stop) for name, value in cache.items()}
    for value in cache.values():
        values = value.numpy()[:, :, first:stop]
        values[moved] = values[rows[moved]]
    return cache if len(rows) == cached else {name: _first(value, len(rows)) for name, value in cache.items()}


def _rows_as_far_as_known(value: OrtValue, rows: Ids, stop: int | None) -> OrtValue:
    """Some rows of a cache, as a new one with room for as many tokens."""
    known = value.numpy()
    if stop is None or stop == known.shape[2]:
        return rows_of(value, rows)
    return OrtValue.ortvalue_from_numpy(_roomy(known[:, :, :stop][rows], known.shape[2]))


def _first(value: OrtValue, rows: int) -> OrtValue:
    part = OrtValue.ortvalue_from_numpy(value.numpy()[:rows])
    part.whole = value  # it has the memory, and an array of it does not keep it
    return part


def rows_of(value: OrtValue, rows: Ids) -> OrtValue:
    """Some rows of an array, as a new one."""
    return OrtValue.ortvalue_from_numpy(value.numpy()[rows])
