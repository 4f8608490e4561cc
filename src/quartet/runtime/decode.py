"""The calls of the loop: encode a batch, decode one token, read the logits. The cache stays inside ONNX Runtime.

Shapes: b rows, s source length, p decoded so far, d width, h heads, k head size, v vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnxruntime import OrtValue

from quartet.runtime.sessions import Sessions
from quartet.spec import KEY_AND_VALUE, past_name, present_name

Ids = NDArray[np.int64]


@dataclass
class DecoderState:
    """What one batch carries from step to step, by the decoder's input names. Only `past` changes as tokens come."""

    encoder_mask: OrtValue  # int64 [b, s]
    encoder_cache: dict[str, OrtValue]  # past_key_values.{i}.encoder.*: [b, h, s, k]
    past: dict[str, OrtValue]  # past_key_values.{i}.decoder.*: [b, h, p, k]


def encode(model: Sessions, sources: Sequence[Sequence[int]]) -> DecoderState:
    """Run the encoder and the cache initializer on sources of mixed length; the decoder's own cache starts empty."""
    input_ids, mask = padded(sources, model.manifest.tokens.pad)
    attention_mask = OrtValue.ortvalue_from_numpy(mask)
    inputs = {
        "input_ids": OrtValue.ortvalue_from_numpy(input_ids),
        "attention_mask": attention_mask,
        "embed_matrix": _source_embedding(model, input_ids),
    }
    (hidden,) = model.encoder.run_with_ort_values(["last_hidden_state"], inputs)
    layers = range(model.manifest.shapes.decoder_layers)
    pairs = [(i, what) for i in layers for what in KEY_AND_VALUE]
    outputs = [present_name(i, "encoder", what) for i, what in pairs]
    cache = model.cache_initializer.run_with_ort_values(outputs, {"encoder_hidden_states": hidden})
    names = [past_name(i, "encoder", what) for i, what in pairs]
    return DecoderState(attention_mask, dict(zip(names, cache, strict=True)), _empty_past(model, len(sources)))


def _source_embedding(model: Sessions, input_ids: Ids) -> OrtValue:
    """Embeddings [b, s, d] for the encoder; zeros where it has an embedding of its own and ignores them."""
    shapes = model.manifest.shapes
    if shapes.source_vocab_size is None:
        return embed(model, input_ids)
    return OrtValue.ortvalue_from_numpy(np.zeros((*input_ids.shape, shapes.d_model), np.float32))


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


def embed(model: Sessions, input_ids: Ids) -> OrtValue:
    """Embeddings [b, n, d] of ids [b, n]."""
    inputs = {
        "use_lm_head": OrtValue.ortvalue_from_numpy(np.array([False])),
        "input_ids": OrtValue.ortvalue_from_numpy(input_ids),
        "pre_logits": OrtValue.ortvalue_from_numpy(np.zeros((1, 1, model.manifest.shapes.d_model), np.float32)),
    }
    (matrix,) = model.embed_and_lm_head.run_with_ort_values(["embed_matrix"], inputs)
    return matrix


def decode_one_token(model: Sessions, state: DecoderState, tokens: Ids) -> OrtValue:
    """Feed one token per row [b]; the past grows by one. Returns `pre_logits` [b, 1, d]."""
    input_ids = tokens[:, None]
    inputs = {
        "input_ids": OrtValue.ortvalue_from_numpy(input_ids),
        "encoder_attention_mask": state.encoder_mask,
        "embed_matrix": embed(model, input_ids),
        **state.encoder_cache,
        **state.past,
    }
    outputs = ["pre_logits", *(name.replace("past_key_values", "present", 1) for name in state.past)]
    pre_logits, *present = model.decoder.run_with_ort_values(outputs, inputs)
    state.past = dict(zip(state.past, present, strict=True))
    return pre_logits


def read_logits(model: Sessions, pre_logits: OrtValue) -> NDArray[np.float32]:
    """The LM head: `pre_logits` [b, 1, d] to logits [b, v]."""
    inputs = {
        "use_lm_head": OrtValue.ortvalue_from_numpy(np.array([True])),
        "input_ids": OrtValue.ortvalue_from_numpy(np.zeros((1, 2), np.int64)),
        "pre_logits": pre_logits,
    }
    (logits,) = model.embed_and_lm_head.run_with_ort_values(["logits"], inputs)
    result: NDArray[np.float32] = logits.numpy()[:, 0]
    return result


def select_rows(state: DecoderState, rows: Ids, same_sources: bool = False) -> None:
    """Keep, repeat or reorder rows of the batch. With `same_sources` no row changes its source (beams of one source
    changing places), so that the encoder part of the cache stays where it is."""
    state.past = {name: _take(value, rows) for name, value in state.past.items()}
    if not same_sources:
        state.encoder_cache = {name: _take(value, rows) for name, value in state.encoder_cache.items()}
        state.encoder_mask = _take(state.encoder_mask, rows)


def _take(value: OrtValue, rows: Ids) -> OrtValue:
    return OrtValue.ortvalue_from_numpy(value.numpy()[rows])
