#!/usr/bin/env bash
# uvicorn closes WebSockets of clients that are well, with 1011 "keepalive ping timeout", where the application takes
# longer over a message than ws_ping_interval + ws_ping_timeout (20 s each by default) while the client goes on sending.
# Until the application asks for the next message uvicorn stops reading from the connection, and the client's answer to
# the ping waits there, behind its messages. A client that sends nothing meanwhile stays: its answer is read. So what
# looks like a network fault depends on how much a client sends: sound for a model that needs some time, for instance.
#
# uvicorn 0.54.0 with websockets 17.4 (its default), Python 3.11. Seen with both times at 1 s, and 4 s over the first
# message:
#   one message: open
#   five messages: closed with 1011
#   five messages, no timeout of pings: open
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q uvicorn==0.54.0 websockets==17.4

cat > "$work/slow.py" <<'PY'
import asyncio
import threading
import time

import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    await asyncio.sleep(4)
    while (await receive())["type"] != "websocket.disconnect":
        pass


def ends(messages, timeout):
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off", ws_ping_interval=1, ws_ping_timeout=timeout)
    socket, server = config.bind_socket(), uvicorn.Server(config)
    threading.Thread(target=server.run, args=([socket],), daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    with connect(f"ws://127.0.0.1:{socket.getsockname()[1]}", ping_interval=None) as client:
        for number in range(messages):
            client.send(str(number))
        try:
            client.recv(timeout=6)
        except TimeoutError:
            return "open"
        except ConnectionClosed as closed:
            return f"closed with {closed.rcvd.code}"


print(f"one message: {ends(1, 1)}")
print(f"five messages: {ends(5, 1)}")
print(f"five messages, no timeout of pings: {ends(5, None)}")
PY

seen=$("$work/venv/bin/python" "$work/slow.py" 2> /dev/null)
echo "$seen"
[ "$seen" = "one message: open
five messages: closed with 1011
five messages, no timeout of pings: open" ]
