"""The Android app RTranslator in Python: its sessions, and its greedy loops call by call, as its Java code has them.

    app.translate(folder, source, language, 40)     # NLLB
    app.translate_with_own_head(folder, source, 40)  # MADLAD-400
    app.recognize(folder, samples, [prompt], 40)     # Whisper

Every call gives names to what goes in; NLLB's first file is asked for one output at a time. Sizes are those of the
manifest, which the app has as numbers.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from quartet.spec import Manifest, Shapes

Tensors = dict[str, np.ndarray]


def session(path: Path) -> ort.InferenceSession:
    """A session with graph optimisation, memory pattern and arena switched off."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def named(session: ort.InferenceSession, inputs: Tensors) -> Tensors:
    """All outputs, by name."""
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs), strict=True))


def no_past(shapes: Shapes, rows: int) -> Tensors:
    """Keys and values of no tokens."""
    empty = np.zeros((rows, shapes.decoder_heads, 0, shapes.head_size), np.float32)
    return {f"present.{i}.decoder.{what}": empty for i in range(shapes.decoder_layers) for what in ("key", "value")}


def as_past(*present: Tensors) -> Tensors:
    """Outputs as the inputs that they are at the next step; scores are none."""
    found = {name: value for tensors in present for name, value in tensors.items() if name.startswith("present.")}
    return {name.replace("present", "past_key_values"): value for name, value in found.items()}


# ---- translators -------------------------------------------------------------------------------------------------


def translate(folder: Path, source: list[int], language: int, most: int) -> list[int]:
    """NLLB: at most so many tokens; `</s>` goes in first, then the language, whatever the first step says."""
    shapes = Manifest.load(folder).shapes
    embed_and_lm_head, *others = (
        session(folder / f"NLLB_{name}.onnx")
        for name in ("embed_and_lm_head", "encoder", "cache_initializer", "decoder")
    )
    encoder, initializer, decoder = others
    no_logits, no_ids = np.zeros((1, 1, shapes.d_model), np.float32), np.zeros((1, 2), np.int64)

    def embed(ids: np.ndarray) -> np.ndarray:
        inputs = {"input_ids": ids, "pre_logits": no_logits, "use_lm_head": np.array([False])}
        return embed_and_lm_head.run(["embed_matrix"], inputs)[0]

    ids = np.array([source], np.int64)
    mask = np.ones_like(ids)
    (hidden,) = encoder.run(None, {"input_ids": ids, "attention_mask": mask, "embed_matrix": embed(ids)})
    fixed, grown = named(initializer, {"encoder_hidden_states": hidden}), no_past(shapes, 1)
    token, tokens = 2, []
    while len(tokens) < most:
        step = np.array([[token]], np.int64)
        inputs = {"input_ids": step, "encoder_attention_mask": mask, "embed_matrix": embed(step)}
        first = grown["present.0.decoder.key"].shape[2] == 0
        grown = named(decoder, inputs | as_past(fixed, grown))
        scoring = {"input_ids": no_ids, "pre_logits": grown["pre_logits"], "use_lm_head": np.array([True])}
        (logits,) = embed_and_lm_head.run(["logits"], scoring)
        assert logits.shape == (1, 1, shapes.vocab_size)
        token = language if first else int(logits[0, 0].argmax())
        if token == 2:
            break
        if not first:
            tokens.append(token)
    return tokens


def translate_with_own_head(folder: Path, source: list[int], most: int, end: int) -> list[int]:
    """MADLAD-400: at most so many tokens; id 0 goes in first, and the decoder gives the scores itself."""
    shapes = Manifest.load(folder).shapes
    embed, encoder, initializer, decoder = (
        session(folder / f"NLLB_{name}.onnx")
        for name in ("embed_and_lm_head", "encoder", "cache_initializer", "decoder")
    )
    ids = np.array([source], np.int64)
    mask = np.ones_like(ids)
    (vectors,) = embed.run(["embed_matrix"], {"input_ids": ids})
    (hidden,) = encoder.run(None, {"input_ids": ids, "attention_mask": mask, "embed_matrix": vectors})
    fixed, grown = named(initializer, {"encoder_hidden_states": hidden}), no_past(shapes, 1)
    token, tokens = 0, []
    while len(tokens) < most:
        step = np.array([[token]], np.int64)
        (vector,) = embed.run(["embed_matrix"], {"input_ids": step})
        inputs = {"input_ids": step, "embed_matrix": vector, "encoder_attention_mask": mask}
        grown = named(decoder, inputs | {"encoder_hidden_states": hidden} | as_past(fixed, grown))
        assert grown["logits"].shape == (1, 1, shapes.vocab_size)
        token = int(grown["logits"][0, 0].argmax())
        if token == end:
            break
        tokens.append(token)
    return tokens


# ---- the recognizer ----------------------------------------------------------------------------------------------


@dataclass
class Heard:
    """What was heard in one language; the app takes what each prompt token seems to be followed by for tokens too."""

    tokens: list[int]
    text: str | None  # None: there is no file that makes text
    score: float  # mean log probability of the tokens


def features(folder: Path, samples: np.ndarray) -> np.ndarray:
    """What the encoder gets [1, mels, frames] of one recording, by the first file."""
    (found,) = session(folder / "Whisper_initializer.onnx").run(None, {"audio_pcm": samples[None]})
    return found


def recognize(folder: Path, samples: np.ndarray, prompts: list[list[int]], most: int, end: int) -> list[Heard]:
    """Whisper: one prompt, or two of the same length in two languages, decoded side by side."""
    shapes, rows = Manifest.load(folder).shapes, len(prompts)
    encoder, decoder = (session(folder / f"Whisper_{name}.onnx") for name in ("encoder", "decoder"))
    (hidden, *_) = encoder.run(None, {"input_features": features(folder, samples)})
    suffix = "" if rows == 1 else "_batch"
    initializer = session(folder / f"Whisper_cache_initializer{suffix}.onnx")
    fixed = named(initializer, {"encoder_hidden_states": np.repeat(hidden, rows, axis=0)})
    grown = no_past(shapes, rows)
    heard: list[list[int]] = [[] for _ in prompts]
    sums, latest = [0.0] * rows, [-1] * rows
    for step in range(most):
        fed = [prompt[step] if step < len(prompt) else token for prompt, token in zip(prompts, latest, strict=True)]
        grown = named(decoder, {"input_ids": np.array([[token] for token in fed], np.int64)} | as_past(fixed, grown))
        assert grown["logits"].shape == (rows, 1, shapes.vocab_size)
        for row, logits in enumerate(grown["logits"][:, 0].astype(np.float64)):
            if latest[row] != end:
                latest[row] = int(logits.argmax())
                heard[row].append(latest[row])
                sums[row] += float(logits.max() - np.logaddexp.reduce(logits))
        if set(latest) == {end}:
            break
    texts = [text(folder, tokens) for tokens in heard]
    return [Heard(*found, total / len(found[0])) for *found, total in zip(heard, texts, sums, strict=True)]


def text(folder: Path, tokens: list[int]) -> str | None:
    """The text of tokens, by the last file."""
    path = folder / "Whisper_detokenizer.onnx"
    if not path.exists():
        return None
    (found,) = session(path).run(None, {"sequences": np.array([[tokens]], np.int32)})
    assert found.shape == (1, 1)
    return found[0, 0]
