"""CTranslate2's variables as the tensors of transformers: other names, and what is stored as one matrix taken apart."""

import math
import re
from collections.abc import Iterator

from quartet.checkpoint.ctranslate2.model_bin import ModelBin
from quartet.checkpoint.shards import Tensors
from quartet.checkpoint.tensors import TensorEntry, read, row_range, same_bytes, with_zeros
from quartet.errors import CheckpointError, UnsupportedModelError

SIDES = ("encoder", "decoder")

# In a layer: CTranslate2's linear map -> transformers' ones, whose rows it has one after the other.
LINEARS = {
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}
CROSS_LINEARS = {
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
}
NORMS = {"self_attention/layer_norm": "self_attn_layer_norm", "ffn/layer_norm": "final_layer_norm"}
CROSS_NORMS = {"attention/layer_norm": "encoder_attn_layer_norm"}

# Numbers that describe a stack; the second ones have to be zero.
ATTRIBUTES = (
    "activation",
    "alibi_use_positive_positions",
    "alignment_heads",
    "alignment_layer",
    "embeddings_merge",
    "num_heads",
    "pre_norm",
    "scale_alibi",
    "scale_embeddings",
    "start_from_zero_embedding",
)
SWITCHES = ("alibi", "multi_query_attention")

FEATURES = {  # of a variable's name: what a model with it has that quartet does not build
    r"relative_(asymmetric_)?position": "relative positions",
    r"relative_attention": "a relative attention bias, as T5",
    r"linear_0_noact": "gated feed-forward layers",
    r"/rotary_": "rotary positions",
    r"/alibi$": "attention with linear biases (ALiBi)",
    r"num_heads_kv|multi_query_attention": "fewer key heads than query heads",
    r"sliding_window": "a sliding window",
    r"/[qkv]_norm/": "norms of queries and keys",
    r"layernorm_embedding": "a norm of the embeddings",
    r"(input|attention|feedforward|shared|encoder_attention)_layer_norm": "further norms in a layer",
    r"encoder/embeddings_[1-9]": "features beside the source tokens",
    r"weight_zero": "weights quantised by AWQ",
}


def tensors(model: ModelBin) -> Tensors:
    """All tensors of a translation model or of Whisper under the names that transformers gives them.

    A matrix that both sides or the head share comes once. A translation model that starts from a zero embedding gets
    a last row of zeros, which is the start token that such models have in transformers.

    Raises `UnsupportedModelError` for what no family has, `CheckpointError` for what is missing.
    """
    _refuse_features(model)
    found: Tensors = {}
    used: set[str] = set()
    for module, targets in _linears(model):
        found |= _linear(model, module, targets)
        used |= {f"{module}/weight", f"{module}/bias"}
    for module, target in _norms(model):
        found |= {f"{target}.weight": variable(model, f"{module}/gamma")}
        found |= {f"{target}.bias": variable(model, f"{module}/beta")}
        used |= {f"{module}/gamma", f"{module}/beta"}
    whole = _whisper_only(model) if model.kind == "WhisperSpec" else _translation_only(model)
    used |= {f"{side}/{name}" for side in SIDES for name in (*ATTRIBUTES, *SWITCHES)} | WHOLE
    left = sorted(model.variables.keys() - used)
    if left:
        raise UnsupportedModelError(f"{model.path} has {left[0]!r}, which no architecture that quartet converts has")
    return found | whole


WHOLE = {  # what is not in a layer
    *(f"encoder/conv{i}/{kind}" for i in (1, 2) for kind in ("weight", "bias")),
    *(f"{side}/position_encodings/encodings" for side in SIDES),
    "encoder/embeddings_0/weight",
    "decoder/embeddings/weight",
    "decoder/projection/weight",
    "decoder/projection/bias",
}


def variable(model: ModelBin, name: str) -> TensorEntry:
    """A variable that the model has to have; raises `CheckpointError` naming it."""
    if name not in model.variables:
        raise CheckpointError(f"{model.path} is damaged or no {model.kind}: it has no {name!r}")
    return model.variables[name]


def matrix(model: ModelBin, module: str, rank: int = 2) -> TensorEntry:
    """The weight of a module, with as many dimensions as it has to have."""
    entry = variable(model, f"{module}/weight")
    if len(entry.shape) != rank:
        raise CheckpointError(f"{model.path} is damaged: '{module}/weight' has shape {list(entry.shape)}")
    return entry


def _bias(model: ModelBin, module: str, weight: TensorEntry) -> TensorEntry:
    """The bias of a module, a number for each row of its weight; zeros where it has none."""
    bias = model.variables.get(f"{module}/bias") or zeros(weight, weight.shape[:1])
    if bias.shape != weight.shape[:1]:
        raise CheckpointError(
            f"{model.path} is damaged: '{module}/bias' has shape {list(bias.shape)}, expected {list(weight.shape[:1])}"
        )
    return bias


def number(model: ModelBin, name: str, default: float | None = None) -> float:
    """The value of a variable without dimensions, which has to be there where there is no default."""
    if default is not None and name not in model.variables:
        return default
    entry = variable(model, name)
    if entry.size != 1:
        raise CheckpointError(f"{model.path} is damaged: {name!r} has shape {list(entry.shape)}; it is one number")
    return float(read(entry).item())


