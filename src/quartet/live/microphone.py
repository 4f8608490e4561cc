"""A microphone, by the package sounddevice, which asks PortAudio. Both are only looked for here, when they are used."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from quartet.audio.audio import RATE
from quartet.errors import AudioError, OptionError
from quartet.live.stream import Waiting

LONGEST_WAIT = 600.0  # seconds of sound that may wait for a slow machine

log = logging.getLogger("quartet")


def device_lines() -> list[str]:
    """The devices that can be listened to, a line each: number, name, channels, samples per second."""
    devices = [one for one in _sounddevice().query_devices() if one["max_input_channels"] > 0]
    return [
        f"{one['index']}  {one['name']}  ({one['max_input_channels']} channels, {one['default_samplerate']:.0f} Hz)"
        for one in devices
    ]


@contextmanager
def microphone(device: str | None = None) -> Iterator[Waiting]:
    """The sound of a microphone while the block lasts. device: a number, or a part of a name; None: the default.

    Raises `OptionError` where sounddevice or PortAudio is missing or no device has this name, `AudioError` where there
    is no microphone, or the machine falls too far behind it.
    """
    sd = _sounddevice()
    number = int(device) if device is not None and device.isdecimal() else device
    rate = _rate(sd, number)
    waiting = Waiting(rate, LONGEST_WAIT)

    def heard(piece: Any, count: int, when: Any, status: Any) -> None:
        del count, when
        if status:
            log.warning("the microphone: %s; some sound was lost before it came here", status)
        if not waiting.put(bytes(piece), wait=False):
            waiting.end(AudioError(f"{LONGEST_WAIT:g} s of sound wait: this machine is too slow for the model"))

    try:
        opened = sd.RawInputStream(
            samplerate=rate, channels=1, dtype="int16", device=number, callback=heard, finished_callback=waiting.end
        )
    except sd.PortAudioError as error:
        raise AudioError(f"the microphone cannot be opened: {_words(error)}") from None
    with opened:
        yield waiting


def _rate(sd: Any, device: int | str | None) -> int:
    """16,000 samples per second where the device has that, else what it likes best."""
    try:
        found = sd.query_devices(device, "input")
    except ValueError:
        raise OptionError(f"no input device is {device!r}; `quartet listen --list-devices` lists them") from None
    except sd.PortAudioError:
        if device is None:
            raise AudioError("no microphone is found; `quartet listen -` reads sound from a pipe") from None
        raise OptionError(f"no input device is {device!r}; `quartet listen --list-devices` lists them") from None
    try:
        sd.check_input_settings(device=device, channels=1, dtype="int16", samplerate=RATE)
    except sd.PortAudioError:
        return int(found["default_samplerate"])
    return RATE


def _sounddevice() -> Any:
    try:
        import sounddevice  # noqa: PLC0415 - for a microphone only
    except ImportError:
        raise OptionError(
            "a microphone needs the package sounddevice: pip install 'quartet-onnx[microphone]'; "
            "`quartet listen -` reads sound from a pipe without it"
        ) from None
    except OSError:
        raise OptionError(
            "a microphone needs PortAudio, which is not installed (Debian: apt-get install libportaudio2); "
            "`quartet listen -` reads sound from a pipe without it"
        ) from None
    return sounddevice


def _words(error: Exception) -> str:
    return str(error.args[0]) if error.args else str(error)
