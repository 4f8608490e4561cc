"""How soon is the text of live speech final, how right is it, and how much of a core does it take?

    python benchmarks/live_speech.py whisper-base-int8 --audio talk.ogg jfk.wav --minutes 10
    python benchmarks/live_speech.py whisper-base-int8 --audio talk.ogg jfk.wav --minutes 2 --virtual --threads 1

The recordings, and LibriVox' of pocketsphinx-testdata where it is installed, are joined with pauses, again in another
order until they are long enough, and fed as a pipe would be, 0.1 s at a time, in real time. With `--virtual` they come
by a clock that moves on with the sound, and with the CPU time that looking at it takes: as on a machine that does
nothing else, in much less time.

- final: from the end of a word (by its own time) to the event that makes it final.
- partial: from the end of a word to the first event, partial or final, of a look at sound that far. What was said is
  on the screen by then, as far as the model hears it.
- errors against the file: words of the live text that differ from `Transcriber.transcribe` of the same sound (beam 5,
  voice detection). Errors of both against the text, where that is known: LibriVox, `--text`.
- CPU: seconds of CPU time for a second of sound, all threads together.

`--peer` is the command of another program that listens to the same sound afterwards; `{sound}` is its file. It prints
what `live_whisper_streaming.py` prints, which is one.
"""

import argparse
import itertools
import json
import random
import shlex
import statistics
import subprocess
import tempfile
import threading
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from report import add_results_argument, report
from speech import LIBRIVOX, joined, librivox, samples_of
from word_errors import word_errors

from quartet import Transcriber
from quartet.audio.audio import RATE, Samples
from quartet.live import listener
from quartet.live.events import LiveEvent, LiveText
from quartet.live.sound import as_pcm
from quartet.live.stream import Pcm, Waiting

PIECE = RATE // 10  # samples that come at a time


@dataclass(frozen=True)
class Clip:
    samples: Samples
    text: str | None  # None: not known


@dataclass(frozen=True)
class Told:
    """An event, and when it came: seconds since the sound began."""

    at: float
    event: LiveEvent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--audio", nargs="*", type=Path, default=[])
    parser.add_argument("--text", nargs="*", type=Path, default=[], help="what is said in the first of them, as files")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--language", default="en")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--virtual", action="store_true", help="by a clock of CPU time; with --threads 1")
    parser.add_argument("--peer", help="command of another program, with {sound} for the file")
    add_results_argument(parser)
    args = parser.parse_args()
    samples, text = speech(args.audio, args.text, args.minutes)
    with Transcriber(args.model, threads=args.threads) as transcriber:
        began = time.process_time()
        file = "".join(one.text for one in transcriber.transcribe(samples, args.language, vad_filter=True)[0])
        of_file = time.process_time() - began
        began, wall = time.process_time(), time.monotonic()
        feed = virtually if args.virtual else in_real_time
        told = list(feed(transcriber, samples, args.language))
        cpu, wall = time.process_time() - began, time.monotonic() - wall
    seconds = len(samples) / RATE
    live = "".join(one.event.text for one in told if isinstance(one.event, LiveText) and one.event.is_final)
    final, partial = delays(told)
    rows = [
        ["seconds of sound", f"{seconds:.0f}"],
        ["seconds it took", f"{wall:.0f}"],
        ["words", str(len(live.split()))],
        ["final, s: median, 90 %, most", spread(final)],
        ["partial, s: median, 90 %, most", spread(partial)],
        ["CPU, cores", f"{cpu / seconds:.2f}"],
        ["CPU of the file, cores", f"{of_file / seconds:.2f}"],
        ["errors against the file", errors(file, live)],
    ]
    if text is not None:
        rows += [["errors of the file", errors(text, file)], ["errors of the live text", errors(text, live)]]
    detail = {"live": live, "file": file, "final": final, "partial": partial}
    columns = ["what", "quartet"]
    if args.peer:
        found = of_peer(args.peer, samples)
        columns.append("peer")
        for row, value in zip(rows, columns_of_peer(found, seconds, text), strict=True):
            row.append(value)
        detail["peer"] = found
    report(args.results, columns, rows, detail)


