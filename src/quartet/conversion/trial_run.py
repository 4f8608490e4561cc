"""One step of a finished model, to see that numbers come out of it. Damage to weights without a checksum may show here.

Whether they are good ones is not asked: a model with random weights runs too. Each file is open alone and its weights
stay mapped, so that this costs a moment. Of a model too large for that nothing is run, and of one with a large
vocabulary not the head.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from quartet.errors import CheckpointError
from quartet.spec import (
    CACHE_INITIALIZER,
    DECODER,
    EMBED_AND_LM_HEAD,
    ENCODER,
    KEY_AND_VALUE,
    Manifest,
    past_name,
)

MOST_BYTES = 1 << 29  # of all files: what is run is in memory, and conversion has to stay small
MOST_UNPACKED = 1 << 28  # of the head in float32, which its kernel makes of it where nothing is packed
TOKENS = 12  # of the source, spread over its vocabulary

Arrays = dict[str, np.ndarray]


def run_once(folder: Path, manifest: Manifest) -> None:
    """Feed some tokens, or noise, and the start token; raise `CheckpointError` where what comes out is not finite."""
    if sum(entry.bytes for entry in manifest.files.values()) > MOST_BYTES:
        return
    shapes = manifest.shapes
    hidden = _run(folder, ENCODER, _source(folder, manifest))["last_hidden_state"]
    state = _run(folder, CACHE_INITIALIZER, {"encoder_hidden_states": hidden})
    ids = np.array([[manifest.tokens.decoder_start]], np.int64)
    empty = np.zeros((1, shapes.decoder_heads, 0, shapes.head_size), np.float32)
    own = {past_name(i, "decoder", what): empty for i in range(shapes.decoder_layers) for what in KEY_AND_VALUE}
    cache = {name.replace("present", "past_key_values"): array for name, array in state.items()} | own
    mask = {"encoder_attention_mask": np.ones(hidden.shape[:2], np.int64)}
    step = {"input_ids": ids, "embed_matrix": _embedded(folder, manifest, ids)} | mask | cache
    pre_logits = _run(folder, DECODER, step)["pre_logits"]
    if 4 * shapes.vocab_size * shapes.d_model > MOST_UNPACKED:
        return
    head = {"use_lm_head": np.array([True]), "input_ids": np.zeros((1, 2), np.int64), "pre_logits": pre_logits}
    _run(folder, EMBED_AND_LM_HEAD, head, ("logits",))


def _source(folder: Path, manifest: Manifest) -> Arrays:
    """What the encoder is fed: noise, or tokens from all over the vocabulary."""
    shapes, speech = manifest.shapes, manifest.speech
    if speech is not None:
        noise = np.random.default_rng(0).normal(size=(1, speech.mel_bins, speech.window_frames))
        return {"input_features": noise.astype(np.float32)}
    rows = shapes.source_vocab_size or shapes.vocab_size
    ids = np.unique(np.linspace(0, rows - 1, TOKENS).astype(np.int64))[None, : shapes.max_source_length]
    vectors = np.zeros((*ids.shape, shapes.d_model), np.float32)
    if shapes.source_vocab_size is None:
        vectors = _embedded(folder, manifest, ids)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "embed_matrix": vectors}


def _embedded(folder: Path, manifest: Manifest, ids: np.ndarray) -> np.ndarray:
    idle = np.zeros((1, 1, manifest.shapes.d_model), np.float32)
    feeds = {"use_lm_head": np.array([False]), "input_ids": ids, "pre_logits": idle}
    return _run(folder, EMBED_AND_LM_HEAD, feeds, ("embed_matrix",))["embed_matrix"]


def _run(folder: Path, file: str, feeds: Mapping[str, np.ndarray], wanted: tuple[str, ...] = ()) -> Arrays:
    """All outputs of a file, or those that are wanted, which are checked."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        session = ort.InferenceSession(folder / f"{file}.onnx", options, providers=["CPUExecutionProvider"])
        names = wanted or tuple(output.name for output in session.get_outputs())
        taken = {value.name: feeds[value.name] for value in session.get_inputs() if value.name in feeds}
        outputs = dict(zip(names, session.run(names, taken), strict=True))
    except Exception as error:  # ONNX Runtime's errors have no class in common
        reason = " ".join(str(error).split())[-200:]
        raise CheckpointError(f"the converted model does not run ({file}: {reason}): its config is damaged") from None
    for name, array in outputs.items():
        if not np.isfinite(array).all():
            raise CheckpointError(
                f"the converted model does not work: {name} of its {file} is not finite; its weights are damaged, or "
                "those of another architecture"
            )
    return outputs
