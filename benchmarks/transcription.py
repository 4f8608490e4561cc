"""How fast is a recording transcribed, and in how much memory? Against faster-whisper int8 on the same weights.

    python benchmarks/transcription.py whisper-base --ctranslate2 FOLDER --data ../shared/data/flores-dev --minutes 10
    python benchmarks/transcription.py whisper-base --length --data ../shared/data/flores-dev --precisions int8

The recording is English read by espeak-ng (`speech.py`). Every run is a process of its
own, engines take turns. Times are from the call to the last segment, after loading: by the clock, and of all threads
on the CPU, which other work on the machine disturbs less. The peak is the largest resident set (VmHWM), everything
included. Language given, timestamps, beam 5, no voice detection, no fallback, no text of the window before.
FOLDER is made by `ct2-transformers-converter`. `--checkpoint` adds rows of transformers (float32) and whisper.cpp
(pywhispercpp, float16) with the weights of that Hugging Face folder. With `--length` quartet alone hears the same few
sentences followed by faint noise, 2 minutes and 2 hours in all, with voice detection: memory must not grow with the
length.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from report import add_results_argument, report
from speech import read_aloud, samples_of, write_wav

from quartet.audio.audio import RATE, Samples
from quartet.provision import ready

PACKAGES = ("faster-whisper", "ctranslate2", "transformers", "torch", "pywhispercpp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder that is converted already, or a checkpoint")
    parser.add_argument("--precisions", nargs="*", default=["int8", "int4"])
    parser.add_argument("--ctranslate2", type=Path)
    parser.add_argument("--checkpoint", type=Path, help="of transformers and whisper.cpp, which then take part")
    parser.add_argument("--ggml", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help="folder with en.txt")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--length", action="store_true", help="memory against length instead")
    parser.add_argument(
        "--one", nargs=3, metavar=("KIND", "PRECISION", "FILE"), help="one run (for this script itself)"
    )
    add_results_argument(parser)
    args = parser.parse_args()
    if args.one:
        print(*one_run(args, *args.one))
        return
    for precision in args.precisions:
        ready(args.model, precision)  # converted before anything is measured
    with tempfile.TemporaryDirectory() as work:
        if args.length:
            against_length(args, Path(work))
        else:
            against_each_other(args, Path(work))


def against_each_other(args: argparse.Namespace, work: Path) -> None:
    file = write_wav(
        work / "talk.wav", of_length(read_aloud(args.data / "en.txt", "en", work, 40).samples, args.minutes)
    )
    engines = [("quartet", precision) for precision in args.precisions]
    engines += [("faster-whisper", "int8")] if args.ctranslate2 else []
    if args.checkpoint:
        from ggml_whisper import write_ggml  # noqa: PLC0415 - needs torch and transformers

        args.ggml = write_ggml(args.checkpoint, work / "ggml.bin")
        engines += [("transformers", "float32"), ("whisper.cpp", "float16")]
    runs = {engine: [] for engine in engines}
    for _ in range(args.rounds):
        for engine in engines:
            runs[engine].append(in_a_process(args, *engine, file))
    found = {who: [statistics.median(values) for values in zip(*those, strict=True)] for who, those in runs.items()}
    base = found.get(("faster-whisper", "int8"))
    rows = [
        [*who, f"{clock:.1f} s", f"{cpu:.1f} s", f"{peak:.0f} MB", f"{words:.0f}", *ratios(base, (clock, cpu, peak))]
        for who, (clock, cpu, peak, words) in found.items()
    ]
    names = ("engine", "precision", "time", "CPU time", "peak", "words", "time ÷ faster-whisper", "CPU ÷", "peak ÷")
    figures = {"runs": {" ".join(who): those for who, those in runs.items()}, "minutes": args.minutes}
    report(args.results, names, rows, figures, packages=PACKAGES)


def ratios(base: list[float] | None, values: tuple[float, ...]) -> list[str]:
    return [f"{value / other:.2f}×" for value, other in zip(values, base or (), strict=False)]


def against_length(args: argparse.Namespace, work: Path) -> None:
    speech = read_aloud(args.data / "en.txt", "en", work, 2).samples
    rows = []
    for minutes in (2, 120):
        file = write_wav(work / f"{minutes}.wav", and_noise(speech, minutes))
        rows.append((f"{minutes} minutes", f"{in_a_process(args, 'quartet', args.precisions[0], file)[2]:.0f} MB"))
    report(args.results, ("recording", "peak"), rows, {"rows": rows}, topic="transcription_length")


def in_a_process(args: argparse.Namespace, kind: str, precision: str, file: Path) -> list[float]:
    """Seconds by the clock and on the CPU, megabytes, and how many words were heard."""
    command = [
        sys.executable,
        __file__,
        args.model,
        "--threads",
        str(args.threads),
        "--one",
        kind,
        precision,
        str(file),
    ]
    for name in ("ctranslate2", "checkpoint", "ggml"):
        command += [f"--{name}", str(getattr(args, name))] if getattr(args, name) else []
    command += ["--length"] if args.length else []
    return [float(x) for x in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]


def one_run(args: argparse.Namespace, kind: str, precision: str, file: str) -> tuple[float, float, float, int]:
    transcribe = ENGINES[kind](args, precision)
    start, before = time.perf_counter(), time.process_time()
    said = transcribe(file)
    status = Path("/proc/self/status").read_text()
    return (
        time.perf_counter() - start,
        time.process_time() - before,
        int(status.partition("VmHWM:")[2].split()[0]) / 1e3,
        len(said.split()),
    )


def by_quartet(args: argparse.Namespace, precision: str) -> Callable[[str], str]:
    from quartet import Transcriber  # noqa: PLC0415 - each in a process of its own

    model = Transcriber(args.model, precision=precision, threads=args.threads)
    return lambda file: said_by(model, file, args.length)


def by_faster_whisper(args: argparse.Namespace, precision: str) -> Callable[[str], str]:
    from faster_whisper import WhisperModel  # noqa: PLC0415

    model = WhisperModel(str(args.ctranslate2), compute_type=precision, cpu_threads=args.threads)
    return lambda file: said_by(model, file, args.length)


def said_by(model: Any, file: str, vad_filter: bool) -> str:
    options = {"beam_size": 5, "temperature": 0.0, "condition_on_previous_text": False, "vad_filter": vad_filter}
    return "".join(segment.text for segment in model.transcribe(file, "en", **options)[0])


def by_transformers(args: argparse.Namespace, _: str) -> Callable[[str], str]:
    import torch  # noqa: PLC0415
    from transformers import WhisperForConditionalGeneration, WhisperProcessor  # noqa: PLC0415

    torch.set_num_threads(args.threads)
    model = WhisperForConditionalGeneration.from_pretrained(args.checkpoint, dtype=torch.float32)
    processor = WhisperProcessor.from_pretrained(args.checkpoint)

    def transcribe(file: str) -> str:
        options = {"padding": "longest", "truncation": False, "return_attention_mask": True, "return_tensors": "pt"}
        inputs = processor(samples_of(Path(file)), sampling_rate=RATE, **options)
        ids = model.generate(
            **inputs, language="en", task="transcribe", return_timestamps=True, num_beams=5, temperature=0.0
        )
        return processor.batch_decode(ids, skip_special_tokens=True)[0]

    return transcribe


def by_whisper_cpp(args: argparse.Namespace, _: str) -> Callable[[str], str]:
    from pywhispercpp.model import Model  # noqa: PLC0415

    model = Model(str(args.ggml), params_sampling_strategy=1, n_threads=args.threads, redirect_whispercpp_logs_to=None)
    options = {"beam_search": {"beam_size": 5, "patience": -1.0}, "temperature": 0.0, "temperature_inc": 0.0}
    return lambda file: "".join(s.text + " " for s in model.transcribe(file, language="en", no_context=True, **options))


ENGINES = {
    "quartet": by_quartet,
    "faster-whisper": by_faster_whisper,
    "transformers": by_transformers,
    "whisper.cpp": by_whisper_cpp,
}


def of_length(samples: Samples, minutes: float) -> Samples:
    return np.resize(samples, int(minutes * 60 * RATE))


def and_noise(samples: Samples, minutes: int) -> Samples:
    """The samples, and faint noise for the rest of the time."""
    noise = np.random.default_rng(0).normal(size=60 * RATE).astype(np.float32) * np.float32(1e-3)
    return np.concatenate([samples, *[noise] * minutes])[: minutes * 60 * RATE]


if __name__ == "__main__":
    main()
