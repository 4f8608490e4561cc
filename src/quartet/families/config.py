"""Reading `config.json` and `generation_config.json`, as the families share it."""

import math
from typing import Any

from quartet.checkpoint.shards import brief
from quartet.errors import CheckpointError, UnsupportedModelError
from quartet.spec import Activation, EarlyStopping, Generation, ModelSpec, Stack, Tokens

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_new",
    "swish": "swish",
    "silu": "swish",
}
LARGEST_NUMBER = 1e9  # of a penalty or the like


# The most of what configs count. No model has as many, and what is built before weights are matched stays small.
MOST = {
    "encoder_layers": 1024,
    "decoder_layers": 1024,
    "num_layers": 1024,
    "num_decoder_layers": 1024,
    "d_model": 65_536,
}
MOST_OF_OTHERS = 1 << 24


def setting(config: dict[str, Any], key: str) -> Any:
    """A value that the config has to have; raises `CheckpointError` naming the key."""
    if config.get(key) is None:
        raise CheckpointError(f"config.json has no {key!r}")
    return config[key]


def integer(config: dict[str, Any], key: str) -> int:
    """A positive integer that the config has to have."""
    value, most = setting(config, key), MOST.get(key, MOST_OF_OTHERS)
    if type(value) is not int or not 1 <= value <= most:
        raise CheckpointError(f"config.json has {key} = {brief(value)}; a whole number from 1 to {most} is expected")
    return value


def flag(config: dict[str, Any], key: str, default: bool) -> bool:
    """Yes or no; `default` where the config does not say."""
    value = config.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise CheckpointError(f"config.json has {key} = {brief(value)}; true or false is expected")
    return value


def number(config: dict[str, Any], key: str, default: float, *, positive: bool = False) -> float:
    """A finite number, above zero where `positive`; `default` where the config does not say."""
    value = config.get(key)
    if value is None:
        return default
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER
    if not is_number or (positive and value <= 0):
        kind = "a number above 0" if positive else "a number"
        raise CheckpointError(f"the config has {key} = {brief(value)}; {kind} is expected")
    return float(value)


def epsilon(config: dict[str, Any], key: str, default: float) -> float:
    """What a norm adds to a variance: above zero, and small; `default` where the config does not say."""
    value = number(config, key, default, positive=True)
    if value > 1:
        raise CheckpointError(f"the config has {key} = {value}; a number from 0 to 1 is expected")
    return value


def count(config: dict[str, Any], key: str, default: int = 0) -> int:
    """A whole number, zero or more; `default` where the config does not say."""
    value = config.get(key)
    if value is None:
        return default
    if type(value) is not int or not 0 <= value <= MOST_OF_OTHERS:
        raise CheckpointError(f"the config has {key} = {brief(value)}; a whole number, 0 or more, is expected")
    return value


def token_ids(value: Any, key: str) -> tuple[int, ...]:
    """A list of ids; raises `CheckpointError` for anything else."""
    if not isinstance(value, list) or not all(type(i) is int and i >= 0 for i in value):
        raise CheckpointError(f"the config has {key} = {brief(value)}; a list of ids is expected")
    return tuple(value)


def token_id(config: dict[str, Any], key: str) -> int | None:
    """One id, or a list of one; None where the config does not say."""
    value = config.get(key)
    if value is None:
        return None
    ids = set(token_ids(value if isinstance(value, list) else [value], key))
    if len(ids) != 1:
        raise CheckpointError(f"the config has {key} = {brief(value)}; one id is expected")
    return ids.pop()


def activation(config: dict[str, Any]) -> Activation:
    """The activation function; raises `UnsupportedModelError` naming it."""
    name = setting(config, "activation_function")
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise UnsupportedModelError(
            f"activation {brief(name)} is not supported; supported are {', '.join(ACTIVATIONS)}"
        )
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
    return math.sqrt(config["d_model"]) if flag(config, "scale_embedding", default) else 1.0


def tokens(config: dict[str, Any], unk: int | None) -> Tokens:
    """Ids of the special tokens."""
    eos, pad, start = (setting(config, key) for key in ("eos_token_id", "pad_token_id", "decoder_start_token_id"))
    return Tokens(eos=eos, pad=pad, decoder_start=start, unk=unk)


def generation(config: dict[str, Any], generation_config: dict[str, Any], default_length: int) -> Generation:
    """`generation_config.json`, or what older checkpoints keep of it in `config.json`."""
    merged = generation_config or config
    most, fewest = count(merged, "max_new_tokens"), count(merged, "min_new_tokens", -1)
    return Generation(
        max_length=most + 1 if most else count(merged, "max_length") or default_length,  # and the decoder start
        forced_bos=token_id(merged, "forced_bos_token_id"),
        forced_eos=token_id(merged, "forced_eos_token_id"),
        bad_words_ids=_bad_words(merged.get("bad_words_ids")),
        suppress_tokens=token_ids(merged.get("suppress_tokens") or [], "suppress_tokens"),
        begin_suppress_tokens=token_ids(merged.get("begin_suppress_tokens") or [], "begin_suppress_tokens"),
        renormalize_logits=bool(merged.get("renormalize_logits")),
        no_repeat_ngram_size=count(merged, "no_repeat_ngram_size"),
        repetition_penalty=number(merged, "repetition_penalty", 1.0, positive=True),
        length_penalty=number(merged, "length_penalty", 1.0),
        early_stopping=_early_stopping(merged),
        min_length=fewest + 1 if fewest >= 0 else count(merged, "min_length"),
        max_new_tokens=most or None,
    )


def _early_stopping(config: dict[str, Any]) -> EarlyStopping:
    value = config.get("early_stopping")
    if value is None or isinstance(value, bool):
        return bool(value)
    if value == "never":
        return "never"
    raise CheckpointError(f'the config has early_stopping = {brief(value)}; true, false or "never" is expected')


def _bad_words(words: Any) -> tuple[tuple[int, ...], ...]:
    """Each word is a list of ids. A flat list is refused, as in transformers: it may be one word or several."""
    if words is None:
        return ()
    if not isinstance(words, list) or not all(isinstance(word, list) and word for word in words):
        raise CheckpointError(
            f"the config has bad_words_ids = {brief(words)}; words are expected, each a list of ids: [[5], [7]]"
        )
    return tuple(token_ids(word, "bad_words_ids") for word in words)
