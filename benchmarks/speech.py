"""Speech whose text is known: sentences read by espeak-ng, and recordings of Debian's pocketsphinx-testdata."""

import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quartet.audio.audio import RATE, Samples, open_audio

VOICES = {"en": "en-us", "fr": "fr-fr", "de": "de", "es": "es"}
LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")
PAUSE = 0.8  # seconds between sentences


@dataclass(frozen=True)
class Reading:
    """A recording and what is said in it."""

    name: str
    language: str
    samples: Samples
    text: str

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def readings(sentences: Path, work: Path, count: int) -> list[Reading]:
    """`count` sentences of each `LANGUAGE.txt` in one recording per language, and LibriVox' where it is installed."""
    found = [read_aloud(sentences / f"{language}.txt", language, work, count) for language in VOICES]
    return [*found, *([librivox()] if LIBRIVOX.is_dir() else [])]


def read_aloud(file: Path, language: str, work: Path, count: int) -> Reading:
    lines = file.read_text(encoding="utf-8").splitlines()[:count]
    clips = [spoken(line, language, work) for line in lines]
    return Reading(f"espeak {language}", language, joined(clips), " ".join(lines))


def spoken(text: str, language: str, work: Path, voice: str | None = None) -> Samples:
    """A sentence by espeak-ng; None is the language's usual voice."""
    path = work / "spoken.wav"
    subprocess.run(["espeak-ng", "-v", voice or VOICES[language], "-s", "150", "-w", path, "--", text], check=True)
    return samples_of(path)


def samples_of(path: Path) -> Samples:
    """A whole recording."""
    return np.concatenate(list(open_audio(path).play()))


def librivox() -> Reading:
    names = (LIBRIVOX / "fileids").read_text().split()
    lines = (LIBRIVOX / "transcription").read_text().splitlines()
    texts = [line.partition("</s>")[0].removeprefix("<s>").strip() for line in lines]
    clips = [samples_of(LIBRIVOX / f"{name}.wav") for name in names]
    return Reading("librivox", "en", joined(clips), " ".join(texts))


def joined(clips: list[Samples]) -> Samples:
    """Clips one after the other with pauses; the same faint noise in each, as recordings are never quite silent."""
    noise = np.random.default_rng(0).normal(size=int(PAUSE * RATE)).astype(np.float32) * np.float32(1e-4)
    return np.concatenate([part for clip in clips for part in (clip, noise)])


def write_wav(path: Path, samples: Samples) -> Path:
    """16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
