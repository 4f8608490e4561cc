"""Does a server's memory stay flat?

    python benchmarks/server_memory.py
    python benchmarks/server_memory.py --requests 200 --disconnects 50 --every 25 --sound speech.wav -- \\
        --model demo --model whisper-base --threads 1

Starts `quartet serve` with the arguments after `--`, asks it so many requests from so many clients at a time, mostly
short texts, and among them every other route, addresses that lead nowhere, bodies that are no JSON, and clients that
hang up: in the head, in the body, before the answer, in the middle of a stream. With --sound the requests are
recordings instead. Resident: all pages (smaps_rollup), private: those that no other process has.
The table has a row for every so many requests; the last line says by how much the later rows exceed the first one.
"""

import argparse
import contextlib
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from report import add_results_argument, report

TEXTS = ("Good morning.", "Where is the train station?", "I like your house.", "The weather is beautiful today.")
LONG = " ".join(TEXTS) * 20
COLUMNS = ("requests", "disconnects", "unanswered", "resident, MB", "private, MB", "threads", "open files")
SERVE = ("--precision", "fp32", "--threads", "1", "--metrics", "--trust-forwarded-for", "--req-limit", "1000000")
REST = 3  # seconds before the memory is read: who hung up is noticed, and what is free goes back to the system
Ask = Callable[[HTTPConnection, random.Random], None]


@dataclass(frozen=True)
class Row:
    """What a server has after so many requests."""

    requests: int
    disconnects: int
    unanswered: int  # requests that have no answer at all
    resident: int  # bytes
    private: int  # bytes
    threads: int
    files: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--disconnects", type=int, default=2_000, help="besides, spread evenly")
    parser.add_argument("--every", type=int, default=1_000, help="requests from one row of the table to the next")
    parser.add_argument("--clients", type=int, default=8, help="at a time")
    parser.add_argument("--sound", type=Path, help="a recording to be transcribed, instead of texts")
    parser.add_argument("serve", nargs="*", help=f"arguments of quartet serve; default: {' '.join(SERVE)}")
    add_results_argument(parser)
    args = parser.parse_args()
    sound = args.sound.read_bytes() if args.sound else None
    rows: list[Row] = []
    print(*COLUMNS, sep=", ", flush=True)
    with started(args.serve or SERVE) as (port, process):
        done, unanswered = [0, 0], 0
        while done[0] < args.requests:
            part = min(args.every, args.requests - done[0])
            hang_ups = round((done[0] + part) * args.disconnects / args.requests) - done[1]
            unanswered += ask_all(port, part, hang_ups, args.clients, sound, done[0])
            done = [done[0] + part, done[1] + hang_ups]
            time.sleep(REST)
            rows.append(Row(*done, unanswered, *memory_of(process.pid)))
            print(*cells(rows[-1]), sep=", ", flush=True)
    first, *later = rows
    grown = {
        name: max(getattr(row, name) for row in later or rows) - getattr(first, name)
        for name in ("resident", "private")
    }
    print(", ".join(f"{name}: {bytes_ / 1e6:+.1f} MB" for name, bytes_ in grown.items()), "over the first row at most")
    report(args.results, COLUMNS, map(cells, rows), {"rows": [asdict(row) for row in rows], "grown": grown})


