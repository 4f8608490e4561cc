"""The reference that quartet is compared with: transformers on torch, float32, eager attention, one text at a time.

`make_goldens.py` stores what these functions return; the live comparison (`pytest -m oracle`) calls them itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    MarianMTModel,
    PretrainedConfig,
    PreTrainedModel,
)


@dataclass(frozen=True)
class Search:
    """Options of one search. `None` leaves what the checkpoint's generation config says.

    `max_new_tokens` and `min_new_tokens` count as quartet counts: what comes after the prefix, end token included.
    """

    beams: int = 1
    hypotheses: int = 1
    max_new_tokens: int | None = None
    min_new_tokens: int | None = None
    length_penalty: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None

    def options(self, forced_bos: int | None) -> dict[str, Any]:
        """The same as keyword arguments of `generate`, which counts the forced first token as a new one."""
        extra = 0 if forced_bos is None else 1
        options = {
            "forced_bos_token_id": forced_bos,
            "max_new_tokens": None if self.max_new_tokens is None else self.max_new_tokens + extra,
            "min_new_tokens": None if self.min_new_tokens is None else self.min_new_tokens + extra,
            "length_penalty": self.length_penalty,
            "repetition_penalty": self.repetition_penalty,
            "no_repeat_ngram_size": self.no_repeat_ngram_size,
        }
        return {name: value for name, value in options.items() if value is not None}


GREEDY = Search()
BEAM_4 = Search(beams=4)


@dataclass(frozen=True)
class Greedy:
    """Greedy output: the new tokens after the prefix, the end token included where it came.

    `margins[i]` is by how much `ids[i]` beat `runners_up[i]`, after all logits processors; infinite where forced.
    """

    ids: list[int]
    margins: list[float]
    runners_up: list[int]


@dataclass(frozen=True)
class Hypothesis:
    """One result of a beam search: new tokens after the prefix, and transformers' `sequences_scores`."""

    ids: list[int]
    score: float


def load(folder: Path) -> PreTrainedModel:
    """The checkpoint as a float32 model with eager attention; raises ValueError where it does not load cleanly."""
    config = AutoConfig.from_pretrained(folder)
    if _sizes_differ(config):
        return _load_by_hand(folder, config)
    options = {"dtype": torch.float32, "attn_implementation": "eager", "output_loading_info": True}
    model, info = AutoModelForSeq2SeqLM.from_pretrained(folder, **options)
    wrong = [f"{kind}: {name}" for kind, names in info.items() for name in names]
    if wrong:
        raise ValueError(f"{folder} does not load cleanly: {'; '.join(wrong)}")
    return model.eval()


def _sizes_differ(config: PretrainedConfig) -> bool:
    """Whether the two vocabularies differ in size: no `from_pretrained` of transformers 4.57.6 can load that.

    Its Marian gives both embeddings `vocab_size` rows, so it cannot even read back what it saved itself.
    """
    separate = not getattr(config, "share_encoder_decoder_embeddings", True)
    return config.model_type == "marian" and separate and config.decoder_vocab_size != config.vocab_size


def _load_by_hand(folder: Path, config: PretrainedConfig) -> PreTrainedModel:
    """The model with its decoder's embedding resized before the weights go in."""
    config._attn_implementation = "eager"
    model = MarianMTModel(config)
    model.resize_decoder_token_embeddings(config.decoder_vocab_size)
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    computed = {"lm_head.weight", *(name for name in model.state_dict() if "embed_positions" in name)}
    if unexpected or set(missing) - computed:
        raise ValueError(f"{folder} does not load cleanly: missing {missing}, unexpected {unexpected}")
    model.generation_config = GenerationConfig.from_pretrained(folder)
    model.config.vocab_size = config.decoder_vocab_size  # beam search asks the config for the width of the logits
    return model.float().eval()


def greedy_with_margins(
    model: PreTrainedModel, ids: Sequence[int], forced_bos: int | None = None, search: Search = GREEDY
) -> Greedy:
    """Greedy search from the source `ids`; `forced_bos` is the target language's token."""
    out = _generate(model, ids, forced_bos, search)
    skip = 0 if forced_bos is None else 1
    new = out.sequences[0, 1 + skip :].tolist()
    margins, runners_up = [], []
    for token, scores in zip(new, out.scores[skip:], strict=True):
        top = torch.topk(scores[0].float(), 2)
        if top.indices[0] != token:
            raise AssertionError(f"greedy chose {token}, not {int(top.indices[0])}")
        margins.append(float(top.values[0] - top.values[1]))
        runners_up.append(int(top.indices[1]))
    return Greedy(new, margins, runners_up)


def beam(
    model: PreTrainedModel, ids: Sequence[int], forced_bos: int | None = None, search: Search = BEAM_4
) -> list[Hypothesis]:
    """Beam search from the source `ids`: `search.hypotheses` results, best first."""
    out = _generate(model, ids, forced_bos, search)
    prefix = 1 if forced_bos is None else 2
    end = model.generation_config.eos_token_id
    rows = [_until(row[prefix:].tolist(), end) for row in out.sequences]
    return [Hypothesis(row, float(score)) for row, score in zip(rows, out.sequences_scores, strict=True)]


@torch.inference_mode()
def step_logits(model: PreTrainedModel, ids: Sequence[int], decoder_ids: Sequence[int]) -> np.ndarray:
    """Logits [len(decoder_ids), vocabulary], float32, of all decoder positions in one pass without a cache.

    `decoder_ids` starts with the decoder start token; row `i` scores the token after `decoder_ids[i]`.
    """
    out = model(input_ids=_row(ids), decoder_input_ids=_row(decoder_ids), use_cache=False)
    return out.logits[0].numpy()


@torch.inference_mode()
def encode(model: PreTrainedModel, ids: Sequence[int]) -> np.ndarray:
    """The encoder's last hidden state [len(ids), d_model], float32."""
    return model.get_encoder()(input_ids=_row(ids)).last_hidden_state[0].numpy()


def decoder_start(model: PreTrainedModel, forced_bos: int | None = None) -> list[int]:
    """The prefix: decoder start token, then the target language's where there is one."""
    start = [int(model.generation_config.decoder_start_token_id)]
    return start if forced_bos is None else [*start, forced_bos]


@torch.inference_mode()
def _generate(model: PreTrainedModel, ids: Sequence[int], forced_bos: int | None, search: Search) -> Any:
    return model.generate(
        _row(ids),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        num_beams=search.beams,
        num_return_sequences=search.hypotheses,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
        **search.options(forced_bos),
    )


def _row(ids: Sequence[int]) -> torch.Tensor:
    return torch.tensor([list(ids)], dtype=torch.long)


def _until(ids: list[int], end: int) -> list[int]:
    """`ids` up to and with the first end token: what follows it is padding."""
    return ids[: ids.index(end) + 1] if end in ids else ids
