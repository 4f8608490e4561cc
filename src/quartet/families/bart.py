"""Tensor names of encoder-decoders in the BART tradition, as transformers gives them: M2M100, Marian, Whisper."""

from collections.abc import Iterator

from quartet.spec import ModelSpec


def tensor_names(spec: ModelSpec) -> dict[str, tuple[str, ...]]:
    """Canonical name -> names in a checkpoint: the canonical one with `model.` before it.

    The embeddings may be there under several names (tied duplicates); where one is shared, all are equal.
    """
    names: dict[str, tuple[str, ...]] = {name: (f"model.{name}", name) for name in _layer_tensors(spec)}
    encoder, decoder, head = "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"
    embedding = [f"model.{decoder}", decoder]
    if spec.source_vocab_size is None:
        embedding = ["model.shared.weight", *embedding, f"model.{encoder}", encoder]
    else:
        names[encoder] = (f"model.{encoder}", encoder)
    if spec.tied_head:
        embedding.append(head)
    else:
        names["lm_head.weight"] = (head,)
    names[decoder] = tuple(embedding)
    if spec.head_bias:
        names["final_logits_bias"] = ("final_logits_bias",)
    return names


def _layer_tensors(spec: ModelSpec) -> Iterator[str]:
    blocks = {"encoder": ("self_attn",), "decoder": ("self_attn", "encoder_attn")}
    for side, stack in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        modules = [f"{side}.layers.{i}.{m}" for i in range(stack.layers) for m in _layer_modules(blocks[side])]
        if spec.final_norm:
            modules.append(f"{side}.layer_norm")
        yield from (f"{module}.{kind}" for module in modules for kind in ("weight", "bias"))


def _layer_modules(blocks: tuple[str, ...]) -> Iterator[str]:
    for block in blocks:
        yield from (f"{block}.{part}_proj" for part in ("q", "k", "v", "out"))
        yield f"{block}_layer_norm"
    yield from ("fc1", "fc2", "final_layer_norm")
