"""Names of tensors without what programs for training wrap models in: `_orig_mod.`, `module.` and their like."""

from pathlib import Path

from quartet.checkpoint.shards import Tensors, brief
from quartet.errors import CheckpointError, UnsupportedModelError

ANYWHERE = (  # parts of a name that no model has of its own
    "_orig_mod",  # torch.compile
    "_fsdp_wrapped_module",  # fully sharded training
    "_checkpoint_wrapped_module",  # activations that are computed again
)
IN_FRONT = "module."  # training on several devices
LIGHTNING = "model."  # a module of Lightning's that holds the model under this name
INSIDE = ("model.model.", "model.encoder.block.")  # the second is T5's, whose own names have no `model.`
ADAPTER_PARTS = {"base_layer", "lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "modules_to_save"}


def unwrapped(tensors: Tensors, source: Path) -> Tensors:
    """The tensors by their names in the model itself.

    Raises `UnsupportedModelError` for the names of an adapter that is not merged, `CheckpointError` where two tensors
    get the same name.
    """
    names = {name: _stripped(name) for name in tensors}
    if all(n.startswith(LIGHTNING) for n in names.values()) and any(n.startswith(INSIDE) for n in names.values()):
        names = {old: name.removeprefix(LIGHTNING) for old, name in names.items()}
    found: dict[str, str] = {}
    for old, name in names.items():
        if ADAPTER_PARTS & set(name.split(".")):
            raise UnsupportedModelError(
                f"{source} holds an adapter that is not merged ({brief(old)}): merge it into its model "
                "(PEFT's merge_and_unload) and save that"
            )
        if name in found:
            raise CheckpointError(f"{source} holds {brief(name)} twice, as {brief(found[name])} and as {brief(old)}")
        found[name] = old
    return {name: tensors[old] for name, old in found.items()}


def _stripped(name: str) -> str:
    parts = name.split(".")
    name = ".".join(part for part in parts if part not in ANYWHERE)
    while name.startswith(IN_FRONT):
        name = name.removeprefix(IN_FRONT)
    return name
