"""Any value for any option of Python and the command line: a result, or one clear line, and never something else.

The quick suite tries a few hundred calls. `QUARTET_FUZZ_SECONDS=60` goes on for so long with each target, with seeds
from `QUARTET_FUZZ_SEED` on; `python tests/fuzz/test_fuzz_options.py 600` by hand prints what was tried and refused.
"""

import contextlib
import inspect
import io
import math
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import in_time

import tiny_speech_text
import tiny_text
from quartet import Transcriber, Translator, cli, convert
from quartet.conversion.convert import convert_folder
from quartet.errors import QuartetError
from quartet.options import declared
from quartet.options.kinds import Choice, Either, Flag, Integer, Many, Real, Times
from quartet.quantize.recipes import QuantizationOptions

SECONDS = float(os.environ.get("QUARTET_FUZZ_SECONDS", "0"))
SEED = int(os.environ.get("QUARTET_FUZZ_SEED", "0"))
QUICK = 100  # calls of each target
SLOW = 25  # of those that open a model each
LONGEST = 60  # seconds of one call, on a busy machine too: a hang is what never ends

pytestmark = pytest.mark.filterwarnings("ignore")


class Hang(BaseException):
    """A call that does not end."""


# ---- values ---------------------------------------------------------------------------------------------------------


class Odd:
    """Nothing that anything expects."""

    def __repr__(self) -> str:
        return "<odd\nthing>"


def anything(rng: random.Random) -> Any:
    """A value of any type."""
    makers: list[Callable[[], Any]] = [
        lambda: rng.randint(-3, 70),
        lambda: rng.choice([-1, 1]) * 2 ** rng.randint(0, 80) + rng.randint(-1, 1),
        lambda: 10**5000,
        lambda: rng.choice([math.nan, math.inf, -math.inf, -0.0, 0.0, 0.5, 1.0, 1e-300, 1e300, 5e-324]),
        lambda: rng.uniform(-5, 40),
        lambda: rng.choice(
            ["", " ", "auto", "none", "demo", "fr", "en", "1", "nan", "a\0b", "\ud800", "%s", "x" * 500]
        ),
        lambda: "".join(chr(rng.randint(0, 0x2FF)) for _ in range(rng.randint(0, 9))),
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.choice(
            [[], (), [0], [-1], [1, 2, 3], [None], ["en", "fr"], [[1], [2]], [math.nan], [2**70], [True]]
        ),
        lambda: rng.choice([b"", b"en", bytearray(b"1"), memoryview(b"1")]),
        lambda: rng.choice([np.int64(2), np.float32(0.5), np.float64("nan"), np.True_, np.str_("auto"), np.uint8(1)]),
        lambda: rng.choice([np.array(3), np.array([1, 2]), np.array([0.5]), np.zeros((2, 2)), np.array(["en"])]),
        lambda: rng.choice([{}, {"a": 1}, {1, 2}, range(3), iter([1, 2]), (x for x in (0.1,))]),
        lambda: rng.choice([Decimal("0.5"), Fraction(1, 2), 1j, Odd(), Path("x"), Path(), ...]),
    ]
    return rng.choice(makers)()


def likely(option: Any, rng: random.Random) -> Any:
    """A value at or near the limits, or of a neighbouring type."""
    kind = option.kind
    if isinstance(kind, Either):
        kind = rng.choice([kind.one, kind.many])
    if isinstance(kind, Many):
        return [likely_of(kind.kind, rng) for _ in range(rng.randint(0, 4))]
    return likely_of(kind, rng)


def likely_of(kind: Any, rng: random.Random) -> Any:
    if isinstance(kind, Integer):
        most = min(kind.most, 70)
        return rng.choice([kind.least, kind.least + 1, kind.least - 1, most, kind.most, kind.most + 1, np.int32(most)])
    if isinstance(kind, Real):
        return rng.choice([kind.least, kind.most, kind.least + 0.01, math.nextafter(kind.most, math.inf), 1, 0, 0.5])
    if isinstance(kind, Choice):
        return rng.choice(kind.values)
    if isinstance(kind, Times):
        return rng.choice(["0", "0,1", "1,0.5", [0.5], "0.1,0.2,0.3", [0, 1e9], "0,0", "x,1", [-0.0]])
    if isinstance(kind, Flag):
        return rng.random() < 0.5
    return rng.choice(["en", "fr", "demo", "auto", ""])


def options(table: Any, rng: random.Random) -> dict[str, Any]:
    """Some options with values, right and wrong ones."""
    chosen = rng.sample(sorted(table), min(len(table), rng.choice([1, 1, 2, 3, 5])))
    return {name: anything(rng) if rng.random() < 0.5 else likely(table[name], rng) for name in chosen}


