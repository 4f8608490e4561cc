"""The models that the engines run, all made from one checkpoint; those of peers are kept for the next time."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from random_checkpoint import big

from quartet.bench import contest
from quartet.bench.contest import Entry
from quartet.conversion.convert import convert_folder
from quartet.quantize.recipes import RECIPES

BASE = "ctranslate2"  # what everything is compared with
TRANSFORMERS = ("transformers-float32", "transformers-bfloat16")
OPTIMUM = tuple(f"optimum-{decoder}-{dtype}" for decoder in ("merged", "two") for dtype in ("float32", "int8"))
PEERS = (BASE, *TRANSFORMERS, *OPTIMUM)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of all scripts that compare."""
    parser.add_argument("--work", type=Path, required=True, help="folder for models; those of peers are kept")
    parser.add_argument("--quartet", nargs="+", default=["int4"], help="recipes to convert to, or folders of quartets")
    parser.add_argument("--peers", nargs="*", default=[BASE], choices=PEERS)
    parser.add_argument("--optimum-python", default=sys.executable, help="Python of an environment with Optimum")
    parser.add_argument("--threads", type=int, default=2)


def entries(args: argparse.Namespace, checkpoint: Path) -> list[Entry]:
    """Everyone who takes part, the peers first."""
    args.work.mkdir(parents=True, exist_ok=True)
    return [entry(name, checkpoint, args.work, args.optimum_python) for name in (*args.peers, *args.quartet)]


def random_checkpoint(work: Path, shape: str) -> Path:
    folder = work / shape
    return folder if (folder / "model.safetensors").exists() else big(folder, shape)


def entry(name: str, checkpoint: Path, work: Path, optimum_python: str) -> Entry:
    """The entry of a peer, of a recipe of quartet's, or of a folder that holds a quartet."""
    made = work / f"{checkpoint.name}-{name}"
    if name in TRANSFORMERS:
        return Entry(name, name, checkpoint)
    if name == BASE:
        return Entry(name, name, contest.make(name, checkpoint, made))
    if name in OPTIMUM:
        return Entry(name, "transformers-optimum", optimum(name, checkpoint, work, optimum_python), optimum_python)
    if name not in RECIPES:
        return Entry(f"quartet {Path(name).name}", "quartet", Path(name))
    convert_folder(checkpoint, made, precision=name, force=True)  # a folder of yesterday is not today's converter's
    return Entry(f"quartet {name}", "quartet", made)


def optimum(name: str, checkpoint: Path, work: Path, python: str) -> Path:
    """The export `optimum-DECODER-DTYPE`; int8 is made of float32."""
    made = work / f"{checkpoint.name}-{name}"
    _, decoder, dtype = name.split("-")
    if dtype == "float32":
        return _made_by("optimum_model.py", python, checkpoint, made, decoder)
    float32 = optimum(f"optimum-{decoder}-float32", checkpoint, work, python)
    return _made_by("optimum_model.py", python, float32, made, "int8")


def _made_by(script: str, python: str, source: Path, folder: Path, *options: str) -> Path:
    """The folder that a script of its own makes: its libraries take gigabytes while they convert."""
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        command = [python, str(Path(__file__).with_name(script)), str(source), str(partial), *options]
        subprocess.run(command, check=True, stdout=sys.stderr, env=os.environ | {"TRANSFORMERS_OFFLINE": "1"})
        partial.rename(folder)
    return folder
