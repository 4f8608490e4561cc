"""One file per architecture, each with the same five names; adding a family is adding a file and a line here.

- `MODEL_TYPES`: the `model_type`s of `config.json` that it reads
- `read_spec(config)`: the `ModelSpec`, or `UnsupportedModelError` naming what is not supported
- `tensor_names(spec)`: canonical tensor name -> names it may have in a checkpoint; all that are there must be equal
- `LEFTOVERS`: patterns of tensors that a checkpoint may hold and the graphs do not need
- `describe(checkpoint)`: what the manifest says of tokens, languages and generation (`Description`)
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from quartet.checkpoint import Checkpoint
from quartet.errors import UnsupportedModelError
from quartet.families import m2m100, marian, whisper
from quartet.families.description import Description
from quartet.spec import ModelSpec

FAMILIES: tuple[ModuleType, ...] = (m2m100, marian, whisper)
REFUSED = {"nllb-moe": "a mixture of experts; quartet converts the dense NLLB-200 models"}


@dataclass(frozen=True)
class Family:
    """What a family's module offers."""

    read_spec: Callable[[dict[str, Any]], ModelSpec]
    tensor_names: Callable[[ModelSpec], dict[str, tuple[str, ...]]]
    leftovers: tuple[str, ...]
    describe: Callable[[Checkpoint], Description]


def find(config: dict[str, Any]) -> Family:
    """The family of a checkpoint's config; raises `UnsupportedModelError`."""
    model_type = config.get("model_type")
    for module in FAMILIES:
        if model_type in module.MODEL_TYPES:
            return Family(module.read_spec, module.tensor_names, module.LEFTOVERS, module.describe)
    known = ", ".join(t for module in FAMILIES for t in module.MODEL_TYPES)
    if model_type is None:
        raise UnsupportedModelError(f"config.json names no model_type; supported are {known}")
    if model_type in REFUSED:
        raise UnsupportedModelError(f"model_type {model_type!r} is not supported: {REFUSED[model_type]}")
    raise UnsupportedModelError(f"model_type {model_type!r} is not supported; supported are {known}")