# ---- what happened --------------------------------------------------------------------------------------------------


def outcome(call: Callable[[], object]) -> str:
    """`done`, or `refused` in one clear line; anything else is raised."""
    with in_time(LONGEST, Hang()):
        try:
            call()
        except QuartetError as error:
            refused = error
        else:
            return "done"
    line = str(refused)
    assert "\n" not in line, line
    assert 10 < len(line) < 600, line
    return "refused"


def trials(seconds: float = SECONDS, quick: int = QUICK) -> Iterator[random.Random]:
    """A source of chance for each trial, by number, so that one can be repeated."""
    begin, number = time.monotonic(), SEED
    while number - SEED < quick or time.monotonic() - begin < seconds:
        yield random.Random(number)
        number += 1


def tried(name: str, trial: Callable[[random.Random], str], seconds: float = SECONDS, quick: int = QUICK) -> Counter:
    """How often each outcome came; says which trial it was where one fails."""
    tally: Counter[str] = Counter()
    for number, rng in enumerate(trials(seconds, quick), SEED):
        try:
            tally[trial(rng)] += 1
        except BaseException as error:
            error.add_note(f"QUARTET_FUZZ_SEED={number} of {name}")
            raise
    print(f"{name}: {sum(tally.values())} tried, {tally['refused']} refused, {tally['done']} done")
    return tally


# ---- Python ---------------------------------------------------------------------------------------------------------


