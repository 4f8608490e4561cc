"""Recordings damaged by chance, mostly in their heads: some sound, or one clear line, in bounded time and memory.

    QUARTET_FUZZ_SECONDS=60 pytest -s tests/fuzz/test_fuzz_audio.py
    python tests/fuzz/test_fuzz_audio.py 3600

The trials run in a process of their own, which tells what it begins: codecs are not written in Python, so that one that
dies or hangs takes the process with it. Then the next process goes on behind it.
"""

import faulthandler
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from click_files import Recording, written

from quartet.audio.audio import RATE, open_audio
from quartet.errors import QuartetError

SECONDS = float(os.environ.get("QUARTET_FUZZ_SECONDS", "5"))
LONGEST = 30  # seconds of processor time of a trial
MOST_BYTES = 4 << 30  # of address space of the process
HEAD = 600  # bytes
KINDS = {  # container and codec
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "ogg": ("ogg", "libopus"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("mp4", "aac"),
    "webm": ("webm", "libopus"),
    "aiff": ("aiff", "pcm_s16be"),
    "asf": ("asf", "wmav2"),
    "ts": ("mpegts", "mp2"),
    "avi": ("avi", "mp2"),
    "caf": ("caf", "alac"),
    "wv": ("wv", "wavpack"),
    "aac": ("adts", "aac"),
}


def recordings() -> dict[str, bytes]:
    """A second and a half of noise and tone, as every kind of file that this PyAV writes; and files whose time stamps
    and parts tell more.
    """
    made = {}
    for suffix, (container, codec) in KINDS.items():
        made[suffix] = _recording(container, codec)
    made["oga"] = made["ogg"] + written(Recording("", "ogg", "flac")) + made["ogg"]
    made["mkv"] = written(Recording("", "matroska", "aac", start=2.0, film=True, gap=True))
    made["mp4"] = written(Recording("", "mp4", "aac", start=2.0, film=True, gap=True))
    return made


def _recording(container: str, codec: str) -> bytes:
    import av

    rng = np.random.default_rng(1)
    samples = (0.3 * np.sin(np.arange(36_000) / 9) + 0.1 * rng.standard_normal(36_000)).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        out.metadata["title"] = "noise and tone"
        stream = out.add_stream(codec, rate=48_000)
        stream.layout = "stereo"
        stream.bit_rate = 64_000
        resampler = av.AudioResampler(stream.format.name, "stereo", 48_000, frame_size=_frame_size(codec))
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = 24_000
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


def _frame_size(codec: str) -> int:
    return {"libopus": 960, "aac": 1024, "mp2": 1152, "libmp3lame": 1152, "wmav2": 2048, "alac": 4096}.get(codec, 4096)


# ---- damage ---------------------------------------------------------------------------------------------------------

ODD = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\0\0\0",
    b"\x01",
    b"\0\0\0\x01",
)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """With one to five kinds of damage, four of five of them in the head."""
    for _ in range(chance.randint(1, 5)):
        end = min(len(data), HEAD) if chance.random() < 0.8 else len(data)
        at = chance.randrange(end) if end else 0
        size = chance.choice((1, 1, 4, 16, 200))
        kind = chance.choice(("bit", "bytes", "odd", "cut", "doubled", "moved", "end"))
        if kind == "bit" and data:
            data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        elif kind == "bytes":
            data = data[:at] + chance.randbytes(size) + data[at + size :]
        elif kind == "odd":
            odd = chance.choice(ODD)
            data = data[:at] + odd + data[at + len(odd) :]
        elif kind == "cut":
            data = data[:at] + data[at + size :]
        elif kind == "doubled":
            data = data[:at] + data[at : at + size] * chance.choice((2, 30)) + data[at + size :]
        elif kind == "moved":
            other = chance.randrange(len(data)) if data else 0
            data = data[:at] + data[other : other + size] + data[at + size :]
        elif chance.random() < 0.2:
            data = data[: chance.randrange(len(data) + 1)]
    return data


# ---- trials ---------------------------------------------------------------------------------------------------------


def outcome(data: bytes, suffix: str) -> tuple[str, str]:
    """What comes of a recording, and what was said."""
    file = io.BytesIO(data)
    file.name = f"trial.{suffix}"
    try:
        samples = sum(map(len, open_audio(file).play()))
    except QuartetError as error:
        return ("refused", "") if len(str(error).splitlines()) == 1 else ("tracebacks", f"several lines: {error}")
    except Exception as error:
        return "tracebacks", repr(error)
    return "unharmed", f"{samples / RATE:.1f} s"


def run_trials(folder: Path, first: int, seconds: float) -> None:
    """Tell each trial on stdout before it begins, and what came of it after it."""
    import resource

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seeds = {path.suffix[1:]: path.read_bytes() for path in sorted(folder.glob("seed.*"))}
    end = time.monotonic() + seconds
    number = first
    while time.monotonic() < end:
        chance = random.Random(number)
        suffix = chance.choice(list(seeds))
        print(f"{number} {suffix}", flush=True)
        signal.setitimer(signal.ITIMER_PROF, LONGEST)  # nothing catches its signal, so it ends the process anywhere
        kind, what = outcome(damaged(seeds[suffix], chance), suffix)
        print(f"{kind} {what}".replace("\n", " "), flush=True)
        number += 1


def tallied(folder: Path, seconds: float, first: int = 0) -> tuple[Counter[str], list[str]]:
    """How many trials had which outcome, and a line for each bad one."""
    for suffix, data in recordings().items():
        (folder / f"seed.{suffix}").write_bytes(data)
    count: Counter[str] = Counter(dict.fromkeys(("tried", "refused", "unharmed", "tracebacks", "crashes", "hangs"), 0))
    bad: list[str] = []
    end, env = time.monotonic() + seconds, os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    while (left := end - time.monotonic()) > 0:
        command = [sys.executable, __file__, "--trials", str(folder), str(first), str(left)]
        done = subprocess.run(command, capture_output=True, check=False, text=True, env=env)
        for trial, kind, what in _told(done.stdout, done.returncode):
            count["tried"] += 1
            count[kind] += 1
            first = int(trial.split()[0]) + 1
            if kind not in ("refused", "unharmed"):
                bad.append(f"trial {trial}: {kind} {what}")
        if not done.stdout or done.returncode > 0:
            raise RuntimeError(done.stderr)
    return count, bad


def _told(lines: str, code: int) -> Iterator[tuple[str, str, str]]:
    """Trial, outcome, and what was said; the last one may have ended the process."""
    told = lines.splitlines()
    for trial, said in zip(told[::2], told[1::2], strict=False):
        kind, _, what = said.partition(" ")
        yield trial, kind, what
    if len(told) % 2:
        yield told[-1], "hangs" if code == -signal.SIGPROF else "crashes", f"exit code {code}"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and time are those of Linux")
def test_damaged_recordings(tmp_path):
    pytest.importorskip("av")
    count, bad = tallied(tmp_path, SECONDS)
    print(json.dumps(count))
    assert bad == []
    assert count["refused"] > 0
    assert count["unharmed"] > 0


if __name__ == "__main__":
    if sys.argv[1] == "--trials":
        run_trials(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        with tempfile.TemporaryDirectory() as name:
            figures, faults = tallied(Path(name), float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
        print(json.dumps(figures), *faults, sep="\n")
