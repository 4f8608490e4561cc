"""Several processes on one port: one that dies is replaced, all stop together, and what they know is shared."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from quartet.cli import main
from quartet.serve.options import ServeOptions
from raw_requests import accepted, status_of
from waiting import wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
LONG = "I like your house, and your garden is beautiful in the summer. " * 20
BODY = {"q": "Good morning.", "source": "en", "target": "fr"}


@dataclass
class Server:
    """A server with several workers, and what it has said."""

    process: subprocess.Popen[str]
    address: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, text: str = "Good morning.") -> int | str:
        """The status of a translation, or what became of the connection."""
        try:
            return httpx.post(f"{self.address}/translate", json=BODY | {"q": text}, timeout=120).status_code
        except httpx.TransportError as error:
            return type(error).__name__

    def said(self, text: str) -> bool:
        return any(text in line.get("message", "") for line in self.lines)

    def by_worker(self) -> Counter[int]:
        """Requests that are answered."""
        return Counter(line["worker"] for line in self.lines if line.get("event") == "request")

    def workers(self) -> list[int]:
        """Their process ids, as Linux tells them."""
        mine = self.process.pid
        children = Path(f"/proc/{mine}/task/{mine}/children").read_text("utf-8").split()
        return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]

    def figure(self, name: str) -> float:
        lines = httpx.get(f"{self.address}/metrics", timeout=60).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@contextlib.contextmanager
def started(*options: str, folder: Path | None = None) -> Iterator[Server]:
    command = [sys.executable, "-m", "quartet", "serve", "--port", "0", "--threads", "1", "--precision", "fp32"]
    env = (
        os.environ
        | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        | ({"TMPDIR": str(folder)} if folder else {})
    )
    command += ["--workers", "2", "--metrics", "--log-format", "json", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        said = (json.loads(line)["message"] for line in process.stderr)
        server = Server(process, next(line.rpartition(" ")[2] for line in said if "serving on" in line))

        def read() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                server.lines.append(json.loads(line))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(60)
            reader.join(10)


def until_both_answer(server: Server) -> None:
    """Ask, several at a time, until each worker has answered."""
    with ThreadPoolExecutor(8) as pool:
        wait_until(lambda: {200} == set(pool.map(lambda _: server.ask(), range(8))) and len(server.by_worker()) == 2)


def test_a_worker_has_its_part_of_what_all_may_have():
    whole = ServeOptions(workers=3, threads=8, max_queue=100, max_memory=3000)
    part = whole.share()
    assert (part.threads, part.max_queue, part.max_memory) == (2, 34, 1000)
    assert ServeOptions(workers=2, threads=1).share().threads == 1
    alone = ServeOptions()
    assert alone.share() is alone


def test_what_is_wrong_at_the_start_is_one_line(capfd):
    assert main(["serve", "--port", "0", "--workers", "2", "--model", "no-such-model"]) == 2
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux to find the workers")
def test_workers_share_what_they_know_and_replace_each_other(tmp_path):
    with started("--req-limit", "100000", folder=tmp_path) as server:
        until_both_answer(server)
        asked = sum(server.by_worker().values())
        assert server.figure("quartet_http_request_duration_seconds_count{") >= asked  # of both
        files = {"file": ("a.txt", b"Good morning.\n")}
        answer = httpx.post(
            f"{server.address}/translate_file", files=files, data={"source": "en", "target": "fr"}, timeout=60
        )
        with ThreadPoolExecutor(8) as pool:  # whichever of them answers has it
            found = list(pool.map(lambda _: httpx.get(answer.json()["translatedFileUrl"]).text, range(16)))
        assert set(found) == {"Bonjour.\n"}

        before = server.workers()
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: server.said("died with status -9"))
        assert server.ask() == 200
        wait_until(lambda: len(server.workers()) == 2)
        assert before[1] in server.workers()
        server.lines.clear()
        until_both_answer(server)
        assert httpx.get(answer.json()["translatedFileUrl"]).text == "Bonjour.\n"
        assert server.figure("quartet_http_request_duration_seconds_count{") >= asked  # those of the dead one too
        assert server.figure("quartet_http_requests_in_flight") == 1  # the one that asks
    assert server.process.returncode == 128 + signal.SIGTERM
    assert server.said("stopped by SIGTERM")
    assert not list(tmp_path.iterdir())  # nothing is left


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux to find the workers")
def test_told_to_stop_all_workers_answer_what_they_have_accepted():
    with started() as server:
        until_both_answer(server)
        bodies = [json.dumps(BODY | {"q": f"{number}. {LONG}"}).encode() for number in range(8)]
        asked = [accepted(server.address, "/translate", body) for body in bodies]
        server.process.send_signal(signal.SIGTERM)
        assert [status_of(one) for one in asked] == [200] * 8
        assert server.process.wait(60) == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux to find the workers")
def test_workers_end_when_the_one_that_started_them_is_killed():
    with started() as server:
        wait_until(lambda: len(server.workers()) == 2)
        until_both_answer(server)
        workers = server.workers()
        server.process.kill()
        wait_until(lambda: not any(is_running(pid) for pid in workers))


def is_running(pid: int) -> bool:
    """Whether there is a process, and not only what is left of it."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux to find the workers")
def test_under_load_only_clients_of_a_killed_worker_lose_their_answers():
    with started("--max-queue", "1000000") as server, ThreadPoolExecutor(32) as pool:
        for _ in range(3):
            until_both_answer(server)
            asked = [pool.submit(server.ask, f"{number}. {LONG}") for number in range(32)]
            wait_until(lambda: server.figure("quartet_http_requests_in_flight") > 16)
            os.kill(server.workers()[0], signal.SIGKILL)
            found = Counter(one.result() for one in asked)
            assert found.keys() <= {200, "RemoteProtocolError", "ReadError"}
            assert found[200] > 0
            server.lines.clear()
            wait_until(lambda: len(server.workers()) == 2)