def layers(model: ModelBin, side: str) -> int:
    """Number of layers of a stack."""
    found = {int(match[1]) for name in model.variables if (match := re.match(rf"{side}/layer_(\d+)/", name))}
    if found != set(range(len(found))) or not found:
        raise CheckpointError(f"{model.path} is damaged: the layers of its {side} are {sorted(found) or 'missing'}")
    return len(found)


def starts_from_zero(model: ModelBin) -> bool:
    """Whether the decoder's first input is a zero vector, and no token's embedding."""
    return bool(number(model, "decoder/start_from_zero_embedding", 0))


def _refuse_features(model: ModelBin) -> None:
    """Refuse in plain words what quartet builds no graphs for."""
    on = [name for name in model.variables if name.rpartition("/")[2] not in SWITCHES or number(model, name)]
    found = [words for pattern, words in FEATURES.items() if any(re.search(pattern, name) for name in on)]
    if any(name.endswith("/gamma") and name.removesuffix("gamma") + "beta" not in on for name in on):
        found.append("norms without bias")
    if found:
        raise UnsupportedModelError(f"{model.path} is a model with {', '.join(found)}: quartet does not convert these")


def _linears(model: ModelBin) -> Iterator[tuple[str, tuple[str, ...]]]:
    for side in SIDES:
        for i in range(layers(model, side)):
            for module, targets in (LINEARS | CROSS_LINEARS if side == "decoder" else LINEARS).items():
                yield f"{side}/layer_{i}/{module}", tuple(f"model.{side}.layers.{i}.{t}" for t in targets)


def _norms(model: ModelBin) -> Iterator[tuple[str, str]]:
    for side in SIDES:
        for i in range(layers(model, side)):
            for module, target in (NORMS | CROSS_NORMS if side == "decoder" else NORMS).items():
                yield f"{side}/layer_{i}/{module}", f"model.{side}.layers.{i}.{target}"
        if f"{side}/layer_norm/gamma" in model.variables:
            yield f"{side}/layer_norm", f"model.{side}.layer_norm"


def _linear(model: ModelBin, module: str, targets: tuple[str, ...]) -> Tensors:
    """Weights and biases of the targets, zeros where a map has no bias. Whisper's keys have none by nature."""
    weight = matrix(model, module)
    rows, rest = divmod(weight.shape[0], len(targets))
    if rest:
        raise CheckpointError(f"{model.path} is damaged: '{module}/weight' has shape {list(weight.shape)}")
    bias = _bias(model, module, weight)
    found: Tensors = {}
    for i, target in enumerate(targets):
        found[f"{target}.weight"] = row_range(weight, i * rows, (i + 1) * rows)
        if not (model.kind == "WhisperSpec" and target.endswith("k_proj")):
            found[f"{target}.bias"] = row_range(bias, i * rows, (i + 1) * rows)
    return found


def zeros(near: TensorEntry, shape: tuple[int, ...]) -> TensorEntry:
    """A tensor of zeros, none of which are in the file."""
    return TensorEntry(near.path, near.offset, shape, "float32", stored=0)


def _translation_only(model: ModelBin) -> Tensors:
    """Embeddings, head and its bias."""
    source, target = matrix(model, "encoder/embeddings_0"), matrix(model, "decoder/embeddings")
    head, extra = matrix(model, "decoder/projection"), int(starts_from_zero(model))
    decoder = _more_rows(target, extra)
    found = {"model.decoder.embed_tokens.weight": decoder, "model.encoder.embed_tokens.weight": source}
    if same_bytes(source, target):
        found = {"model.shared.weight": decoder}
    if not same_bytes(head, target):
        found["lm_head.weight"] = _more_rows(head, extra)
    found["final_logits_bias"] = with_zeros(_bias(model, "decoder/projection", head), (1, head.shape[0] + extra))
    return found


def _more_rows(entry: TensorEntry, extra: int) -> TensorEntry:
    return with_zeros(entry, (entry.shape[0] + extra, *entry.shape[1:])) if extra else entry


def _whisper_only(model: ModelBin) -> Tensors:
    """Convolutions, positions of both sides, embedding, and the head where it is not tied."""
    names = {f"encoder/conv{i}/{kind}": f"model.encoder.conv{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")}
    names |= {f"{side}/position_encodings/encodings": f"model.{side}.embed_positions.weight" for side in SIDES}
    names["decoder/embeddings/weight"] = "model.decoder.embed_tokens.weight"
    found = {target: variable(model, name) for name, target in names.items()}
    head = variable(model, "decoder/projection/weight")
    if not same_bytes(head, found["model.decoder.embed_tokens.weight"]):
        found["proj_out.weight"] = head
    return found


def width(model: ModelBin) -> int:
    """Channels of the hidden states."""
    return matrix(model, "decoder/embeddings").shape[-1]


def embed_scale(model: ModelBin, side: str) -> float:
    """What a stack's embeddings are multiplied by: a switch (int8) for the root of the width, or the factor itself."""
    entry = model.variables.get(f"{side}/scale_embeddings")
    if entry is None or (entry.dtype == "int8" and number(model, entry.name)):
        return math.sqrt(width(model))
    return 1.0 if entry.dtype == "int8" else number(model, entry.name)
