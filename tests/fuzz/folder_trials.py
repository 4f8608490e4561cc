"""Damaged quartet folders, each opened and asked for a translation; by hand:

    python tests/fuzz/folder_trials.py --seconds 600 --seed 1

A trial changes one thing of a small quartet: a field of `quartet.json`, a graph, a data file or the tokeniser. What is
changed is damage, or, `forged`, has the sizes and digests that fit it. Trials run in a process of their own, which may
die: this one says what became of each.
"""

import argparse
import contextlib
import copy
import json
import os
import random
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
TEXT = "Where is the station? I have 3 tickets."
SECONDS = 60  # of a trial, after which it counts as a hang
MEGABYTES = 700  # a process that grows beyond them counts as one that takes unbounded memory
OUTCOMES = ("tried", "refused", "unharmed", "tracebacks", "hangs", "deaths", "wrong")


# ---- what is changed ------------------------------------------------------------------------------------------------

SCALARS: tuple[object, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 64, 1000, 2**31 - 1, 2**31, 2**53, 2**63, 10**30, -(2**63), 10**400),
    *(0.5, 1.0, -0.0, 1e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        "x",
        "0",
        "fr",
        "../x",
        "/dev/zero",
        "..",
        ".",
        "a/b",
        "C:\\x",
        "a\0b",
        "\x1b[2J",
        "\ud800",
        "é" * 300,
        "NaN",
    ),
    *("sentencepiece", "sentencepiece-vocab", "tokenizers", "int4", "fp32", "1.0", "2.0", "99.0", "decoder.onnx"),
    *([], {}, [[]], [None], [0], [-1], [[0, 1]], ["text"], ["text", "text"], {"": 0}, {"a": {"b": []}}),
)


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of a document are."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*path, key))


