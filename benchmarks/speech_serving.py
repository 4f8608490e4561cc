"""How many seconds of speech a second does a server transcribe, and how long does each of its clients wait?

    python benchmarks/speech_serving.py --data ../shared/data/flores-dev --minutes 8 --clients 1 4 --rounds 2 \\
        --server quartet "quartet serve --model MODELS/whisper-base-int4 --threads 2 --port {port}" \\
        --server faster-whisper "python benchmarks/faster_whisper_server.py whisper-base-ctranslate2 --port {port}"

The recordings are sentences of English read by espeak-ng, a minute each. Each command is started on a port of its own,
asked until it answers, warmed up, and then asked by so many clients at a time through OpenAI's route for
transcriptions, each of which sends its next recording when it has the text of the last one, until all are done. The
memory is the sum of the peaks of the server's processes. With several servers the measurements alternate, and the table
has the median of the rounds.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path

from report import add_results_argument, report
from serving import at_once, peak, started
from speech import joined, spoken, write_wav

from quartet.audio.audio import RATE

COLUMNS = ("server", "clients", "recordings", "words", "seconds of speech/s", "p50, s", "p95, s", "peak memory")
LENGTH = 60.0  # seconds of a recording
BOUNDARY = "quartet-benchmark"


@dataclass(frozen=True)
class Found:
    """What clients saw in a round."""

    server: str
    clients: int
    recordings: int
    words: int
    speed: float  # seconds of speech in a second
    p50: float
    p95: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with en.txt, a sentence a line")
    parser.add_argument("--minutes", type=int, default=8, help="recordings, of a minute each")
    parser.add_argument("--server", nargs=2, action="append", required=True, metavar=("NAME", "COMMAND"))
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--rounds", type=int, default=1)
    add_results_argument(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        recordings = [path.read_bytes() for path in recorded(args.data / "en.txt", Path(work), args.minutes)]
    found: dict[tuple[str, int], list[Found]] = {}
    for _ in range(args.rounds):
        for name, command in args.server:
            with started(command) as (port, process):
                ask(port, recordings[0])
                for clients in args.clients:
                    one = measure(name, port, process.pid, clients, recordings)
                    found.setdefault((name, clients), []).append(one)
                    print(cells([one]), flush=True)
    figures = {"rounds": [asdict(one) for rounds in found.values() for one in rounds]}
    report(args.results, COLUMNS, map(cells, found.values()), figures)


def recorded(sentences: Path, work: Path, count: int) -> list[Path]:
    """Recordings of about a minute, each of other sentences."""
    lines = iter(sentences.read_text(encoding="utf-8").splitlines())
    paths = []
    for number in range(count):
        clips, samples = [], 0
        while samples < LENGTH * RATE:
            clips.append(spoken(next(lines), "en", work))
            samples += len(clips[-1])
        paths.append(write_wav(work / f"{number}.wav", joined(clips)))
    return paths


def ask(port: int, recording: bytes) -> str:
    """What was heard."""
    parts = [
        b'Content-Disposition: form-data; name="language"\r\n\r\nen',
        b'Content-Disposition: form-data; name="model"\r\n\r\nwhisper-1',
        b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n' + recording,
    ]
    body = b"".join(f"--{BOUNDARY}\r\n".encode() + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()
    connection = HTTPConnection("127.0.0.1", port, timeout=1800)
    connection.request(
        "POST", "/v1/audio/transcriptions", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    )
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"status {response.status}: {response.read()!r}")
    return str(json.load(response)["text"])


def measure(name: str, port: int, pid: int, clients: int, recordings: list[bytes]) -> Found:
    waiting = list(recordings)
    waited: list[float] = []
    texts: list[str] = []
    start = time.monotonic()

    def client() -> None:
        while waiting:
            recording = waiting.pop()
            began = time.monotonic()
            texts.append(ask(port, recording))
            waited.append(time.monotonic() - began)

    at_once(clients, client)
    took = time.monotonic() - start
    seconds = sum(len(recording) - 44 for recording in recordings) / 2 / RATE
    words = sum(len(text.split()) for text in texts)
    p50, p95 = statistics.median(waited), statistics.quantiles(waited, n=20)[-1]
    return Found(name, clients, len(texts), words, seconds / took, p50, p95, peak(pid))


def cells(rounds: list[Found]) -> list[object]:
    first = rounds[0]

    def middle(figure: str) -> float:
        return statistics.median(getattr(one, figure) for one in rounds)

    return [
        first.server,
        first.clients,
        sum(one.recordings for one in rounds),
        round(middle("words")),
        f"{middle('speed'):.1f}",
        f"{middle('p50'):.2f}",
        f"{middle('p95'):.2f}",
        f"{middle('peak_bytes') / 1e6:.0f} MB",
    ]


if __name__ == "__main__":
    main()
