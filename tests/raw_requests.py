"""Requests as they go over a connection, for what no client would do."""

import socket
from urllib.parse import urlsplit


def raw(address: str, content: bytes) -> socket.socket:
    """A connection on which something was sent."""
    where = urlsplit(address)
    connection = socket.create_connection((where.hostname, where.port), timeout=120)
    connection.sendall(content)
    return connection


def post(path: str, body: bytes, announced: int | None = None, more: str = "") -> bytes:
    """A request as bytes; `announced` is the length that it tells, `more` are lines of its head."""
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {announced or len(body)}\r\n\r\n".encode() + body


def accepted(address: str, path: str, body: bytes) -> socket.socket:
    """A connection with a request that the server is at work on: it has asked for its body, which was sent."""
    connection = raw(address, post(path, b"", len(body), "Expect: 100-continue\r\n"))
    connection.settimeout(120)
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
    connection.sendall(body)
    return connection


def status_of(connection: socket.socket) -> int:
    """Of the answer; what follows stays unread."""
    with connection:
        return int(connection.recv(1000).split(b" ")[1])
