"""A file server on loopback that speaks the hub's routes, and misbehaves on demand.

    with serve({"org/name": Repo(folder)}) as server:
        ...  # HF_ENDPOINT=server.url
        server.requests  # what was asked: method, path, range

As on the real hub, large files (LFS) are redirected to another place, from where they are sent with ranges.
"""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LFS_SUFFIXES = {".safetensors", ".bin", ".model", ".spm"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repo:
    folder: Path
    revisions: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})  # branch or tag -> commit
    gated: bool = False
    status: int | None = None  # answer everything with this one


@dataclass
class Fault:
    """What goes wrong with the body of a file, `times` times."""

    cut_after: int | None = None  # bytes
    corrupt: bool = False
    times: int = 1


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None


@dataclass
class HubServer:
    repos: dict[str, Repo]
    faults: dict[str, Fault] = field(default_factory=dict)  # by file name
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def bodies(self) -> list[str]:
        """Names of the files whose content was sent, in order."""
        return [r.path.rsplit("/", 1)[1] for r in self.requests if r.method == "GET" and not r.path.startswith("/api/")]


@contextlib.contextmanager
def serve(repos: dict[str, Repo]) -> Iterator[HubServer]:
    state = HubServer(repos)
    handler = type("Handler", (_Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        state.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append(Request(self.command, path, self.headers.get("Range")))
        parts = path.strip("/").split("/")
        try:
            match parts:
                case ["api", "models", org, name]:
                    self._info(f"{org}/{name}", "main")
                case ["api", "models", org, name, "revision", revision]:
                    self._info(f"{org}/{name}", revision)
                case [org, name, "resolve", revision, file]:
                    self._resolve(f"{org}/{name}", revision, file)
                case ["lfs", org, name, file]:
                    self._send_file(self.state.repos[f"{org}/{name}"].folder / file, {})
                case _:
                    self._send(404)
        except _HttpError as error:
            self._send(error.status, {"X-Error-Code": error.code, "X-Error-Message": error.code})

    def _find(self, repo_id: str, revision: str) -> tuple[Repo, str]:
        repo = self.state.repos.get(repo_id)
        if repo is None:
            raise _HttpError(401, "RepoNotFound")  # the hub does not tell strangers what exists
        if repo.status:
            raise _HttpError(repo.status, "")
        commit = repo.revisions.get(revision, revision if revision in repo.revisions.values() else None)
        if commit is None:
            raise _HttpError(404, "RevisionNotFound")
        return repo, commit

    def _info(self, repo_id: str, revision: str) -> None:
        repo, commit = self._find(repo_id, revision)
        files = sorted(path for path in repo.folder.iterdir() if path.is_file())
        info = {"_id": "0", "id": repo_id, "modelId": repo_id, "sha": commit, "private": False, "tags": []}
        info |= {"downloads": 0, "likes": 0, "siblings": [_sibling(path) for path in files]}
        self._send(200, {"Content-Type": "application/json"}, json.dumps(info).encode())

    def _resolve(self, repo_id: str, revision: str, file: str) -> None:
        repo, commit = self._find(repo_id, revision)
        if repo.gated:
            raise _HttpError(403, "GatedRepo")
        path = repo.folder / file
        if not path.is_file():
            raise _HttpError(404, "EntryNotFound")
        headers = {"X-Repo-Commit": commit}
        if path.suffix not in LFS_SUFFIXES:
            self._send_file(path, headers | {"ETag": f'"{git_blob_id(path)}"'})
            return
        elsewhere = self.state.url.replace("127.0.0.1", "localhost")  # to a client another host
        linked = {"X-Linked-Size": str(path.stat().st_size), "X-Linked-ETag": f'"{sha256(path)}"'}
        self._send(302, headers | linked | {"Location": f"{elsewhere}/lfs/{repo_id}/{file}"})

    def _send_file(self, path: Path, headers: dict[str, str]) -> None:
        data = path.read_bytes()
        fault = self.state.faults.get(path.name) if self.command == "GET" else None
        if fault and fault.times > 0:
            fault.times -= 1
        else:
            fault = None
        if fault and fault.corrupt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        headers |= {"Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(206 if start else 200, headers, data[start:], fault.cut_after if fault else None)

    def _send(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", cut_after: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:cut_after])
        if cut_after is not None:
            self.wfile.flush()
            self.close_connection = True


class _HttpError(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def _sibling(path: Path) -> dict[str, object]:
    size = path.stat().st_size
    entry: dict[str, object] = {"rfilename": path.name, "size": size, "blobId": git_blob_id(path)}
    if path.suffix in LFS_SUFFIXES:
        entry["lfs"] = {"sha256": sha256(path), "size": size, "pointerSize": 133}
    return entry


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def git_blob_id(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
