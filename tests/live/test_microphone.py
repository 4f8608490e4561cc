"""The microphone, with a stand-in for sounddevice."""

import builtins
import sys
from types import SimpleNamespace

import pytest

from quartet.audio.audio import RATE
from quartet.errors import AudioError, OptionError
from quartet.live import microphone as module
from quartet.live.microphone import device_lines, microphone


class PortAudioError(Exception):
    pass


DEVICES = [
    {"index": 0, "name": "Speaker", "max_input_channels": 0, "default_samplerate": 48_000.0},
    {"index": 1, "name": "Headset", "max_input_channels": 2, "default_samplerate": 44_100.0},
]


class Stream:
    def __init__(self, callback, finished_callback, samplerate, **options):
        self.heard, self.over, self.rate = callback, finished_callback, samplerate
        Stream.last = self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.over()


def query_devices(device=None, kind=None):
    if kind is None:
        return DEVICES
    if device in (None, 1, "Headset"):
        return DEVICES[1]
    raise ValueError if isinstance(device, str) else PortAudioError(f"Error querying device {device}")


@pytest.fixture
def sd(monkeypatch):
    found = SimpleNamespace(
        PortAudioError=PortAudioError,
        RawInputStream=Stream,
        query_devices=query_devices,
        check_input_settings=lambda **options: None,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", found)
    return found


@pytest.mark.usefixtures("sd")
def test_what_is_spoken_comes_until_the_block_ends():
    with microphone() as sound:
        for piece in (b"abcd", b"efgh"):
            Stream.last.heard(memoryview(piece), 2, None, None)
        found = next(iter(sound.pcm.pieces))
    assert sound.rate == RATE
    assert found == b"abcdefgh"
    assert list(sound) == []


def test_a_device_without_16_khz_is_heard_at_its_own_rate(sd):
    def refuse(**options):
        raise PortAudioError("Invalid sample rate")

    sd.check_input_settings = refuse
    with microphone("Headset") as sound:
        assert sound.rate == Stream.last.rate == 44_100


@pytest.mark.usefixtures("sd")
def test_a_machine_that_is_much_too_slow_is_told_so(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_WAIT", 1.0)
    with microphone() as sound:
        for _ in range(4):
            Stream.last.heard(bytes(RATE), RATE // 2, None, None)
        with pytest.raises(AudioError, match="too slow"):
            list(sound)


@pytest.mark.usefixtures("sd")
def test_sound_that_the_system_lost_is_told_of(caplog):
    with microphone():
        Stream.last.heard(b"ab", 1, None, "input overflow")
    assert "input overflow" in caplog.text


@pytest.mark.usefixtures("sd")
@pytest.mark.parametrize("device", ["Violin", "7"])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(OptionError, match=f"{device}.*--list-devices"), microphone(device):
        pass


def test_no_microphone_and_one_that_cannot_be_opened(sd):
    def refuse(*args, **options):
        raise PortAudioError("Device unavailable [PaErrorCode -9985]")

    sd.RawInputStream = refuse
    with pytest.raises(AudioError, match="Device unavailable"), microphone():
        pass
    sd.query_devices = refuse
    with pytest.raises(AudioError, match="no microphone is found"), microphone():
        pass


@pytest.mark.usefixtures("sd")
def test_only_what_can_be_listened_to_is_listed():
    assert device_lines() == ["1  Headset  (2 channels, 44100 Hz)"]


@pytest.mark.parametrize(("error", "words"), [(ImportError, "pip install"), (OSError, "PortAudio")])
def test_what_is_missing_is_told_in_a_line(monkeypatch, error, words):
    real = builtins.__import__

    def absent(name, *args, **options):
        if name == "sounddevice":
            raise error("PortAudio library not found")
        return real(name, *args, **options)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(OptionError, match=words):
        device_lines()
