"""What is tried with models in a process of its own: `python engine_trials.py TRIAL ...` prints what it saw as JSON."""

import contextlib
import faulthandler
import gc
import json
import mmap
import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from quartet import Transcriber, Translator
from quartet.audio.audio import RATE
from quartet.runtime.machine import packing, pages

TEXTS = ["Good morning.", "Where is the train station?", "Thank you, we are well.", "It is raining again."]
MANY = [f"{text} {i}" for i in range(16) for text in TEXTS]
LIMITED = {"max_length": 12}
ANY_SOUND = {
    "language": "en",
    "no_speech_threshold": None,
    "log_prob_threshold": None,
    "compression_ratio_threshold": None,
    "temperature": 0.0,
    "beam_size": 1,
}
LONGEST_CHILD = 180.0  # seconds


def main(trial: str, *arguments: str) -> None:
    packing.SMALLEST = 0
    found = {"open_and_close": open_and_close, "forks": forks, "memory": memory}[trial](*arguments)
    print(json.dumps(found))


def sound(seconds: float = 2) -> np.ndarray:
    random = np.random.default_rng(0)
    swell = 1 + np.sin(np.arange(int(seconds * RATE)) / 3000)
    return (random.normal(size=len(swell)) * swell * 0.1).astype(np.float32)


def heard(transcriber: Transcriber, samples: np.ndarray, **options: object) -> list[str]:
    segments, _ = transcriber.transcribe(samples, **(ANY_SOUND | options))
    return [segment.text for segment in segments]


# ---- opened and closed again and again ------------------------------------------------------------------------------


def open_and_close(folder: str, times: str) -> dict[str, list[int]]:
    """Resident bytes and open files after each time."""
    gc.disable()
    found: dict[str, list[int]] = {"resident": [], "files": []}
    for _ in range(int(times)):
        with Translator(folder, threads=2) as translator:
            translator.translate_batch(MANY, "fr", "en", **LIMITED)
        found["resident"].append(resident())
        found["files"].append(len(list(Path("/proc/self/fd").iterdir())))
    return found


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


# ---- forks ----------------------------------------------------------------------------------------------------------


class Family:
    """A process that is at it in several threads, and its children."""

    def __init__(self, text: str, speech: str) -> None:
        self.text = text
        self.translator = Translator(text, threads=2)
        self.selecting = Translator(text, threads=2, vocabulary="auto")
        self.transcriber = Transcriber(speech, threads=2)
        self.sound = sound(1)
        self.expected = self.results()

    def results(self) -> list[object]:
        return [
            self.translator.translate(TEXTS[0], "fr", **LIMITED).text,
            [found.text for found in self.translator.translate_batch(MANY[:40], "fr", "en", **LIMITED)],
            self.selecting.translate(TEXTS[1], "fr", "en", **LIMITED).text,
            heard(self.transcriber, self.sound),
            heard(self.transcriber, self.sound, no_speech_threshold=0.6),
        ]

    def busy(self, stop: threading.Event) -> list[threading.Thread]:
        """Threads that translate, hear, and open and close models."""

        def work() -> None:
            while not stop.is_set():
                assert self.results() == self.expected

        def reopen() -> None:
            while not stop.is_set():
                with Translator(self.text, threads=1, vocabulary="auto") as other:
                    other.translate(TEXTS[1], "fr", "en", **LIMITED)

        threads = [threading.Thread(target=target, daemon=True) for target in (work, reopen)]
        for thread in threads:
            thread.start()
        return threads

    def begin(self) -> dict[str, Callable[[], object]]:
        """What cannot be ended by another process."""
        stream = self.translator.stream(" ".join(TEXTS * 4), "fr", "en", split="sentences", **LIMITED)
        segments, _ = self.transcriber.transcribe(self.sound, **ANY_SOUND)
        next(stream)
        next(segments)
        pending = self.begin_batch()
        return {"stream": lambda: next(stream), "segments": lambda: next(segments), "batch": pending}

    def begin_batch(self) -> Callable[[], object]:
        from quartet.runtime.generate import SearchOptions
        from quartet.runtime.requests import TextRequest

        start = self.translator.manifest.tokens.decoder_start
        request = TextRequest([5, 6, 7, 2], [start], SearchOptions(min_new_tokens=8, max_new_tokens=8))
        (pending,) = self.translator._open.submit([request])
        next(pending.tokens())
        return pending.result

    def child(self, begun: dict[str, Callable[[], object]]) -> int:
        """Bits of what is wrong in a child."""
        faulthandler.dump_traceback_later(LONGEST_CHILD - 10, exit=True)
        wrong = 0
        for number, end in enumerate(begun.values()):
            try:
                end()
                wrong |= 2 << number
            except Exception as error:
                if type(error).__name__ != "ForkedError":
                    print(repr(error), file=sys.stderr)
                    wrong |= 2 << number
        if self.results() != self.expected:
            wrong |= 16
        with Translator(self.text, threads=2, vocabulary="auto") as other:
            if other.translate(TEXTS[1], "fr", "en", **LIMITED).text != self.expected[2]:
                wrong |= 16
        return wrong