def change_a_field(data: dict[str, Any], chance: random.Random) -> str:
    """Change one field of a manifest; returns what was done."""
    path = chance.choice([place for place in places(data) if place])
    inner: Any = data
    for key in path[:-1]:
        inner = inner[key]
    key, old = path[-1], inner[path[-1]]
    kind = chance.choice(["value", "value", "value", "near", "missing", "extra", "other", "deep", "long", "swapped"])
    where = ".".join(map(str, path))
    if kind == "value":
        inner[key] = copy.deepcopy(chance.choice(SCALARS))
    elif kind == "near" and isinstance(old, (int, float)):
        inner[key] = chance.choice([old + 1, old - 1, old * 2, old // 2, -old, float(old), str(old), [old], not old])
    elif kind == "missing":
        del inner[key]
    elif kind == "extra" and isinstance(inner, dict):
        inner[f"{key}2"] = copy.deepcopy(old)
    elif kind == "deep":
        for _ in range(chance.choice([1, 50, 900, 5000])):
            old = [old]
        inner[key] = old
    elif kind == "long":
        inner[key] = chance.choice(["x", [0], [""]]) * chance.choice([1000, 100_000])
    elif kind == "swapped" and isinstance(inner, dict):
        other = chance.choice(list(inner))
        inner[key], inner[other] = inner[other], inner[key]
    else:
        inner[key] = copy.deepcopy(chance.choice(SCALARS))
    return f"{kind} {where}"


def dumped(data: object) -> bytes:
    """JSON of it, however deep."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    try:
        return json.dumps(data).encode("utf-8", "surrogatepass")
    finally:
        sys.setrecursionlimit(limit)


def change_bytes(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    """Damage as disks and downloads have it; returns it, and what was done."""
    kind = chance.choice(["flip", "flip", "flips", "cut", "empty", "zeros", "longer", "text", "twice", "piece"])
    place = chance.randrange(max(1, len(content)))
    if kind in ("flip", "flips"):
        changed = bytearray(content)
        for _ in range(1 if kind == "flip" else 50):
            if changed:
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        return bytes(changed), kind
    if kind == "piece":
        return content[:place] + content[place + chance.randrange(1, 500) :], kind
    results = {
        "cut": content[:place],
        "empty": b"",
        "zeros": content[:place] + bytes(len(content) - place),
        "longer": content + bytes(chance.randrange(1, 5000)),
        "text": b"<html><body>404 not found</body></html>",
        "twice": content * 2,
    }
    return results[kind], kind


def damage(folder: Path, out: Path, chance: random.Random, forged_graphs: bool) -> tuple[str, bool]:
    """Write a damaged quartet to `out`; returns what was done, and whether it was forged."""
    out.mkdir()
    data = json.loads((folder / "quartet.json").read_text("utf-8"))
    name = chance.choice(["quartet.json"] * 6 + ["quartet.json bytes"] + sorted(data["files"]))
    forged = chance.random() < 0.4
    content, changed = b"", name
    if name == "quartet.json":
        done = change_a_field(data, chance)
        if forged:
            with contextlib.suppress(ValueError, RecursionError, AttributeError):
                data["digest"] = _digest(data)
        content = dumped(data)
    elif name == "quartet.json bytes":
        changed, forged = "quartet.json", False
        content, done = change_bytes((folder / changed).read_bytes(), chance)
    else:
        content, done = change_bytes((folder / name).read_bytes(), chance)
        forged = forged and (forged_graphs or not name.endswith(".onnx"))
        if forged:
            from quartet.spec import file_entry

            (out / name).write_bytes(content)
            entry = file_entry(out / name)
            data["files"][name] = {"bytes": entry.bytes, "sha256": entry.sha256}
            data["digest"] = _digest(data)
    for path in folder.iterdir():
        if path.name != changed and not (forged and path.name == "quartet.json" and changed != "quartet.json"):
            os.link(path, out / path.name)
    if changed == "quartet.json" or not forged:
        (out / changed).write_bytes(content)
    else:
        (out / "quartet.json").write_bytes(dumped(data))
    return f"{name}: {done}", forged


def _digest(data: dict[str, Any]) -> str:
    from quartet import spec

    return spec._digest(data)


# ---- a process that tries -------------------------------------------------------------------------------------------


def translated(folder: Path, verify: bool) -> str:
    """What a quartet makes of a text."""
    from quartet import Translator

    with Translator(folder, threads=1, verify=verify) as translator:
        return translator.translate(TEXT, "fr", "en").text


def heard(folder: Path, verify: bool) -> str:
    """What a quartet makes of a sound, with the times of words."""
    import sounds
    from quartet import Transcriber

    with Transcriber(folder, threads=1, verify=verify) as transcriber:
        segments, _ = transcriber.transcribe(sounds.tone(1.5), "en", word_timestamps=True, temperature=0.0)
        return json.dumps([(segment.text, segment.start, segment.words) for segment in segments], default=str)


def _hears(folder: Path) -> bool:
    """Whether the quartet that it was made from reads no text."""
    return (folder / "hears").exists()


def outcome(folder: Path, verify: bool, expected: str) -> tuple[str, str]:
    """What becomes of a damaged quartet, and the error."""
    from quartet.errors import QuartetError

    try:
        text = (heard if _hears(folder) else translated)(folder, verify)
    except QuartetError as error:
        return ("refused" if str(error) and len(str(error).splitlines()) == 1 else "tracebacks"), str(error)
    except Exception as error:
        import traceback

        return "tracebacks", "".join(traceback.format_exception(error)[-3:])
    return ("unharmed" if text == expected else "wrong"), text


def try_all(folder: Path, seed: int, first: int, forged_graphs: bool) -> None:
    """Trial after trial, without an end; says so on stdout as JSON, before and after each."""
    import logging

    logging.disable(logging.CRITICAL)
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries say what they like
    _, expected = outcome(folder, False, "")
    print(json.dumps({"expected": expected}), file=said, flush=True)
    number = first
    while True:
        chance = random.Random(f"{seed} {number}")
        with tempfile.TemporaryDirectory() as work:
            done, forged = damage(folder, Path(work) / "quartet", chance, forged_graphs)
            verify = chance.random() < 0.5
            about = {"number": number, "done": done, "forged": forged, "verify": verify}
            print(json.dumps(about), file=said, flush=True)
            found, error = outcome(Path(work) / "quartet", verify, expected)
        print(json.dumps(about | {"found": found, "error": error, "megabytes": _peak()}), file=said, flush=True)
        number += 1


def _peak() -> int:
    """Most memory that this process has had, in MB. Where there is `/proc`: `ru_maxrss` counts what its parent had."""
    status = Path("/proc/self/status")
    if status.is_file():
        return (
            next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) // 1024
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


# ---- the process that watches ---------------------------------------------------------------------------------------

Report = Callable[[dict[str, Any]], None]


def tally(folder: Path, seed: int, seconds: float, report: Report, forged_graphs: bool = False) -> Counter[str]:
    """Run trials for so many seconds; returns how many had which outcome, and tells `report` of the bad ones."""
    counts: Counter[str] = Counter()
    number, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        command = [sys.executable, __file__, "--worker", str(folder), "--seed", str(seed), "--first", str(number)]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with subprocess.Popen(
            [*command, *(["--forged-graphs"] if forged_graphs else [])], stdout=subprocess.PIPE, text=True, env=env
        ) as worker:
            number = _watch(worker, counts, number, end, report)
    return counts


def _watch(worker: "subprocess.Popen[str]", counts: Counter[str], number: int, end: float, report: Report) -> int:
    """Count what a process says until it dies, hangs, or time is up; returns the number of the next trial."""
    assert worker.stdout is not None
    waiting = selectors.DefaultSelector()
    waiting.register(worker.stdout, selectors.EVENT_READ)
    about: dict[str, Any] = {}
    try:
        while time.monotonic() < end:
            line = worker.stdout.readline() if waiting.select(SECONDS) else None
            if not line:
                kind = "hangs" if line is None else "deaths"
                counts.update([kind, "tried"])
                worker.kill()
                report(about | {"found": kind, "error": f"exit status {worker.wait()}"})
                return number + 1
            about = json.loads(line)
            number = about.get("number", number)
            if "found" in about:
                number += 1
                counts["tried"] += 1
                bad = _count(about, counts)
                if bad:
                    report(about)
    finally:
        worker.kill()
    return number


def _count(about: dict[str, Any], counts: Counter[str]) -> bool:
    """Count an outcome; whether it is a bad one. A forged folder may translate otherwise, so may an unverified one."""
    found = about["found"]
    if found == "wrong" and (about["forged"] or not about["verify"]):
        counts["other texts, forged or not verified"] += 1
        return False
    if about["megabytes"] > MEGABYTES:
        found = "unbounded memory"
    counts[found] += 1
    return found not in ("refused", "unharmed")


def make_quartet(folder: Path, speech: bool = False) -> Path:
    """A small quartet to translate or, for speech, to transcribe with."""
    import tiny_speech_text
    import tiny_text
    from quartet.conversion.convert import convert_folder

    kind = tiny_speech_text if speech else tiny_text
    convert_folder(kind.make(folder / "checkpoint"), folder / "quartet", precision="int8")
    if speech:
        (folder / "quartet" / "hears").touch()
    return folder / "quartet"


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--speech", action="store_true", help="a model of speech")
    parser.add_argument("--forged-graphs", action="store_true", help="graphs with fitting hashes too")
    parser.add_argument("--worker", type=Path)
    args = parser.parse_args()
    if args.worker:
        try_all(args.worker, args.seed, args.first, args.forged_graphs)
    sys.path.insert(0, str(TESTS))
    with tempfile.TemporaryDirectory() as work:
        quartet = make_quartet(Path(work), args.speech)
        counts = tally(quartet, args.seed, args.seconds, lambda bad: print(json.dumps(bad)), args.forged_graphs)
    print(", ".join(f"{name} {counts[name]}" for name in dict.fromkeys((*OUTCOMES, *counts))))


if __name__ == "__main__":
    main()
