"""Whisper as transformers has it: one window at a time, float32, eager attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import WhisperForConditionalGeneration


@dataclass(frozen=True)
class Heard:
    """What is generated after the prompt, the end token included where it came.

    `margins` (greedy only): by how much each token beat the next best, after all logits processors. `score` (beams
    only): transformers' `sequences_scores`.
    """

    ids: list[int]
    margins: list[float]
    score: float | None


def load(folder: Path) -> WhisperForConditionalGeneration:
    """The checkpoint as a float32 model with eager attention."""
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    return WhisperForConditionalGeneration.from_pretrained(folder, **options).eval()


@torch.inference_mode()
def encode(model: WhisperForConditionalGeneration, features: np.ndarray) -> np.ndarray:
    """The encoder's last hidden state [positions, d_model] of log-mel frames [mels, frames]."""
    return model.get_encoder()(torch.tensor(features)[None]).last_hidden_state[0].numpy()


@torch.inference_mode()
def step_logits(model: WhisperForConditionalGeneration, features: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Logits [len(ids), vocabulary] of all decoder positions in one pass without a cache."""
    out = model(torch.tensor(features)[None], decoder_input_ids=torch.tensor([list(ids)]), use_cache=False)
    return out.logits[0].numpy()


@torch.inference_mode()
def cross_attention(model: WhisperForConditionalGeneration, features: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Attention [heads, len(ids), positions] of the alignment heads, in the order of the generation config."""
    out = model(
        torch.tensor(features)[None],
        decoder_input_ids=torch.tensor([list(ids)]),
        use_cache=False,
        output_attentions=True,
    )
    heads = model.generation_config.alignment_heads
    return np.stack([out.cross_attentions[layer][0, head].numpy() for layer, head in heads])


@torch.inference_mode()
def hear(
    model: WhisperForConditionalGeneration,
    features: np.ndarray,
    *,
    timestamps: bool = True,
    beams: int = 1,
    task: str = "transcribe",
    previous: Sequence[int] = (),
    max_new_tokens: int = 20,
) -> Heard:
    """Generate from one window; `previous` are tokens of the window before."""
    options: dict[str, Any] = {}
    if model.generation_config.is_multilingual:
        options = {"language": "<|en|>", "task": task}
    if previous:
        options["prompt_ids"] = torch.tensor([model.generation_config.prev_sot_token_id, *previous])
    out = model.generate(
        torch.tensor(features)[None],
        return_timestamps=timestamps,
        num_beams=beams,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        force_unique_generate_call=True,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    ids = out.sequences[0].tolist()
    if beams > 1:
        new = _until(ids[len(ids) - out.beam_indices.shape[1] :], model.generation_config.eos_token_id)
        return Heard(new, [], float(out.sequences_scores[0]))
    new = ids[len(ids) - len(out.scores) :]
    tops = [torch.topk(scores[0].float(), 2).values for scores in out.scores]
    return Heard(new, [float(top[0] - top[1]) for top in tops], None)


def _until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end) + 1] if end in ids else ids
