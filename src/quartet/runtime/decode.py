"""The calls of the loop: encode a batch, decode tokens, read the logits. The cache stays inside ONNX Runtime.

Shapes: b rows, s source length, p decoded so far, t tokens fed at once, d width, h heads, k head size, v vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnxruntime import OrtValue

from quartet.runtime import packing
from quartet.runtime.matrix import MatrixRows
from quartet.runtime.scores import Floats, Ids, Scores
from quartet.runtime.sessions import Sessions
from quartet.spec import KEY_AND_VALUE, past_name, present_name

RESCORED = 14  # of the best tokens by the coarse plane, and twice as many more as the search asks for


@dataclass
class DecoderState:
    """What one batch carries from step to step, by the decoder's input names. Only `past` changes as tokens come.

    The encoder's part is held once per source, however many rows (beams) each source has.
    """

    encoder_mask: OrtValue | None  # int64 [sources, s]; None where sources are never padded
    encoder_cache: dict[str, OrtValue]  # past_key_values.{i}.encoder.*: [sources, h, s, k]
    past: dict[str, OrtValue]  # past_key_values.{i}.decoder.*: [b, h, p, k]
    shared: bool = False  # whether others read `encoder_cache` too


def encode(model: Sessions, sources: Sequence[Sequence[int]]) -> DecoderState:
    """Run the encoder and the cache initializer on sources of mixed length; the decoder's own cache starts empty.

    Of mapped weights only those stay in memory that are used at the same time: the encoder's, or the decoder's.
    """
    packing.give_back(model.decoding_pages)
    input_ids, mask = padded(sources, model.manifest.tokens.pad)
    attention_mask = OrtValue.ortvalue_from_numpy(mask)
    inputs = {
        "input_ids": OrtValue.ortvalue_from_numpy(input_ids),
        "attention_mask": attention_mask,
        "embed_matrix": OrtValue.ortvalue_from_numpy(_source_embedding(model, input_ids)),
    }
    return DecoderState(attention_mask, _cache(model, inputs), _empty_past(model, len(sources)))


def encode_features(model: Sessions, features: Floats) -> dict[str, OrtValue]:
    """Log-mel frames [b, mels, frames] to the encoder's part of the cache, as `DecoderState` has it."""
    packing.give_back(model.decoding_pages)
    return _cache(model, {"input_features": OrtValue.ortvalue_from_numpy(features)})


def start(model: Sessions, cache: dict[str, OrtValue], rows: int) -> DecoderState:
    """Before the first step of some rows over an encoder's cache, which stays as it is: the decoder's own is empty."""
    return DecoderState(None, cache, _empty_past(model, rows), shared=True)


def _cache(model: Sessions, inputs: dict[str, OrtValue]) -> dict[str, OrtValue]:
    (hidden,) = model.encoder.run_with_ort_values(["last_hidden_state"], inputs)
    layers = range(model.manifest.shapes.decoder_layers)
    pairs = [(i, what) for i in layers for what in KEY_AND_VALUE]
    outputs = [present_name(i, "encoder", what) for i, what in pairs]
    cache = model.cache_initializer.run_with_ort_values(outputs, {"encoder_hidden_states": hidden})
    packing.give_back(model.encoding_pages)
    return dict(zip([past_name(i, "encoder", what) for i, what in pairs], cache, strict=True))


def _source_embedding(model: Sessions, input_ids: Ids) -> Floats:
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


def _empty_past(model: Sessions, rows: int) -> dict[str, OrtValue]:
    shapes = model.manifest.shapes
    empty = np.zeros((rows, shapes.decoder_heads, 0, shapes.head_size), np.float32)
    return {
        past_name(i, "decoder", what): OrtValue.ortvalue_from_numpy(empty)
        for i in range(shapes.decoder_layers)
        for what in KEY_AND_VALUE
    }


def embed(model: Sessions, input_ids: Ids) -> Floats:
    """Embeddings [b, n, d] of ids [b, n]."""
    rows: Floats = model.embedding.read(input_ids) * np.float32(model.manifest.shapes.embed_scale)
    return rows


def decode_one_token(model: Sessions, state: DecoderState, tokens: Ids) -> OrtValue:
    """Feed one token per row [b], as the head numbers them; the past grows by one. Returns `pre_logits` [b, 1, d]."""
    return decode_tokens(model, state, tokens[:, None])[0]


