"""What does each precision of a speech model make of speech that is hard to understand?

    python benchmarks/speech_precision.py whisper-base --data ../shared/data/flores-dev

Windows of 30 seconds, sentences of FLORES by three voices of espeak-ng in each of four languages, and LibriVox
recordings. One beam, temperature 0 and no second try, so that nothing hides a loop. A loop is a text that packs better
than 2.4 to 1, as `transcribe` has it. Windows with loops are heard again as by default, with five beams and other
temperatures, to count those that stay. Wrong words are counted by `word_errors.py`: against what was said, and against
what float32 hears, loops left out there. Needs espeak-ng and pocketsphinx-testdata.
"""

import argparse
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from report import add_results_argument, report
from speech import LIBRIVOX, PAUSE, RATE, Reading, joined, librivox, spoken
from word_errors import rate, word_errors

from quartet import Transcriber

WINDOW = 29.0  # seconds of sentences
LOOP = 2.4
VOICES = {
    "en": ("en-us", "en-gb+f2", "en-us+m3"),
    "fr": ("fr-fr", "fr-fr+f2", "fr-be+m3"),
    "de": ("de", "de+f2", "de+m3"),
    "es": ("es", "es-419+f2", "es+m3"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True, help="folder with en.txt, fr.txt, de.txt, es.txt")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8", "int4"], help="float32 first")
    parser.add_argument("--windows", type=int, default=6, help="of each language")
    parser.add_argument("--threads", type=int, default=1)
    add_results_argument(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        speech = [one for language in VOICES for one in windows(args.data, language, Path(work), args.windows)]
    speech += [librivox()] if LIBRIVOX.is_dir() else []
    seconds = sum(one.seconds for one in speech)
    rows, figures, reference = [], {"seconds": seconds}, None
    for precision in args.precisions:
        texts, stay, size, cpu = heard(args.model, precision, speech, args.threads)
        reference = reference or texts
        rows.append(row(precision, size, cpu / seconds, speech, texts, reference, stay))
        figures[precision] = {"texts": texts, "loops that stay": stay, "bytes": size, "cpu": cpu}
        print(*rows[-1], flush=True)
    names = dict.fromkeys(one.name for one in speech)
    columns = (
        "precision",
        "size",
        *names,
        "all",
        "beside float32",
        "loops",
        "stay",
        "empty",
        "U+FFFD",
        "CPU per second",
    )
    report(args.results, columns, rows, figures, notes=[f"{len(speech)} windows, {seconds / 60:.1f} minutes."])


def windows(data: Path, language: str, work: Path, count: int) -> Iterator[Reading]:
    """Sentences one after the other, as many as a window holds, by the voices in turn."""
    lines = iter((data / f"{language}.txt").read_text(encoding="utf-8").splitlines())
    for number in range(count):
        voice = VOICES[language][number % len(VOICES[language])]
        clips, texts, length = [], [], 0.0
        while True:
            text = next(lines)
            clip = spoken(text, language, work, voice)
            length += len(clip) / RATE + PAUSE
            if length > WINDOW and clips:
                break
            clips.append(clip)
            texts.append(text)
        yield Reading(f"espeak {language}", language, joined(clips), " ".join(texts))


def heard(model: str, precision: str, speech: list[Reading], threads: int) -> tuple[list[str], int, int, float]:
    """The text of each window, how many of them stay loops, bytes of the model's files, and seconds on the CPU."""
    with Transcriber(model, precision=precision, threads=threads) as transcriber:
        before = time.process_time()
        texts = [said(transcriber, one, beam_size=1, temperature=0.0) for one in speech]
        cpu = time.process_time() - before
        again = [said(transcriber, one) for one, text in zip(speech, texts, strict=True) if is_loop(text)]
        size = sum(entry.bytes for entry in transcriber.manifest.files.values())
        return texts, sum(is_loop(text) or not text.strip() for text in again), size, cpu


def said(transcriber: Transcriber, one: Reading, **options: float) -> str:
    segments, _ = transcriber.transcribe(one.samples, one.language, condition_on_previous_text=False, **options)
    return "".join(segment.text for segment in segments)


def row(
    precision: str, size: int, cpu: float, speech: list[Reading], texts: list[str], reference: list[str], stay: int
) -> list[object]:
    errors = [word_errors(one.text, text) for one, text in zip(speech, texts, strict=True)]
    groups = dict.fromkeys(one.name for one in speech)
    of_groups = [[e for one, e in zip(speech, errors, strict=True) if one.name == name] for name in groups]
    steady = [i for i, text in enumerate(texts) if not (is_loop(text) or is_loop(reference[i]))]
    beside = [word_errors(reference[i], texts[i]) for i in steady]
    empty, scraps = sum(not text.strip() for text in texts), sum("\ufffd" in text for text in texts)
    shown = (f"{size / 1e6:.0f} MB", *map(rate, of_groups), rate(errors), rate(beside))
    return [precision, *shown, sum(map(is_loop, texts)), stay, empty, scraps, f"{cpu:.3f} s"]


def is_loop(text: str) -> bool:
    data = text.strip().encode()
    return len(data) > LOOP * len(zlib.compress(data))


if __name__ == "__main__":
    main()
