"""M2M100 (Fan et al. 2020) and NLLB-200 (NLLB Team 2022): norms first, one embedding, positions that skip padding."""

from typing import Any

from quartet.checkpoint import Checkpoint
from quartet.checkpoint.card import languages_of
from quartet.families import tokenizers
from quartet.families.bart import tensor_names
from quartet.families.config import (
    activation,
    check_heads,
    embed_scale,
    flag,
    generation,
    integer,
    setting,
    stack,
    tokens,
)
from quartet.families.description import Description
from quartet.positions import fairseq
from quartet.spec import Language, ModelSpec, Sinusoidal
from quartet.text.languages import find

MODEL_TYPES = ("m2m_100",)

SAFE_LENGTH = 56  # not measured: no real NLLB-200 was at hand; the value of opus-mt, whose users complain alike

__all__ = ["LEFTOVERS", "MODEL_TYPES", "describe", "read_spec", "tensor_names"]

LEFTOVERS = (r"model\.(encoder|decoder)\.embed_positions\.weights?", r"final_logits_bias")


def read_spec(config: dict[str, Any]) -> ModelSpec:
    """The architecture that `config.json` describes."""
    d_model = integer(config, "d_model")
    padding_id = setting(config, "pad_token_id")
    return check_heads(
        ModelSpec(
            family="m2m100",
            d_model=d_model,
            vocab_size=integer(config, "vocab_size"),
            source_vocab_size=None,
            encoder=stack(config, "encoder"),
            decoder=stack(config, "decoder"),
            activation=activation(config),
            norm_first=True,
            final_norm=True,
            layer_norm_epsilon=1e-5,
            positions=Sinusoidal(fairseq(d_model), offset=padding_id + 1, padding_id=padding_id),
            embed_scale=embed_scale(config, default=True),
            tied_head=flag(config, "tie_word_embeddings", True),
            head_bias=False,
        )
    )


def describe(checkpoint: Checkpoint) -> Description:
    """Prompts `[source] text </s>` and `</s> [target]`, languages from the tokeniser's files."""
    config = checkpoint.config
    window = integer(config, "max_position_embeddings")
    found = tokenizers.nllb_or_m2m100(checkpoint.tokenizer_folder, config)
    return Description(
        tokens=tokens(config, unk=3),
        generation=generation(config, checkpoint.generation_config, default_length=200),
        source_prompt=("text", "eos", "source") if found and found.language_last else ("source", "text", "eos"),
        target_prompt=("decoder_start", "target"),
        max_source_length=window,
        safe_length=min(window, SAFE_LENGTH),
        languages=_trained(found.languages, languages_of(checkpoint.folder)) if found else (),
        tokenizer=found.spec if found else None,
        tokenizer_files=found.files if found else (),
        made_files=found.made if found else {},
    )


def _trained(languages: tuple[Language, ...], named: list[str]) -> tuple[Language, ...]:
    """The languages that the model card names, where these are few of those that have a token.

    A model trained for a handful of languages still has a token for each of NLLB's 202. A card that names most of
    them is not taken at its word: its codes leave out scripts.
    """
    kept = tuple(language for language in languages if any(find(name, [language.code]) for name in named))
    return kept if kept and 2 * len(kept) < len(languages) else languages
