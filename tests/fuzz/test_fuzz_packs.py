"""Packed weights and heads of one language, damaged by chance: with `verify` no text is wrong, and nothing crashes.

    QUARTET_FUZZ=500 pytest -s tests/fuzz/test_fuzz_packs.py   # trials; QUARTET_FUZZ_SEED for others than the last time

The trials run in a process of their own, which tells what it begins; one that dies or hangs shows in which it was.
"""

import faulthandler
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import tiny_text
from quartet import Translator, derived
from quartet.conversion.convert import convert_folder
from quartet.errors import QuartetError
from quartet.runtime.machine import packing

TRIALS = int(os.environ.get("QUARTET_FUZZ") or 6)
LONGEST = 120  # seconds of a trial
SMALL_BLOCK = 1 << 10  # of hashes, so that there are blocks that are not looked at in tiny files too
TEXTS = ["Good morning.", "Where is the train station?", "Thank you, we are well.", "It is raining again."]
MANY = TEXTS * 3
LIMITED = {"max_length": 12}
Damage = Callable[[random.Random, list[Path]], None]


def garbage(chance: random.Random, files: list[Path]) -> None:
    """Up to 64 kB anywhere in a file."""
    path = chance.choice(files)
    content = bytearray(path.read_bytes())
    start = chance.randrange(len(content) or 1)
    part = content[start : start + chance.choice((1 << 6, 1 << 10, 1 << 16))]
    content[start : start + len(part)] = chance.randbytes(len(part))
    path.write_bytes(content)


def flipped_bits(chance: random.Random, files: list[Path]) -> None:
    path = chance.choice(files)
    content = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def zeros(chance: random.Random, files: list[Path]) -> None:
    """A page that never came to the disk."""
    path = chance.choice(files)
    content = bytearray(path.read_bytes())
    start = chance.randrange(len(content) // 4096 + 1) * 4096
    content[start : start + 4096] = bytes(len(content[start : start + 4096]))
    path.write_bytes(content)


def truncation(chance: random.Random, files: list[Path]) -> None:
    path = chance.choice(files)
    os.truncate(path, chance.randrange(path.stat().st_size))


def extension(chance: random.Random, files: list[Path]) -> None:
    with chance.choice(files).open("ab") as file:
        file.write(chance.randbytes(chance.randint(1, 5000)))


def swapped_files(chance: random.Random, files: list[Path]) -> None:
    """Two files of any folders have each other's place."""
    one, other = chance.sample(files, 2)
    _swap(one, other)


def swapped_folders(chance: random.Random, files: list[Path]) -> None:
    """Each is whole, and belongs to something else."""
    folders = sorted({path.parent for path in files})
    _swap(*chance.sample(folders, 2))


def _swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def missing(chance: random.Random, files: list[Path]) -> None:
    chance.choice(files).unlink()


def a_folder_instead(chance: random.Random, files: list[Path]) -> None:
    path = chance.choice(files)
    path.unlink()
    path.mkdir()


def other_json(chance: random.Random, files: list[Path]) -> None:
    """A mark that says something else, or nothing that makes sense."""
    path = chance.choice([path for path in files if path.suffix == ".json"] or files)
    values = (None, [], {}, -1, "x", 1e999, [[]], {"a": {}}, True)
    try:
        mark = json.loads(path.read_bytes())
        part = mark if chance.random() < 0.3 else chance.choice([mark["files"], *mark["files"].values()])
        part[chance.choice(list(part))] = chance.choice(values)
    except (ValueError, KeyError, TypeError, IndexError, UnicodeDecodeError):
        mark = chance.choice(values)
    path.write_text(json.dumps(mark))


DAMAGES: tuple[Damage, ...] = (
    garbage,
    garbage,
    flipped_bits,
    zeros,
    truncation,
    extension,
    swapped_files,
    swapped_folders,
    missing,
    a_folder_instead,
    other_json,
)


def texts_of(folder: Path, verify: bool) -> list[str]:
    """By the kernels for one row and for many, with all tokens and with those of one language."""
    found = []
    for vocabulary in (None, "auto"):
        with Translator(folder, threads=1, verify=verify, vocabulary=vocabulary) as translator:
            found += [translator.translate(text, "fr", "en", **LIMITED).text for text in TEXTS[:2]]
            found += [one.text for one in translator.translate_batch(MANY, "fr", "en", **LIMITED)]
    return found


class Told(logging.Handler):
    """Warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def trials(folder: str, home: str, count: str, seed: str) -> None:
    """Print a line for each trial: its number, verify, the damage, and what came of it."""
    derived.BLOCK = SMALL_BLOCK
    packing.SMALLEST = 0
    faulthandler.enable()
    told = Told()
    logging.getLogger("quartet").addHandler(told)
    made, used = Path(home) / "made", Path(home) / "used"
    os.environ["QUARTET_HOME"] = str(used)
    expected = texts_of(Path(folder), verify=False)
    used.rename(made)
    for number in range(int(count)):
        chance = random.Random(f"{seed} {number}")
        verify, damage = number % 2 == 0, chance.choice(DAMAGES)
        print(json.dumps([number, verify, damage.__name__, "begun"]), flush=True)
        shutil.rmtree(used, ignore_errors=True)
        shutil.copytree(made, used)
        files = sorted(path for path in used.rglob("*") if path.is_file() and path.stat().st_size)
        weights = [path for path in files if path.suffix == derived.WEIGHTS]
        damage(chance, weights if chance.random() < 0.5 else files)  # half of it where not all is looked at
        told.messages.clear()
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        try:
            same = texts_of(Path(folder), verify) == expected
            outcome = "wrong" if not same else "remade" if told.messages else "unharmed"
            print(told.messages, file=sys.stderr)
        except QuartetError:
            outcome = "refused"
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps([number, verify, damage.__name__, outcome]), flush=True)


def test_damaged_packs(tmp_path: Path) -> None:
    convert_folder(tiny_text.make(tmp_path / "checkpoint"), tmp_path / "quartet", precision="int4")
    seed = os.environ.get("QUARTET_FUZZ_SEED", "0")
    paths = [str(Path(tiny_text.__file__).parent), str(Path(packing.__file__).parents[3])]
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "quartet"), str(tmp_path), str(TRIALS), seed],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=(TRIALS + 1) * LONGEST,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"seed {seed}, {lines[-1:]}: {done.stderr[-3000:]}"
    found = Counter((verify, outcome) for _, verify, _, outcome in lines)
    for verify in (True, False):
        row = {outcome: count for (of, outcome), count in sorted(found.items()) if of is verify}
        print(f"packs, {'with' if verify else 'without'} verify: tried {row.pop('begun', 0)}, {row}")
    assert found[True, "begun"] + found[False, "begun"] == TRIALS
    wrong = [line for line in lines if line[1] and line[3] == "wrong"]
    assert not wrong, f"seed {seed}"


if __name__ == "__main__":
    trials(*sys.argv[1:])
