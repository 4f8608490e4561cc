"""One file per architecture, each with the same names; adding a family is adding a file and a line here.

- `MODEL_TYPES`: the `model_type`s of `config.json` that it reads
- `read_spec(config)`: the `ModelSpec`, or `UnsupportedModelError` naming what is not supported
- `tensor_names(spec)`: canonical tensor name -> names it may have in a checkpoint; all that are there must be equal
- `LEFTOVERS`: patterns of tensors that a checkpoint may hold and the graphs do not need
- `describe(checkpoint)`: what the manifest says of tokens, languages and generation (`Description`)
- `is_tied(checkpoint)`, only where it is not `config.json`'s to say: whether the LM head is the embedding
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from quartet.checkpoint import Checkpoint
from quartet.checkpoint.shards import brief
from quartet.errors import UnsupportedModelError
from quartet.families import m2m100, marian, opennmt, t5, whisper
from quartet.families.description import Description
from quartet.spec import ModelSpec

FAMILIES: tuple[ModuleType, ...] = (m2m100, marian, opennmt, t5, whisper)
REFUSED = {"nllb-moe": "a mixture of experts; quartet converts the dense NLLB-200 models"}


@dataclass(frozen=True)
class Family:
    """What a family's module offers."""

    read_spec: Callable[[dict[str, Any]], ModelSpec]
    tensor_names: Callable[[ModelSpec], dict[str, tuple[str, ...]]]
    leftovers: tuple[str, ...]
    describe: Callable[[Checkpoint], Description]
    is_tied: Callable[[Checkpoint], bool] | None = None


def find(config: dict[str, Any]) -> Family:
    """The family of a checkpoint's config; raises `UnsupportedModelError`."""
    model_type = config.get("model_type")
    for module in FAMILIES:
        if isinstance(model_type, str) and model_type in module.MODEL_TYPES:
            is_tied = getattr(module, "is_tied", None)
            return Family(module.read_spec, module.tensor_names, module.LEFTOVERS, module.describe, is_tied)
    known = ", ".join(t for module in FAMILIES for t in module.MODEL_TYPES)
    if model_type is None:
        raise UnsupportedModelError(f"config.json names no model_type; supported are {known}")
    if isinstance(model_type, str) and model_type in REFUSED:
        raise UnsupportedModelError(f"model_type {model_type!r} is not supported: {REFUSED[model_type]}")
    raise UnsupportedModelError(f"model_type {brief(model_type)} is not supported; supported are {known}")


def spec_of(family: Family, checkpoint: Checkpoint) -> ModelSpec:
    """The architecture of a checkpoint, by its config and, where the family wants that, by its tensors."""
    spec = family.read_spec(checkpoint.config)
    return spec if family.is_tied is None else replace(spec, tied_head=family.is_tied(checkpoint))