class Targets:
    """Two tiny models, and functions that call them with options by chance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = folder / "text"
        convert_folder(tiny_text.make(folder / "checkpoint"), self.text, precision="fp32")
        convert_folder(tiny_speech_text.make(folder / "speech-checkpoint"), folder / "speech", precision="fp32")
        self.translator = Translator(self.text, threads=1)
        self.transcriber = Transcriber(folder / "speech", threads=1)
        self.sound = (np.random.default_rng(0).normal(size=8000) * 0.1).astype(np.float32)

    def translate(self, rng: random.Random) -> str:
        """One of the three functions that translate text."""
        name = rng.choice(["translate", "translate_batch", "stream"])
        function = getattr(self.translator, name)
        table = keywords(function, declared.TRANSLATION)
        known = {"max_length": 3, "target": "fr", "source": "en"} | options(table, rng)
        text: Any = "Hello." if rng.random() < 0.9 else anything(rng)
        given = [text, "Hi."] if name == "translate_batch" and rng.random() < 0.9 else text

        def call() -> None:
            found = function(given, **known)
            results = [found] if name == "translate" else list(found)
            assert all(isinstance(one if name == "stream" else one.text, str) for one in results)
            if name != "stream" and known.get("num_hypotheses", 1) > 1:
                assert all(len(one.alternatives) < known["num_hypotheses"] for one in results)

        return outcome(call)

    def generate(self, rng: random.Random) -> str:
        """Ids, right and wrong."""
        table = declared.GENERATION
        known = {"ids": [[5, 6, 2]], "max_new_tokens": 3} | options(table, rng)

        def call() -> None:
            rows = self.translator.generate(**known)
            limit = known["max_new_tokens"]
            assert all(len(row) <= (limit or 64) for row in rows)

        return outcome(call)

    def transcribe(self, rng: random.Random) -> str:
        """Half a second of noise."""
        # the audio itself, and its rate, are tried with the sounds
        known = {name: option for name, option in declared.TRANSCRIPTION.items() if name != "sampling_rate"}
        chosen = {"max_new_tokens": 3, "language": "en", "temperature": 0.0, "vad_filter": False} | options(known, rng)
        if rng.random() < 0.3:
            chosen["vad_parameters"] = options(declared.VAD, rng) | ({"vad_filter": True} if rng.random() < 0.1 else {})

        def call() -> None:
            segments, _ = self.transcriber.transcribe(self.sound, **chosen)
            assert all(isinstance(one.text, str) for one in segments)

        return outcome(call)

    def open(self, rng: random.Random) -> str:
        """A model, with options of the constructor."""
        speech = rng.random() < 0.3
        table = declared.SPEECH_MODEL if speech else declared.MODEL
        known = {"model": self.folder / "speech" if speech else self.text, "threads": 1} | options(table, rng)
        name = known["model"]
        if isinstance(name, str) and "/" not in name:
            known["model"] = f"{self.folder}/{name}".strip()  # nothing is fetched

        def call() -> None:
            (Transcriber if speech else Translator)(**known).close()

        return outcome(call)

    def convert(self, rng: random.Random) -> str:
        """Requests for conversions, most of which end before one begins."""
        known: dict[str, Any] = {"source": self.folder / "nowhere", "out_dir": self.folder / "out"}
        known |= options({n: o for n, o in declared.CONVERSION.items() if n not in ("source", "out_dir")}, rng)
        if rng.random() < 0.5:
            known[rng.choice(["source", "out_dir"])] = rng.choice([None, 3, "", "a\0b", b"x", [], "\ud800", Odd()])

        def call() -> None:
            if rng.random() < 0.5:
                known["options"] = QuantizationOptions(**options(declared.QUANTIZATION, rng))
            convert(**known)

        return outcome(call)


def keywords(function: Callable[..., object], table: Any) -> dict[str, Any]:
    """Those of the options that a function has."""
    names = inspect.signature(function).parameters
    return {name: option for name, option in table.items() if name in names}


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Targets:
    pytest.importorskip("av")
    return Targets(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("name", ["translate", "generate", "transcribe", "open", "convert"])
def test_any_value_in_python_gives_a_result_or_one_line(name, targets):
    tally = tried(name, getattr(targets, name), quick=SLOW if name == "open" else QUICK)
    assert tally["refused"]
    assert tally["done"] or name == "convert"


# ---- the command line -----------------------------------------------------------------------------------------------

COMMANDS = {
    "translate": declared.MODEL | declared.TRANSLATION | declared.TRANSLATE,
    "transcribe": declared.SPEECH_MODEL | declared.TRANSCRIPTION | declared.TRANSCRIBE,
    "convert": declared.CONVERSION | declared.QUANTIZATION,
    "rank": declared.RANK,
    "bench": declared.BENCH,
}
UNTOUCHED = {
    "--output",
    "--report",
    "--model",
    "--translation-model",
    "--revision",
    "--tokenizer",
    "--peers",
    "--models",
}


def words(rng: random.Random, command: str, targets: Targets) -> list[str]:
    """A command with options by chance; nothing is fetched, nothing is written."""
    argv = {
        "translate": ["--model", str(targets.text), "--to", "fr", "--from", "en", "--max-length", "2", "Hi."],
        "transcribe": ["--model", str(targets.folder / "speech"), str(targets.folder / "sound.wav")],
        "convert": [str(targets.folder / "nowhere"), str(targets.folder / "out")],
        "rank": ["--published"],
        "bench": [str(targets.folder / "nowhere")],
    }[command]
    argv = [command, *argv]
    for name, value in options(COMMANDS[command], rng).items():
        flag = COMMANDS[command][name].typed
        if flag in UNTOUCHED:
            continue
        with contextlib.suppress(ValueError):  # what Python itself cannot write
            shown = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            shown = shown.replace("\0", "")  # which the system does not hand over
            argv += rng.choice([[f"{flag}={shown}"], [flag, shown], [flag]])
    return argv


def run(argv: list[str]) -> str:
    """What a command in this process ends with."""
    out, err = io.StringIO(), io.StringIO()
    with in_time(LONGEST, Hang()), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(argv)
        except SystemExit as stop:
            code = stop.code
    said = [line for line in err.getvalue().splitlines() if line.startswith("quartet")]
    assert code in (0, 1, 2), code
    assert (code != 0) == (len(said) == 1), err.getvalue()
    assert "Traceback" not in err.getvalue()
    return "refused" if code else "done"


def of_command_line(targets: Targets) -> Callable[[random.Random], str]:
    from sounds import wav

    (targets.folder / "sound.wav").write_bytes(wav(targets.sound))
    return lambda rng: run(words(rng, rng.choice(sorted(COMMANDS)), targets))


def test_anything_typed_gives_a_result_or_one_line(targets, monkeypatch):
    monkeypatch.chdir(targets.folder)
    tally = tried("command line", of_command_line(targets), quick=2 * SLOW)
    assert tally["refused"]
    assert tally["done"]


@pytest.mark.parametrize("value", [b"\xff\xfe", b"-1", b"nan", b"9" * 6000])
def test_a_process_of_its_own_says_it_in_one_line(value):
    command = [sys.executable, "-m", "quartet", "translate", b"--beam-size=" + value, "Hi."]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, check=False, env=environment, timeout=LONGEST)
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("quartet translate: --beam-size is ")
    assert done.returncode == 2


if __name__ == "__main__":
    import logging
    import tempfile

    logging.getLogger("quartet").setLevel(logging.CRITICAL)
    for_each = float(sys.argv[1]) / 6
    with tempfile.TemporaryDirectory() as made:
        os.environ["QUARTET_HOME"] = made
        everything = Targets(Path(made))
        os.chdir(made)
        for target in ("translate", "generate", "transcribe", "open", "convert"):
            tried(target, getattr(everything, target), for_each)
        tried("command line", of_command_line(everything), for_each)
