"""`quartet listen`: speech while it is spoken, from a microphone or a pipe, to text, also in another language."""

import argparse
import contextlib
import dataclasses
import json
import shutil
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from quartet.cli.transcribe import FROM_STANDARD_INPUT, check_translation_model, opened_transcriber
from quartet.errors import AudioError, OptionError, OutputError
from quartet.live.events import LiveEvent, LiveText
from quartet.live.microphone import device_lines, microphone
from quartet.live.stream import Waiting, pcm_of, read_ahead

CLEARED = "\r\x1b[2K"  # the line, and the cursor at its beginning


def listen(args: argparse.Namespace) -> None:
    """Listen, and write each phrase as soon as it is over; on a terminal also what it seems to become."""
    check_translation_model(args)
    if args.list_devices:
        print("\n".join(device_lines() or ["no device can be listened to"]))
        return
    if args.audio and args.input_device:
        raise OptionError(f"--input-device {args.input_device} is a microphone, {args.audio} is read instead; give one")
    if sys.stdout is None:
        raise OutputError("there is no standard output")
    with contextlib.ExitStack() as stack:
        sound = stack.enter_context(_sound(args))
        transcriber = stack.enter_context(opened_transcriber(args))
        interrupted = stack.enter_context(_until_interrupted(sound))
        events = transcriber.listen(
            sound.pcm,
            language=None if args.language == "auto" else args.language,
            to=args.to,
            translation_model=args.translation_model,
            initial_prompt=args.initial_prompt,
            hotwords=args.hotwords,
            vad_threshold=args.vad_threshold,
            min_silence_duration_ms=args.min_silence_duration_ms,
        )
        _write(events, args, sys.stdout)
    if interrupted():
        raise KeyboardInterrupt(signal.SIGINT)


# ---- sound ----------------------------------------------------------------------------------------------------------


@contextmanager
def _sound(args: argparse.Namespace) -> Iterator[Waiting]:
    """Sound as it comes, which a thread takes."""
    if args.audio is None:
        with microphone(args.input_device) as sound:
            yield sound
        return
    with _file(args.audio) as file:
        sound = read_ahead(pcm_of(file, args.rate))
        try:
            yield sound
        finally:
            sound.end()


@contextmanager
def _file(name: str) -> Iterator[Any]:
    if name == FROM_STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.isatty():
            raise OptionError("there is no sound on standard input; without - a microphone is listened to")
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as file:
            yield file
        return
    path = Path(name)
    if not path.exists():
        raise AudioError(f"{name}: no such file; - is standard input")
    if path.is_dir():
        raise AudioError(f"{name} is a folder; a pipe or a file of PCM is expected")
    with path.open("rb", buffering=0) as file:
        yield file


@contextmanager
def _until_interrupted(sound: Waiting) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C ends the sound, so that what was said last is finished; the second one ends all."""
    came: list[int] = []

    def end(number: int, frame: object) -> None:
        del frame
        if came:
            raise KeyboardInterrupt(number)
        came.append(number)
        sound.end()

    is_ours = threading.current_thread() is threading.main_thread()
    if is_ours and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, end)
        try:
            yield lambda: bool(came)
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    else:
        yield lambda: False


# ---- text -----------------------------------------------------------------------------------------------------------


def _write(events: Iterable[LiveEvent], args: argparse.Namespace, out: TextIO) -> None:
    shown = _as_json(events) if args.json else _as_text(events, args.times, out.isatty())
    for text in shown:
        out.write(text)
        out.flush()


def _as_json(events: Iterable[LiveEvent]) -> Iterator[str]:
    for event in events:
        yield json.dumps({"type": event.kind} | dataclasses.asdict(event), ensure_ascii=False) + "\n"


def _as_text(events: Iterable[LiveEvent], times: bool, on_screen: bool) -> Iterator[str]:
    """A line for each phrase that is over, and for its translation; on a screen also one that still changes."""
    phrase = ""
    start = 0.0
    for event in events:
        before = CLEARED if on_screen else ""
        if not isinstance(event, LiveText):
            if event.text.strip() == event.said.strip():  # it was in that language already
                continue
            yield f"{before}{_times(event.start, event.end, times)}{event.text}\n"
        elif event.is_final:
            start = start if phrase else event.start
            phrase += event.text
            if event.ends_phrase and phrase.strip():
                yield f"{before}{_times(start, event.end, times)}{phrase.strip()}\n"
            if event.ends_phrase:
                phrase = ""
        elif on_screen:
            yield before + _end_of((phrase + event.text).strip(), shutil.get_terminal_size().columns - 1)
    if phrase.strip():  # nothing is over any more
        yield f"{CLEARED if on_screen else ''}{phrase.strip()}\n"


def _times(start: float, end: float, wanted: bool) -> str:
    return f"[{_clock(start)} --> {_clock(end)}] " if wanted else ""


def _clock(seconds: float) -> str:
    """Hours, minutes, seconds and thousandths."""
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def _end_of(text: str, columns: int) -> str:
    """The end of a text that fits into so many columns of a terminal: letters of East Asia have two."""
    for place in range(len(text) - 1, -1, -1):
        columns -= 2 if unicodedata.east_asian_width(text[place]) in "WF" else 1
        if columns < 0:
            return text[place + 1 :]
    return text