def forks(text: str, speech: str, children: str, at_once: str = "2") -> dict[str, list[int]]:
    """The exit status of each child: 0 for one that did well, -9 for one that had to be killed."""
    family = Family(text, speech)
    stop = threading.Event()
    threads = family.busy(stop)
    running: list[tuple[Callable[[], int | None], float]] = []
    found: list[int] = []
    for number in range(int(children)):
        begun = family.begin()
        if number % 2:
            pid = os.fork()
            if pid == 0:
                multiprocessing.process._children.clear()  # of its parent, which it would wait for at its end
                sys.exit(family.child(begun))  # the interpreter ends as it does at the end of a program
            running.append((_forked(pid), time.monotonic()))
        else:
            process = multiprocessing.get_context("fork").Process(target=_run_child, args=(family, begun))
            process.start()
            running.append((_started(process), time.monotonic()))
        while len(running) >= (int(at_once) if number + 1 < int(children) else 1):
            running = [one for one in running if (status := _ended(*one)) is None or found.append(status)]
            time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    return {"status": found}


def _run_child(family: Family, begun: dict[str, Callable[[], object]]) -> None:
    sys.exit(family.child(begun))


def _forked(pid: int) -> Callable[[], int | None]:
    def poll(kill: bool = False) -> int | None:
        if kill:
            os.kill(pid, signal.SIGKILL)
        ended, status = os.waitpid(pid, 0 if kill else os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None

    return poll


def _started(process: multiprocessing.Process) -> Callable[[], int | None]:
    def poll(kill: bool = False) -> int | None:
        if kill:
            process.kill()
            process.join()
        return process.exitcode

    return poll


def _ended(poll: Callable[..., int | None], begun: float) -> int | None:
    status = poll()
    return poll(kill=True) if status is None and time.monotonic() - begun > LONGEST_CHILD else status


# ---- memory of somebody else ----------------------------------------------------------------------------------------


def memory(folder: str, seconds: str) -> dict[str, object]:
    """How many blocks of memory were held while models came and went, and how many of them had changed.

    That is rare even where it happens, so all mappings that are given back are looked at too: `stray` ones are no
    weights any more.
    """
    sys.setswitchinterval(1e-4)  # threads take turns in the middle of everything
    end = time.monotonic() + float(seconds)
    counts = {"opened": 0, "translated": 0, "checked": 0, "corrupted": 0, "advised": 0, "stray": 0}
    advise = pages._advise

    def watched(mappings: pages.Mappings, advice: int) -> None:
        """Whoever is told about pages has to hold them for as long as that takes."""
        advise(mappings, advice)
        starts = _weights()
        counts["advised"] += len(mappings)
        counts["stray"] += sum(mapping.start not in starts for mapping in mappings)

    pages._advise = watched if pages.ON_LINUX else advise
    errors: list[str] = []

    def reopen(threads: int) -> None:
        while time.monotonic() < end:
            with Translator(folder, threads=threads) as translator:
                for text in TEXTS:  # each time pages are given back, while the others close theirs
                    translator.translate(text, "fr", "en", max_length=2)
                translator.translate_batch(MANY[:8], "fr", "en", max_length=2)
            counts["opened"] += 1

    def translate() -> None:
        with Translator(folder, threads=2) as translator:
            while time.monotonic() < end:
                translator.translate(TEXTS[counts["translated"] % 4], "fr", "en", max_length=2)
                counts["translated"] += 1

    def hold() -> None:
        random = np.random.default_rng(0)
        held: list[tuple[np.ndarray, int]] = []
        while time.monotonic() < end:
            number = counts["checked"] + len(held)
            held.append(_block(int(random.integers(1 << 20, 4 << 20)), number % 251 + 1, number % 4 > 0))
            if len(held) > 64:  # many, then few: new ones take the places of whatever has gone
                random.shuffle(held)
                dropped, held = held[8:], held[:8]
                counts["checked"] += len(dropped)
                counts["corrupted"] += sum(bool((block != pattern).any()) for block, pattern in dropped)

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                errors.append(repr(error))

        return run

    jobs = [lambda: reopen(1), lambda: reopen(3), translate, hold]  # a number of threads each: nothing is shared
    threads = [threading.Thread(target=guarded(job)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {**counts, "errors": errors}


def _weights() -> set[int]:
    """Where mappings of files of weights begin. They are mapped under a name that was there for a moment only."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {int(line.split("-")[0], 16) for line in lines if line.endswith((".data", ".data (deleted)"))}


def _block(size: int, pattern: int, mapped: bool) -> tuple[np.ndarray, int]:
    """Memory that is mapped, or of the C library."""
    block = np.frombuffer(mmap.mmap(-1, size), np.uint8) if mapped else np.empty(size, np.uint8)
    block[:] = pattern
    return block, pattern


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """Memory has to go without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


if __name__ == "__main__":
    main(*sys.argv[1:])
