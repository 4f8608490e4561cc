"""Reading `config.json` and `generation_config.json`, as the families share it."""

import math
from typing import Any

from quartet.errors import CheckpointError, UnsupportedModelError
from quartet.options.declared import SEARCH
from quartet.options.kinds import Integer, Kind, RefusedError, shown
from quartet.spec import Activation, Generation, ModelSpec, Stack, Tokens

LENGTH = Integer(1, 2**31)
ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_new",
    "swish": "swish",
    "silu": "swish",
}


def setting(config: dict[str, Any], key: str) -> Any:
    """A value that the config has to have; raises `CheckpointError` naming the key."""
    if config.get(key) is None:
        raise CheckpointError(f"config.json has no {key!r}")
    return config[key]


def integer(config: dict[str, Any], key: str) -> int:
    """A positive integer that the config has to have."""
    value = setting(config, key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"config.json has {key} = {value!r}; a positive whole number is expected")
    return value


def activation(config: dict[str, Any]) -> Activation:
    """The activation function; raises `UnsupportedModelError` naming it."""
    name = setting(config, "activation_function")
    if name not in ACTIVATIONS:
        raise UnsupportedModelError(f"activation {name!r} is not supported; supported are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def stack(config: dict[str, Any], side: str) -> Stack:
    """Layers, heads and feed-forward width of the encoder or the decoder."""
    return Stack(
        layers=integer(config, f"{side}_layers"),
        heads=integer(config, f"{side}_attention_heads"),
        ffn_dim=integer(config, f"{side}_ffn_dim"),
    )


def check_heads(spec: ModelSpec) -> ModelSpec:
    """The spec, where the width fits the heads and the positions; else `CheckpointError`."""
    for side, heads in (("encoder", spec.encoder.heads), ("decoder", spec.decoder.heads)):
        if spec.d_model % heads:
            raise CheckpointError(f"config.json: d_model {spec.d_model} is no multiple of {heads} {side} heads")
    if spec.d_model % 2 or spec.d_model < 4:
        raise UnsupportedModelError(f"d_model {spec.d_model}: sinusoidal positions need an even one, at least 4")
    return spec


def embed_scale(config: dict[str, Any], default: bool) -> float:
    """Factor of the embeddings: the square root of the width, or 1."""
    return math.sqrt(config["d_model"]) if config.get("scale_embedding", default) else 1.0


def tokens(config: dict[str, Any], unk: int | None) -> Tokens:
    """Ids of the special tokens."""
    eos, pad = setting(config, "eos_token_id"), setting(config, "pad_token_id")
    return Tokens(eos=eos, pad=pad, decoder_start=setting(config, "decoder_start_token_id"), unk=unk)


def generation(config: dict[str, Any], generation_config: dict[str, Any], default_length: int) -> Generation:
    """`generation_config.json`, or what older checkpoints keep of it in `config.json`."""
    merged = generation_config or config
    return Generation(
        max_length=_searched(merged, "max_length", LENGTH) or default_length,
        forced_bos=merged.get("forced_bos_token_id"),
        forced_eos=_first(merged.get("forced_eos_token_id")),
        bad_words_ids=tuple(tuple(word) for word in merged.get("bad_words_ids") or ()),
        suppress_tokens=tuple(merged.get("suppress_tokens") or ()),
        begin_suppress_tokens=tuple(merged.get("begin_suppress_tokens") or ()),
        renormalize_logits=bool(merged.get("renormalize_logits")),
        **{
            key: found
            for key in ("no_repeat_ngram_size", "repetition_penalty", "length_penalty")
            if (found := _searched(merged, key, SEARCH[key].kind)) is not None
        },
    )


def _searched(config: dict[str, Any], key: str, kind: Kind) -> Any:
    """A value for the search, which may be 0; None where it is missing or null. Raises `CheckpointError`."""
    value = config.get(key)
    try:
        return None if value is None else kind.accept(value)
    except RefusedError as refused:
        raise CheckpointError(f"generation config: {key} is {shown(value)}; expected {refused.expected}") from None


def _first(value: Any) -> int | None:
    first: int | None = value[0] if isinstance(value, list) else value
    return first
