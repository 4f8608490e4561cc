"""Marian (opus-mt, Junczys-Dowmunt et al. 2018): post-norm, one language pair or a few, a bias on the logits."""

from typing import Any

from quartet.checkpoint import Checkpoint
from quartet.errors import UnsupportedModelError
from quartet.families import tokenizers
from quartet.families.bart import tensor_names
from quartet.families.config import activation, check_heads, embed_scale, flag, generation, integer, stack, tokens
from quartet.families.description import Description
from quartet.positions import vaswani
from quartet.spec import ModelSpec, Sinusoidal

MODEL_TYPES = ("marian",)

SAFE_LENGTH = 56  # measured for opus-mt-en-fr (benchmarks/safe_length.py): beyond, sentences get lost

__all__ = ["LEFTOVERS", "MODEL_TYPES", "describe", "read_spec", "tensor_names"]

LEFTOVERS = (r"model\.(encoder|decoder)\.embed_positions\.weight",)

# switches of Marian's own training that transformers' port does not implement either
UNSUPPORTED = ("normalize_before", "normalize_embedding", "add_final_layer_norm")


def read_spec(config: dict[str, Any]) -> ModelSpec:
    """The architecture that `config.json` describes."""
    for switch in UNSUPPORTED:
        if config.get(switch):
            raise UnsupportedModelError(f"config.json sets {switch}, which is not supported for Marian")
    d_model, vocab_size = integer(config, "d_model"), integer(config, "vocab_size")
    shared = flag(config, "share_encoder_decoder_embeddings", True)
    return check_heads(
        ModelSpec(
            family="marian",
            d_model=d_model,
            vocab_size=vocab_size if shared else integer(config, "decoder_vocab_size"),
            source_vocab_size=None if shared else vocab_size,
            encoder=stack(config, "encoder"),
            decoder=stack(config, "decoder"),
            activation=activation(config),
            norm_first=False,
            final_norm=False,
            layer_norm_epsilon=1e-5,
            positions=Sinusoidal(vaswani(d_model), offset=0, padding_id=None),
            embed_scale=embed_scale(config, default=False),
            tied_head=flag(config, "tie_word_embeddings", True),
            head_bias=True,
        )
    )


def describe(checkpoint: Checkpoint) -> Description:
    """Prompts `text </s>` (after a `>>language<<` token in multilingual models) and `<pad>`."""
    config = checkpoint.config
    window = integer(config, "max_position_embeddings")
    found = tokenizers.marian(checkpoint.tokenizer_folder, config)
    many_targets = found is not None and any(language.token_id is not None for language in found.languages)
    return Description(
        tokens=tokens(config, unk=None),
        generation=generation(config, checkpoint.generation_config, default_length=window),
        source_prompt=("target", "text", "eos") if many_targets else ("text", "eos"),
        target_prompt=("decoder_start",),
        max_source_length=window,
        safe_length=min(window, SAFE_LENGTH),
        languages=found.languages if found else (),
        tokenizer=found.spec if found else None,
        tokenizer_files=found.files if found else (),
    )
