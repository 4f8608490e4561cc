"""What goes wrong on a network: clients that hang up, dawdle, send too much or nonsense; a server that is stopped."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

ROUTES = (
    "/translate",
    "/detect",
    "/translate_file",
    "/languages",
    "/suggest",
    "/download_file/x",
    "/frontend/settings",
)
LONG = "I like your house, and your garden is beautiful in the summer. " * 60


def raw(address, content):
    """A connection on which something was sent."""
    where = urlsplit(address)
    connection = socket.create_connection((where.hostname, where.port), timeout=30)
    connection.sendall(content)
    return connection


def post(path, body, announced=None):
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {announced or len(body)}\r\n\r\n".encode() + body


def body_of(text):
    return f'{{"q": "{text}", "source": "en", "target": "fr"}}'.encode()


def is_well(address):
    answer = httpx.post(f"{address}/translate", json={"q": "Good morning.", "source": "en", "target": "fr"}, timeout=60)
    return answer.status_code == 200 and answer.json()["translatedText"] == "Bonjour."


def figure(address, name):
    """One of the server's own figures."""
    lines = httpx.get(f"{address}/metrics", timeout=60).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def in_flight(address):
    """Requests at work, but for the one that asks."""
    return figure(address, "quartet_http_requests_in_flight") - 1


def wait_until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_who_hangs_up_frees_its_rows(serve):
    address = serve(metrics=True)

    for _ in range(10):
        raw(address, post("/translate", body_of(LONG))).close()
    assert is_well(address)
    wait_until(lambda: in_flight(address) == 0 and figure(address, "quartet_queue_rows") == 0)


def test_beyond_the_queue_is_told_at_once_and_the_others_are_answered(serve):
    address = serve(max_queue=1500)

    def ask(number):
        answer = httpx.post(
            f"{address}/translate", json={"q": f"{number}. {LONG}", "source": "en", "target": "fr"}, timeout=120
        )
        return answer.status_code, answer.headers.get("retry-after"), answer.json()

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(16)))
    assert {status for status, *_ in found} == {200, 503}
    assert all(int(after) >= 1 for status, after, _ in found if status == 503)
    assert all("try again" in answer["error"] for status, _, answer in found if status == 503)
    assert is_well(address)


def test_a_body_that_does_not_come_is_not_waited_for(serve):
    address = serve(body_timeout=0.5)
    with raw(address, post("/translate", b'{"q": "Hel', announced=100)) as connection:
        assert b"408" in connection.recv(1000).partition(b"\r\n")[0]
    assert is_well(address)


def test_a_body_that_is_too_large_is_refused_announced_or_not(serve):
    address = serve(upload_limit=1000)
    said = httpx.post(f"{address}/translate", json={"q": "a" * 2000, "source": "en", "target": "fr"})
    streamed = httpx.post(
        f"{address}/translate", content=iter([b"{" + b" " * 600] * 3), headers={"content-type": "application/json"}
    )
    form = httpx.post(f"{address}/translate_file", files={"file": ("a.txt", b"a" * 2000)})
    assert [one.status_code for one in (said, streamed, form)] == [413] * 3
    assert all("larger than 1000 bytes" in one.json()["error"] for one in (said, streamed, form))
    assert is_well(address)


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_are_no_fault_of_the_server(server, seed):
    chance = random.Random(seed)
    kinds = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"]
    with httpx.Client(base_url=server, timeout=60) as client:
        for route in ROUTES:
            content = chance.randbytes(chance.randrange(400))
            for content_ in (content, b"--x\r\n" + content + b"\r\n--x--", b'{"q": "' + content + b'"}'):
                answer = client.post(route, content=content_, headers={"content-type": chance.choice(kinds)})
                assert 400 <= answer.status_code < 500
                assert answer.json()["error"]
    assert is_well(server)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_told_to_stop_it_answers_what_it_has_accepted(tmp_path):
    command = [sys.executable, "-m", "quartet", "serve", "--port", "0", "--threads", "1", "--precision", "fp32"]
    command.append("--metrics")
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        address = process.stderr.readline().rpartition(" ")[2].strip()
        threading.Thread(target=process.stderr.read, daemon=True).start()

        def ask(_):
            return httpx.post(
                f"{address}/translate", json={"q": LONG, "source": "en", "target": "fr"}, timeout=120
            ).status_code

        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask, number) for number in range(4)]
            wait_until(lambda: in_flight(address) == 4)
            process.send_signal(signal.SIGTERM)
            assert [one.result() for one in asked] == [200] * 4
        assert process.wait(30) == 128 + signal.SIGTERM
