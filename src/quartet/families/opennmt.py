"""Transformers as OpenNMT trains them, Argos Translate's among them: the settings come with CTranslate2's `model.bin`.

`config.json` is the one that `quartet.checkpoint.ctranslate2.translation` writes: no one publishes such checkpoints.
"""

from typing import Any

from quartet.checkpoint import Checkpoint
from quartet.families import tokenizers
from quartet.families.bart import tensor_names
from quartet.families.config import activation, check_heads, epsilon, generation, integer, setting, stack, tokens
from quartet.families.description import Description
from quartet.positions import fairseq, vaswani
from quartet.spec import ModelSpec, Sinusoidal

MODEL_TYPES = ("opennmt",)

SAFE_LENGTH = 56  # not measured: the value of opus-mt, which Argos's models are like
MAX_LENGTH = 256  # of a translation, as in CTranslate2

__all__ = ["LEFTOVERS", "MODEL_TYPES", "describe", "read_spec", "tensor_names"]

LEFTOVERS: tuple[str, ...] = ()


def read_spec(config: dict[str, Any]) -> ModelSpec:
    """The architecture that the config describes."""
    d_model, vocab_size = integer(config, "d_model"), integer(config, "decoder_vocab_size")
    shared = config["share_encoder_decoder_embeddings"]
    return check_heads(
        ModelSpec(
            family="opennmt",
            d_model=d_model,
            vocab_size=vocab_size,
            source_vocab_size=None if shared else integer(config, "vocab_size"),
            encoder=stack(config, "encoder"),
            decoder=stack(config, "decoder"),
            activation=activation(config),
            norm_first=config["normalize_before"],
            final_norm=config["normalize_before"],
            layer_norm_epsilon=epsilon(config, "layer_norm_epsilon", 1e-5),
            positions=positions(setting(config, "position_encoding"), d_model),
            embed_scale=config["embed_scale"],
            tied_head=config["tie_word_embeddings"],
            head_bias=True,
        )
    )


def positions(kind: str, d_model: int) -> Sinusoidal:
    """Sinusoidal positions by the program that made them; those of fairseq begin behind its padding token."""
    match kind:
        case "opennmt-py":
            return Sinusoidal(vaswani(d_model), offset=0, padding_id=None, interleaved=True)
        case "opennmt-tf":
            return Sinusoidal(fairseq(d_model), offset=1, padding_id=None)
        case "fairseq":
            return Sinusoidal(fairseq(d_model), offset=2, padding_id=None)
        case _:
            return Sinusoidal(vaswani(d_model), offset=0, padding_id=None)


def describe(checkpoint: Checkpoint) -> Description:
    """Prompts as the model's own settings frame them: most often `text`, and the start token."""
    config = checkpoint.config
    window = integer(config, "max_position_embeddings")
    found = tokenizers.opennmt(checkpoint.folder, config, checkpoint.tokenizer_folder)
    before = ("decoder_start",) if config["add_source_bos"] else ()  # the same token
    after = ("eos",) if config["add_source_eos"] else ()
    return Description(
        tokens=tokens(config, unk=setting(config, "unk_token_id")),
        generation=generation(config, checkpoint.generation_config, default_length=min(window, MAX_LENGTH)),
        source_prompt=(*before, "text", *after),
        target_prompt=("decoder_start",) if config["target_prefix_id"] is None else ("decoder_start", "target"),
        max_source_length=window,
        safe_length=min(window, SAFE_LENGTH),
        languages=found.languages if found else (),
        tokenizer=found.spec if found else None,
        tokenizer_files=found.files if found else (),
        made_files=found.made if found else {},
    )
