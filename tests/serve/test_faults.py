"""What goes wrong on a network: clients that hang up, dawdle, send too much or nonsense; a server that is stopped."""

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import UploadFile

from quartet.serve import connections, files, web
from quartet.serve.state import State
from raw_requests import accepted, post, raw, status_of
from waiting import wait_until

LONG = "I like your house, and your garden is beautiful in the summer. " * 60


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


def closed(connection):
    """Whether the server closes a connection, after what it may have said on it."""
    connection.settimeout(60)
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    return True


KEPT = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"  # after which the connection may be idle for a while


@pytest.mark.parametrize(
    ("before", "sent"),
    [(b"", b""), (b"", b"GET /hea"), (b"", b"POST /translate HTTP/1.1\r\nX: a\r\n"), (KEPT, b"GET /hea")],
)
def test_a_head_that_does_not_come_is_not_waited_for(serve, before, sent):
    address = serve(body_timeout=0.3)
    with raw(address, before) as connection:
        if before:
            assert connection.recv(1000)
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        assert closed(connection)
    assert is_well(address)


def test_a_head_of_a_byte_at_a_time_is_not_waited_for(serve):
    address = serve(body_timeout=0.3)
    with raw(address, b"GET / HTTP/1.1\r\n") as connection:
        dawdle(connection)
        assert closed(connection)


def test_a_body_of_a_byte_at_a_time_is_not_waited_for(serve, monkeypatch):
    monkeypatch.setattr(web, "SLOWEST", 1_000_000_000)
    address = serve(body_timeout=0.5)
    with raw(address, post("/translate", b'{"q": "', announced=10_000)) as connection:
        dawdle(connection)
        assert b" 408 " in connection.recv(1000).partition(b"\r\n")[0]
    assert is_well(address)


def dawdle(connection):
    """Send a byte every now and then until something comes."""
    while not select.select([connection], [], [], 0.1)[0]:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"a")


def test_who_does_not_read_is_not_waited_for(serve):
    address = serve(body_timeout=0.5, metrics=True)
    large = f'{{"q": "{"a" * 3_000_000}", "source": "en", "target": "en"}}'.encode()
    with raw(address, b"") as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(ConnectionError):  # it may have been given up by then
            for _ in range(4):  # more than the system's buffers hold
                connection.sendall(post("/translate", large))
        wait_until(lambda: in_flight(address) == 0)
        assert closed(connection)
    assert is_well(address)


def test_many_slow_clients_do_not_keep_others_waiting(server):
    parts = [b"", b"G", b"POST /translate HTTP/1.1\r\n", post("/translate", b'{"q": "Hel', announced=100)]
    with contextlib.ExitStack() as stack:
        for number in range(200):
            stack.enter_context(raw(server, parts[number % 4]))
        assert is_well(server)


def test_who_still_sends_sees_what_is_wrong(serve):
    """A connection that is closed while something is on its way loses the answer in some systems."""
    address = serve(upload_limit=1000)
    with raw(address, post("/translate", b"{", announced=1_000_000)) as connection:
        for _ in range(10):
            connection.sendall(b" " * 100_000)
        assert b" 413 " in connection.recv(1000).partition(b"\r\n")[0]


def test_answers_on_a_connection_that_is_kept_are_sent_at_once(serve, monkeypatch):
    """Not when the client has acknowledged the head, as it does after 40 ms."""
    made = []

    class Watched(connections.Connection):
        def connection_made(self, transport):
            super().connection_made(transport)
            made.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(connections, "Connection", Watched)
    assert httpx.get(f"{serve()}/health").status_code == 200
    assert made
    assert all(made)


def test_no_room_for_an_upload(server, monkeypatch):
    async def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(UploadFile, "write", full)
    form = {"source": "en", "target": "fr"}
    answer = httpx.post(f"{server}/translate_file", data=form, files={"file": ("a.txt", b"Good morning.")})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "no room" in answer.json()["error"]


def test_no_room_for_a_translated_file(server, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    form = {"source": "en", "target": "fr"}
    answer = httpx.post(f"{server}/translate_file", data=form, files={"file": ("a.txt", b"Good morning.")})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "no room" in answer.json()["error"]


def test_files_beyond_what_is_kept_go_first_come_first_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "MOST_BYTES", 100)
    kept = files.Files(State(tmp_path))
    first, second, third = (kept.put("a.txt", "a" * 40) for _ in range(3))
    with pytest.raises(web.ApiError):
        kept.response(first)
    assert kept.response(second).path.exists()
    assert kept.response(third).path.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_told_to_stop_it_answers_what_it_has_accepted(tmp_path):
    command = [sys.executable, "-m", "quartet", "serve", "--port", "0", "--threads", "1", "--precision", "fp32"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            address = process.stderr.readline().rpartition(" ")[2].strip()
            threading.Thread(target=process.stderr.read, daemon=True).start()
            asked = [accepted(address, "/translate", body_of(LONG)) for _ in range(4)]
            process.send_signal(signal.SIGTERM)
            assert [status_of(one) for one in asked] == [200] * 4
            assert process.wait(30) == 128 + signal.SIGTERM
        finally:
            process.kill()  # else what fails above would be waited for


@pytest.mark.parametrize("announced", [999_999_999, 10])
def test_who_asks_before_sending_is_told_before_sending(server, announced):
    expects = post("/translate", b"", announced, "Expect: 100-continue\r\n")
    with raw(server, expects) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 " if announced > 10 else b"HTTP/1.1 100 ")


def test_links_are_what_the_proxy_serves(server):
    form = {"data": {"source": "en", "target": "fr"}, "files": {"file": ("a.txt", b"Good morning.")}}
    answer = httpx.post(
        f"{server}/translate_file", headers={"X-Forwarded-Proto": "https", "Host": "example.org"}, **form
    )
    assert answer.json()["translatedFileUrl"].startswith("https://example.org/download_file/")