def errors(text: str, said: str) -> str:
    """Share of the words of a text that are wrong."""
    wrong, count = word_errors(text, said)
    return f"{100 * wrong / count:.1f} %"


def of_peer(command: str, samples: Samples) -> dict[str, Any]:
    """What another program prints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(as_pcm(samples).tobytes())
        asked = [word.format(sound=path) for word in shlex.split(command)]
        said = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def columns_of_peer(found: dict[str, Any], seconds: float, text: str | None) -> list[str]:
    """Its values for the rows of the table."""
    words, live = found["words"], "".join(one["text"] for one in found["words"])
    values = [
        f"{seconds:.0f}",
        f"{words[-1]['at']:.0f}",
        str(len(live.split())),
        spread([one["at"] - one["end"] for one in words]),
        "",
        f"{found['cpu'] / seconds:.2f}",
        "",
        errors(found["file"], live),
    ]
    return values if text is None else [*values, errors(text, found["file"]), errors(text, live)]


def speech(audio: list[Path], texts: list[Path], minutes: float) -> tuple[Samples, str | None]:
    """Sound of so many minutes, and its text where all of it is known."""
    known = [path.read_text("utf-8") for path in texts]
    clips = [Clip(samples_of(path), text) for path, text in itertools.zip_longest(audio, known)]
    if LIBRIVOX.is_dir():
        clips.append(Clip(librivox().samples, librivox().text))
    order = random.Random(0)
    chosen: list[Clip] = []
    while sum(len(clip.samples) for clip in chosen) < minutes * 60 * RATE:
        order.shuffle(clips)
        chosen += clips
    samples = joined([clip.samples for clip in chosen])[: int(minutes * 60 * RATE)]
    is_known = all(clip.text is not None for clip in chosen)
    return samples, " ".join(clip.text or "" for clip in chosen) if is_known else None


def in_real_time(transcriber: Transcriber, samples: Samples, language: str) -> Iterator[Told]:
    """A thread brings the sound when it is spoken; as much of it as waits is taken at a time."""
    waiting, pcm = Waiting(RATE, 600.0), as_pcm(samples)
    start = time.monotonic()

    def speak() -> None:
        for place in range(0, len(pcm), PIECE):
            time.sleep(max(0.0, start + (place + PIECE) / RATE - time.monotonic()))
            waiting.put(pcm[place : place + PIECE].tobytes())
        waiting.end()

    threading.Thread(target=speak, daemon=True).start()
    for event in transcriber.listen(waiting.pcm, language=language):
        yield Told(time.monotonic() - start, event)


def virtually(transcriber: Transcriber, samples: Samples, language: str) -> Iterator[Told]:
    """The sound comes by a clock that goes on with it, and with the CPU time of whoever listens."""
    pcm = as_pcm(samples)
    now, since = 0.0, time.process_time()

    def spoken() -> Iterator[bytes]:
        nonlocal now, since
        place = 0
        while place < len(pcm):
            now += time.process_time() - since
            end = min(len(pcm), max(place + PIECE, int(now * RATE)))
            now, since = max(now, end / RATE), time.process_time()
            yield pcm[place:end].tobytes()
            place = end

    with patch.object(listener, "time", SimpleNamespace(monotonic=time.process_time)):  # looks take as long as it says
        events = transcriber.listen(Pcm(RATE, spoken()), language=language)
    for event in events:
        yield Told(now + time.process_time() - since, event)


def delays(told: list[Told]) -> tuple[list[float], list[float]]:
    """Seconds from the end of each word until it was final, and until a look at it was told of."""
    looks = [(one.event.end, one.at) for one in told if isinstance(one.event, LiveText)]
    final, partial = [], []
    for one in told:
        if isinstance(one.event, LiveText):
            for word in one.event.words:
                final.append(one.at - word.end)
                partial.append(min(at for end, at in looks if end >= word.end) - word.end)
    return final, partial


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f}, {np.quantile(values, 0.9):.2f}, {max(values):.2f}"


if __name__ == "__main__":
    main()
