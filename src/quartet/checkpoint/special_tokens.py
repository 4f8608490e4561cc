"""The ids of start, end and padding, as one number each in one place, whichever of the two configs has them."""

from typing import Any

from quartet.checkpoint.shards import brief
from quartet.errors import CheckpointError, UnsupportedModelError

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"

# Generation reads its own config first, as transformers does; padding belongs to the architecture.
FIRST = {"eos_token_id": GENERATION_CONFIG, "decoder_start_token_id": GENERATION_CONFIG, "pad_token_id": CONFIG}


def merged(config: dict[str, Any], generation_config: dict[str, Any]) -> dict[str, Any]:
    """`config.json` with all three ids, as far as they are anywhere, each a whole number.

    A list of one id is that id. Raises `UnsupportedModelError` for a list of several, `CheckpointError` for no ids.
    """
    configs = {CONFIG: config, GENERATION_CONFIG: generation_config}
    found: dict[str, Any] = {}
    for key, first in FIRST.items():
        for file in sorted(configs, key=lambda file, first=first: file != first):  # type: ignore[misc]
            if key not in found and configs[file].get(key) is not None:
                found[key] = _single(configs[file][key], key, file)
    return config | found


def _single(value: Any, key: str, file: str) -> int:
    ids = value if isinstance(value, list) else [value]
    if not ids or not all(type(i) is int and i >= 0 for i in ids):
        raise CheckpointError(f"{file} has {key} = {brief(value)}; the id of a token is expected")
    if len(set(ids)) > 1:
        raise UnsupportedModelError(
            f"{file} has several ids for {key}, {brief(value)}, and quartet knows one: leave the one in that the "
            "model was trained with"
        )
    return int(ids[0])
