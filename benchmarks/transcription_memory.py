"""Does memory stay flat over many transcriptions in one process?

    python benchmarks/transcription_memory.py speech.wav more.ogg --model whisper-base --times 200 --every 20

Transcribes the recordings in turn, each time in another way: one window after the other and in batches, with and
without words, voice detection, prompts and clips; every tenth is given up after its first segment. The table has a row
for every so many transcriptions; the last line says by how much the later rows exceed the first one. Resident: all
pages (smaps_rollup), private: those that no other process has.
"""

import argparse
import gc
import os
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from server_memory import memory_of

from quartet import Transcriber

COLUMNS = ("transcriptions", "resident, MB", "private, MB", "threads", "open files")
WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"vad_filter": True, "word_timestamps": True},
    {"batch_size": 4},
    {"batch_size": 8, "word_timestamps": True, "hotwords": "harbour, lighthouse"},
    {"clip_timestamps": "0,4,4,9", "batch_size": 2},
    {"initial_prompt": "The weather.", "prefix": "And", "condition_on_previous_text": False},
    {"without_timestamps": True, "multilingual": True},
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--model", default="whisper-base")
    parser.add_argument("--precision")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--every", type=int, default=20, help="transcriptions from one row of the table to the next")
    args = parser.parse_args()
    print(*COLUMNS, sep=", ", flush=True)
    rows = []
    with Transcriber(args.model, precision=args.precision, threads=args.threads) as model:
        turns = islice(zip(cycle(args.recordings), cycle(WAYS), strict=False), args.times)
        for number, (recording, way) in enumerate(turns, 1):
            segments, _ = model.transcribe(recording, beam_size=1, **way)
            for _ in islice(segments, 1 if number % 10 == 0 else None):
                pass
            del segments
            if number % args.every == 0:
                gc.collect()
                rows.append(memory_of(os.getpid()))
                resident, private, *counts = rows[-1]
                print(number, f"{resident / 1e6:.1f}", f"{private / 1e6:.1f}", *counts, sep=", ", flush=True)
    first, *later = rows
    grown = [max(row[i] for row in later or rows) - first[i] for i in range(2)]
    print(f"later rows exceed the first by {grown[0] / 1e6:.1f} MB resident, {grown[1] / 1e6:.1f} MB private at most")


if __name__ == "__main__":
    main()
