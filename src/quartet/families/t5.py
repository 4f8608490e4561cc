"""T5 (Raffel et al. 2020), its version 1.1, and MADLAD-400 (Kudugunta et al. 2023).

RMS norms first, no biases, positions as biases of the scores, scores that are not scaled, and in version 1.1 gated
feed-forward blocks and an LM head of its own. What overflows in float16, the residuals and the inner channels of the
feed-forward blocks, is float32 in our graphs at every precision: only weights are stored in fewer bits.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from quartet.checkpoint import Checkpoint, equal
from quartet.checkpoint.shards import brief
from quartet.errors import UnsupportedModelError
from quartet.families import tokenizers
from quartet.families.config import ACTIVATIONS, count, epsilon, flag, generation, integer, tokens
from quartet.families.description import Description
from quartet.spec import Activation, ModelSpec, RelativeBias, Stack

MODEL_TYPES = ("t5",)

WINDOW = 512  # `n_positions`: what the models were trained with; the positions have no end of their own
SAFE_LENGTH = 56  # not measured: no real MADLAD-400 was at hand; the value of opus-mt, whose users complain alike

LEFTOVERS = (  # of the first T5, whose code never read it
    r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
)

EMBEDDINGS = ("shared.weight", "decoder.embed_tokens.weight", "encoder.embed_tokens.weight")
HEAD = "lm_head.weight"


def read_spec(config: dict[str, Any]) -> ModelSpec:
    """The architecture that `config.json` describes."""
    d_model, heads, ffn_dim = (integer(config, key) for key in ("d_model", "num_heads", "d_ff"))
    layers = integer(config, "num_layers")
    decoder_layers = layers if config.get("num_decoder_layers") is None else integer(config, "num_decoder_layers")
    activation, gated = feed_forward(config)
    return ModelSpec(
        family="t5",
        d_model=d_model,
        vocab_size=integer(config, "vocab_size"),
        source_vocab_size=None,
        encoder=Stack(layers, heads, ffn_dim),
        decoder=Stack(decoder_layers, heads, ffn_dim),
        activation=activation,
        norm_first=True,
        final_norm=True,
        layer_norm_epsilon=epsilon(config, "layer_norm_epsilon", 1e-6),
        positions=_positions(config),
        embed_scale=1.0,
        tied_head=flag(config, "tie_word_embeddings", True),
        head_bias=False,
        head_size=integer(config, "d_kv"),
        attention_scale=1.0,
        biases=False,
        norm="rms",
        gated=gated,
        output_scale=d_model**-0.5 if _scales_output(config) else 1.0,
    )


def feed_forward(config: dict[str, Any]) -> tuple[Activation, bool]:
    """Activation, and whether it is gated, of `feed_forward_proj`: `relu`, `gated-gelu`, ..."""
    name = str(config.get("feed_forward_proj", "relu"))
    gate, _, function = name.rpartition("-")
    if gate not in ("", "gated") or function not in ACTIVATIONS:
        known = ", ".join((*ACTIVATIONS, *(f"gated-{function}" for function in ACTIVATIONS)))
        raise UnsupportedModelError(f"feed_forward_proj {brief(name)} is not supported; supported are {known}")
    # version 1.1 was trained with the approximation, whatever its name says
    return ("gelu_new" if name == "gated-gelu" else ACTIVATIONS[function]), bool(gate)


def _scales_output(config: dict[str, Any]) -> bool:
    """Whether the decoder's output is scaled before the LM head: where it was tied when the model was trained."""
    return flag(config, "scale_decoder_outputs", flag(config, "tie_word_embeddings", True))


def _positions(config: dict[str, Any]) -> RelativeBias:
    buckets = integer(config, "relative_attention_num_buckets")
    farthest = integer({"relative_attention_max_distance": 128} | config, "relative_attention_max_distance")
    if buckets < 4 or farthest <= buckets // 2:
        raise UnsupportedModelError(
            f"{buckets} position buckets up to distance {farthest}: at least 4 are supported, "
            "and a distance above half their number"
        )
    return RelativeBias(buckets, farthest)


def is_tied(checkpoint: Checkpoint) -> bool:
    """Whether the head is the embedding, by the tensors: some tools write the wrong flag into `config.json`."""
    head = checkpoint.tensors.get(HEAD)
    embedding = next((checkpoint.tensors[name] for name in EMBEDDINGS if name in checkpoint.tensors), None)
    return head is None or embedding is None or equal(head, embedding)


def tensor_names(spec: ModelSpec) -> dict[str, tuple[str, ...]]:
    """Canonical name -> names in a checkpoint; the embedding may be there under several."""
    head = {} if spec.tied_head else {HEAD: (HEAD,)}
    names = {"decoder.embed_tokens.weight": EMBEDDINGS + ((HEAD,) if spec.tied_head else ())} | head
    for side, stack, attentions in (
        ("encoder", spec.encoder, {"self_attn": "SelfAttention"}),
        ("decoder", spec.decoder, {"self_attn": "SelfAttention", "encoder_attn": "EncDecAttention"}),
    ):
        names |= _either(f"{side}.relative_bias", f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias")
        for layer in range(stack.layers):
            for ours, theirs in _layer_modules(attentions, spec.gated):
                names |= _either(f"{side}.layers.{layer}.{ours}", f"{side}.block.{layer}.layer.{theirs}")
        names |= _either(f"{side}.layer_norm", f"{side}.final_layer_norm")
    return names


def _either(ours: str, theirs: str) -> dict[str, tuple[str, ...]]:
    """The weight of a module that transformers names so; exports, whose names mean nothing, get ours."""
    return {f"{ours}.weight": (f"{theirs}.weight", f"{ours}.weight")}


def _layer_modules(attentions: dict[str, str], gated: bool) -> Iterator[tuple[str, str]]:
    """Our name of a module of a layer, and T5's, which counts the blocks of a layer."""
    for block, (ours, theirs) in enumerate(attentions.items()):
        for part in ("q", "k", "v"):
            yield f"{ours}.{part}_proj", f"{block}.{theirs}.{part}"
        yield f"{ours}.out_proj", f"{block}.{theirs}.o"
        yield f"{ours}_layer_norm", f"{block}.layer_norm"
    block = len(attentions)
    inner = {"gate": "wi_0", "fc1": "wi_1"} if gated else {"fc1": "wi"}
    for ours, theirs in (inner | {"fc2": "wo"}).items():
        yield ours, f"{block}.DenseReluDense.{theirs}"
    yield "final_layer_norm", f"{block}.layer_norm"


def describe(checkpoint: Checkpoint) -> Description:
    """Prompts `text </s>`, after the target's `<2xx>` in MADLAD-400, and the decoder start."""
    config = checkpoint.config
    window = count(config, "n_positions") or WINDOW
    found = tokenizers.t5(checkpoint.tokenizer_folder, config)
    languages = found.languages if found else ()
    space = found.space if found else None
    return Description(
        tokens=replace(tokens(config, unk=found.spec.unk_id if found else None), space=space),
        generation=generation(config, checkpoint.generation_config, default_length=window),
        source_prompt=(*(("space",) if space is not None else ()), *(("target",) if languages else ()), "text", "eos"),
        target_prompt=("decoder_start",),
        max_source_length=window,
        safe_length=min(window, SAFE_LENGTH),
        languages=languages,
        tokenizer=found.spec if found else None,
        tokenizer_files=found.files if found else (),
        made_files=found.made if found else {},
    )
