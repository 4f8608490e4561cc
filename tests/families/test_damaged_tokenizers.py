"""Tokeniser files that are damaged, in a way that a file can be: a checkpoint converts, or is refused in one line."""

import copy
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny
from quartet.checkpoint import Checkpoint
from quartet.errors import CheckpointError, ManifestError
from quartet.families import find, tokenizer_json
from quartet.text.tokenizer import load_tokenizer
from quartet.text.vocabulary import sides

SAVED = Path(__file__).parents[1] / "golden" / "saved"
FOLDERS = [f"{version}-{family}" for version in "45" for family in ("nllb", "m2m100", "marian", "t5", "madlad")]
VARIANTS = {
    "nllb": "m2m100-base",
    "m2m100": "m2m100-base",
    "marian": "marian-base",
    "t5": "t5-v1.0",
    "madlad": "madlad",
}
ODD: list[Any] = [None, True, -1, 2**40, 1.5, "", "x", "\ud800", [], [[]], {}, {"type": "x"}, [None], "<unk>", 0]
TRIALS = 25  # of each folder


def damaged_bytes(content: bytes, chance: random.Random) -> bytes:
    """Cut off, with other bytes in the middle, without some, or empty."""
    start = chance.randrange(len(content))
    end = min(len(content), start + chance.choice([1, 3, 50]))
    return chance.choice(
        [
            content[:start],
            content[:start] + chance.randbytes(end - start) + content[end:],
            content[:start] + content[end:],
            b"",
        ]
    )


def damaged_json(content: bytes, chance: random.Random) -> bytes:
    """A value somewhere inside is another one, or gone."""
    data = copy.deepcopy(json.loads(content))
    at = data
    while True:
        keys = list(at) if isinstance(at, dict) else range(len(at))
        key = chance.choice(list(keys))
        inner = at[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.3:
            break
        at = inner
    if chance.random() < 0.3:
        del at[key]
    elif isinstance(at, dict) and chance.random() < 0.2:
        at[chance.choice(["", "<unk>", "x y"])] = at.pop(key)
    else:
        at[key] = chance.choice(ODD)
    return json.dumps(data).encode()


def run(folder: Path, out: Path, variant: str) -> None:
    """All that a conversion and its quartet do with the tokeniser's files."""
    config = tiny.config(tiny.replace(tiny.VARIANTS[variant], vocab_size=400))
    description = find(config).describe(Checkpoint(folder, config, {}, {}, folder))
    if description.tokenizer is None:
        return
    for name in description.tokenizer_files:
        shutil.copyfile(folder / name, out / name)
    for name, content in description.made_files.items():
        (out / name).write_bytes(content)
    spec = description.tokenizer
    tokenizer = load_tokenizer(out, spec)
    tokenizer.decode(tokenizer.encode("the Zyxwv train <ent> é"))
    if spec.kind != "tokenizers":
        sides(out, spec)
    (out / tokenizer_json.NAME).unlink(missing_ok=True)
    tokenizer_json.write(out, spec)


@pytest.mark.parametrize("damage", [damaged_bytes, damaged_json])
@pytest.mark.parametrize("name", FOLDERS)
def test_damage_is_named_or_does_no_harm(
    name: str, damage: Callable[[bytes, random.Random], bytes], tmp_path: Path
) -> None:
    chance = random.Random(f"{name} {damage.__name__}")
    files = sorted(path for path in (SAVED / name).iterdir() if damage is damaged_bytes or path.suffix == ".json")
    refusals = []
    for trial in range(TRIALS):
        folder, out = tmp_path / f"{trial}", tmp_path / f"{trial}-out"
        shutil.copytree(SAVED / name, folder)
        out.mkdir()
        hurt = folder / chance.choice(files).name
        hurt.write_bytes(damage(hurt.read_bytes(), chance))
        try:
            run(folder, out, VARIANTS[name[2:]])
        except (CheckpointError, ManifestError) as error:
            refusals.append(str(error))
    assert refusals  # some damage is always found
    assert all(str(tmp_path) in line and "\n" not in line.strip() for line in refusals)