def decode_tokens(model: Sessions, state: DecoderState, tokens: Ids, more: Sequence[str] = ()) -> tuple[OrtValue, ...]:
    """Feed tokens [b, t], as the head numbers them; each sees those before it, and the past grows by t.

    Returns `pre_logits` [b, t, d], then what other outputs were asked for by name.
    """
    input_ids = model.whole_ids(tokens)
    inputs = {
        "input_ids": OrtValue.ortvalue_from_numpy(input_ids),
        "embed_matrix": OrtValue.ortvalue_from_numpy(embed(model, input_ids)),
        **state.encoder_cache,
        **state.past,
    }
    if state.encoder_mask is not None:
        inputs["encoder_attention_mask"] = state.encoder_mask
    present = [name.replace("past_key_values", "present", 1) for name in state.past]
    found = model.decoder.run_with_ort_values([*present, "pre_logits", *more], inputs)
    state.past = dict(zip(state.past, found, strict=False))
    return tuple(found[len(present) :])


def last_of(pre_logits: OrtValue) -> OrtValue:
    """`pre_logits` of the last token, [b, 1, d] of [b, t, d]."""
    values = pre_logits.numpy()
    return pre_logits if values.shape[1] == 1 else OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values[:, -1:]))


def read_scores(model: Sessions, pre_logits: OrtValue, count: int = 1) -> Scores:
    """The LM head: `pre_logits` [b, 1, d] to the scores of the next token, in memory that may be written to.

    `count`: how many of the best tokens have to be right, where the head is quantised in two planes.
    """
    outputs = ["logits", "top_scores", "top_ids", "log_sum_exp"]
    found = model.lm_head.run_with_ort_values(outputs, {"pre_logits": pre_logits})
    logits, top_scores, top_ids, log_sum_exp = (value.numpy()[:, 0] for value in found)
    scores = Scores(logits, top_ids, top_scores[:, -1], log_sum_exp)
    if model.candidates is not None:
        ids = top_ids[:, : RESCORED + 2 * count]
        scores.correct(ids, rescored(pre_logits.numpy()[:, 0], model.candidates, model.whole_ids(ids)))
    return scores


def rescored(pre_logits: Floats, matrix: MatrixRows, ids: Ids) -> Floats:
    """Logits of `ids` [b, k] by the whole matrix instead of its coarse plane; `pre_logits` [b, d].

    Not by `matmul`: threads of numpy's BLAS spin for some 20 ms after each product, beside the next runs of the model,
    which then take twice as long.
    """
    logits: Floats = np.einsum("bkd,bd->bk", matrix.read(ids), pre_logits) + matrix.bias_of(ids)
    return logits


def select_rows(state: DecoderState, rows: Ids) -> None:
    """Keep, repeat or reorder rows [r] of the decoder's own cache. Each source has as many, one after the other."""
    state.past = _selected(state.past, rows)


def select_sources(state: DecoderState, sources: Ids) -> None:
    """Keep some of the sources."""
    state.encoder_cache = _selected(state.encoder_cache, sources, in_place=not state.shared)
    state.shared = False
    if state.encoder_mask is not None:
        state.encoder_mask = _taken(state.encoder_mask, sources)


def _selected(cache: dict[str, OrtValue], rows: Ids, in_place: bool = True) -> dict[str, OrtValue]:
    """Rows of a cache. In place only what moves is copied: of beams, and where rows have left, that is a part."""
    cached = next(iter(cache.values())).shape()[0]
    moved = np.flatnonzero(rows != np.arange(len(rows)))
    if not in_place or len(rows) > cached:
        return {name: _taken(value, rows) for name, value in cache.items()}
    for value in cache.values():
        values = value.numpy()
        values[moved] = values[rows[moved]]
    return cache if len(rows) == cached else {name: _first(value, len(rows)) for name, value in cache.items()}


def _first(value: OrtValue, rows: int) -> OrtValue:
    part = OrtValue.ortvalue_from_numpy(value.numpy()[:rows])
    part.whole = value  # it has the memory, and an array of it does not keep it
    return part


def _taken(value: OrtValue, rows: Ids) -> OrtValue:
    return OrtValue.ortvalue_from_numpy(value.numpy()[rows])
