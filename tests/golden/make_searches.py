"""What transformers finds with the settings of a generation config that end a search sooner or later.

pip install '.[oracle]'
python tests/golden/make_searches.py      # writes searches.json
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny
from golden import reference

VARIANTS = ("m2m100-base", "marian-base", "t5-v1.0")
SETTINGS: dict[str, dict[str, Any]] = {
    "early": {"early_stopping": True},
    "late": {"early_stopping": False},
    "never": {"early_stopping": "never"},
    "early long": {"early_stopping": True, "length_penalty": 2.0},
    "never long": {"early_stopping": "never", "length_penalty": 2.0},
    "never plain": {"early_stopping": "never", "length_penalty": 0.0},
    "plain": {"length_penalty": 0.0},
    "short": {"max_new_tokens": 5, "max_length": 30},
    "not short": {"min_length": 12},
    "not shorter": {"min_new_tokens": 12, "min_length": 3},
}
LENGTH = {"max_length": 24}  # of those that do not say


def main() -> None:
    found = {variant: {name: results(variant, settings) for name, settings in SETTINGS.items()} for variant in VARIANTS}
    settings = {name: LENGTH | asked for name, asked in SETTINGS.items()}
    content = {"transformers": transformers.__version__, "settings": settings, "variants": found}
    (Path(__file__).parent / "searches.json").write_text(json.dumps(content) + "\n", "utf-8")


def results(variant: str, settings: dict[str, Any], count: int = 6) -> list[list[list[int]]]:
    """Greedy output and that of three beams, of each of `count` inputs: new tokens after the prefix."""
    with tempfile.TemporaryDirectory() as folder:
        model = reference.load(make(Path(folder), variant, settings))
    bos = tiny.forced_bos(variant)
    return [[_found(model, row, bos, beams) for beams in (1, 3)] for row in tiny.inputs(variant, count)]


def make(folder: Path, variant: str, settings: dict[str, Any]) -> Path:
    """The tiny checkpoint with a generation config that asks for this."""
    tiny.make(folder, variant)
    path = folder / "generation_config.json"
    asked = json.loads(path.read_text("utf-8")) | LENGTH | settings
    path.write_text(json.dumps({key: value for key, value in asked.items() if key != "num_beams"}), "utf-8")
    return folder


@torch.inference_mode()
def _found(model: Any, row: list[int], bos: int | None, beams: int) -> list[int]:
    # some versions check early_stopping and length_penalty against the number of beams: it is an option of the call
    forced = {} if bos is None else {"forced_bos_token_id": bos}
    out = model.generate(torch.tensor([row]), num_beams=beams, do_sample=False, **forced)[0].tolist()
    new = out[1 if bos is None else 2 :]
    eos = model.generation_config.eos_token_id
    return new[: new.index(eos)] if eos in new else new


if __name__ == "__main__":
    main()