@contextlib.contextmanager
def started(arguments: list[str]) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "quartet", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"serving on http://[^:]+:(\d+)", line):
                threading.Thread(target=process.stderr.read, daemon=True).start()
                wait_for(int(found[1]))
                yield int(found[1]), process
                break
        else:
            raise SystemExit("the server did not start")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_for(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise SystemExit("the server does not listen")


def ask_all(port: int, requests: int, hang_ups: int, clients: int, sound: bytes | None, seed: int) -> int:
    """Ask from several clients at a time, each on a connection that it keeps; how many requests had no answer."""
    unanswered = []
    kinds = [True] * requests + [False] * hang_ups
    random.Random(seed).shuffle(kinds)

    def client(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        connection = HTTPConnection("127.0.0.1", port, timeout=300)
        for is_request in kinds[number::clients]:
            if not is_request:
                hang_up(port, chance, sound)
                continue
            try:
                (ask_text if sound is None else ask_speech)(connection, chance, sound)
            except (OSError, HTTPException) as error:
                unanswered.append(error)
                connection.close()
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(unanswered)


def ask_text(connection: HTTPConnection, chance: random.Random, _: bytes | None) -> None:
    """A short translation three times out of four, else anything else."""
    text = f"{chance.choice(TEXTS)} {chance.randrange(1000)}"
    pair = {"source": "en", "target": chance.choice(["fr", "es", "de"])}
    others = (
        ("GET", "/languages", None),
        ("GET", "/metrics", None),
        ("GET", f"/{uuid.uuid4()}", None),
        ("GET", f"/page/{uuid.uuid4()}", None),
        ("GET", f"/v1/models/{uuid.uuid4()}", None),
        ("PUT", "/translate", {}),
        ("POST", "/detect", {"q": text}),
        ("POST", "/translate", {"q": text, "source": "auto", "target": "fr", "alternatives": 2}),
        ("POST", "/translate", {"q": text, "stream": True} | pair),
        ("POST", "/translate", {"q": list(TEXTS)} | pair),
        ("POST", "/translate", "no JSON"),
        ("POST", "/v2/translate", {"text": [text], "target_lang": "FR"}),
        ("POST", "/imme", {"text_list": [text], "target_lang": "de"}),
        ("POST", "/translate_file", text),
    )
    method, path, body = ("POST", "/translate", {"q": text} | pair)
    if chance.random() < 0.25:
        method, path, body = chance.choice(others)
    headers = {"X-Forwarded-For": f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"}
    if path == "/translate_file":
        form = {"source": "en", "target": "fr"}
        send(connection, path, *form_of(form, "a.txt", str(body).encode()), headers)
    else:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
        kind = {"Content-Type": "application/json"} if content else {}
        connection.request(method, path, content, headers | kind)
    connection.getresponse().read()


def ask_speech(connection: HTTPConnection, chance: random.Random, sound: bytes | None) -> None:
    """A transcription, now and then in a stream."""
    fields = {"stream": chance.choice(["true", "false"])}
    send(connection, "/v1/audio/transcriptions", *form_of(fields, "a.wav", sound or b""), {})
    connection.getresponse().read()


def send(connection: HTTPConnection, path: str, content: bytes, kind: str, headers: dict[str, str]) -> None:
    connection.request("POST", path, content, headers | {"Content-Type": kind})


def form_of(fields: dict[str, str], name: str, content: bytes) -> tuple[bytes, str]:
    """The body of a form with a file, and its type."""
    parts = [f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
    head = f'{"".join(parts)}--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def hang_up(port: int, chance: random.Random, sound: bytes | None) -> None:
    """Go away in mid-request: in the head, in the body, before the answer, or in the midst of it."""
    if sound is None:
        path, kind = "/translate", "application/json"
        content = json.dumps({"q": LONG, "source": "en", "target": "fr", "stream": chance.random() < 0.5}).encode()
    else:
        path = "/v1/audio/transcriptions"
        content, kind = form_of({"stream": chance.choice(["true", "false"])}, "a.wav", sound)
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    whole = head.encode() + content
    end = chance.choice([len(head) // 2, len(head) + len(content) // 2, len(whole), len(whole)])
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(whole[:end])
        if end == len(whole):
            connection.settimeout(chance.random() * 0.2)
            connection.recv(100)


def memory_of(pid: int) -> tuple[int, int, int, int]:
    """Resident and private bytes, threads and open files of a process."""
    kinds = dict(re.findall(r"^(\w+):\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE))
    private = sum(int(kinds[f"Private_{kind}"]) for kind in ("Clean", "Dirty"))
    threads, files = (len(list(Path(f"/proc/{pid}/{what}").iterdir())) for what in ("task", "fd"))
    return 1024 * int(kinds["Rss"]), 1024 * private, threads, files


def cells(row: Row) -> list[object]:
    return [
        row.requests,
        row.disconnects,
        row.unanswered,
        f"{row.resident / 1e6:.1f}",
        f"{row.private / 1e6:.1f}",
        row.threads,
        row.files,
    ]


if __name__ == "__main__":
    main()
