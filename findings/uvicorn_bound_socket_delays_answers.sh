#!/usr/bin/env bash
# A server that binds its socket before it starts, to say at which port, gets it from uvicorn's own Config.bind_socket()
# and hands it to Server.run(sockets=[...]). On such a server every request on a kept connection takes 40 ms longer than
# with Server.run() and the same port. bind_socket() makes a socket whose protocol is 0, asyncio switches TCP_NODELAY on
# only where the protocol is named as TCP, and so the body of an answer waits for the client's acknowledgement of its
# head. uvicorn writes both apart, also for an answer of two bytes. The supervisor of several workers binds in the same
# way. Nothing is logged; the first request on a connection is not slower.
#
# uvicorn 0.54.0 with h11 0.16.0 and httptools 0.8.0, Python 3.11, Linux. Seen, milliseconds a request, medians of 50:
#   h11: bound before 43.7, bound by run() 0.4
#   httptools: bound before 43.7, bound by run() 0.3
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q uvicorn==0.54.0 h11==0.16.0 httptools==0.8.0

cat > "$work/delay.py" <<'PY'
import socket
import statistics
import sys
import threading
import time
from http.client import HTTPConnection

import uvicorn


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def milliseconds(http, bound):
    """Of a request on a connection that is kept."""
    port = free_port()
    config = uvicorn.Config(app, port=port, http=http, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([config.bind_socket()] if bound else None,))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    client, took = HTTPConnection("127.0.0.1", port), []
    for _ in range(50):
        start = time.perf_counter()
        client.request("GET", "/")
        client.getresponse().read()
        took.append(1000 * (time.perf_counter() - start))
    client.close()
    server.should_exit = True
    thread.join()
    return statistics.median(took)


for http in ("h11", "httptools"):
    before, by_run = milliseconds(http, True), milliseconds(http, False)
    print(f"{http}: bound before {before:.1f}, bound by run() {by_run:.1f}", file=sys.stderr)
    print(http, before > 30 > 10 > by_run)
PY

seen=$("$work/venv/bin/python" "$work/delay.py")
[ "$seen" = "h11 True
httptools True" ]
