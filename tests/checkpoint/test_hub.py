"""The download runs in child processes: huggingface_hub reads its environment when it is imported."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub_server import COMMIT, Fault, HubServer, Repo, serve

SCRIPT = """
import json, sys
from quartet.checkpoint.hub import download
from quartet.errors import QuartetError
for line in sys.stdin:
    try:
        folder, commit = download(*json.loads(line), known=["org/tiny"])
        print(json.dumps([str(folder), commit, ""]), flush=True)
    except QuartetError as error:
        print(json.dumps(["", type(error).__name__, str(error)]), flush=True)
"""
CLOSED = "http://127.0.0.1:9"
SMALL = {
    "config.json": b'{"model_type": "marian"}',
    "generation_config.json": b"{}",
    "README.md": b"---\nlicense: mit\n---\n",
    "source.spm": b"source pieces",
    "vocab.json": b'{"</s>": 0}',
}
WEIGHTS = bytes(range(256)) * 2000
OTHER_COMMIT = "f" * 40


@dataclass(frozen=True)
class Outcome:
    folder: Path
    commit: str  # or the error's class
    message: str


class Client:
    """A process that downloads what it is asked for."""

    def __init__(self, home: Path, **env: str) -> None:
        settings = {"HF_HOME": str(home), "NO_PROXY": "*", "HF_HUB_DISABLE_TELEMETRY": "1"}
        settings["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        command = [sys.executable, "-c", SCRIPT]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=os.environ | settings | env, stdin=pipe, stdout=pipe, text=True)

    def download(self, repo: str, revision: str | None = None) -> Outcome:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([repo, revision]) + "\n")
        self.process.stdin.flush()
        folder, commit, message = json.loads(self.process.stdout.readline())
        assert "\n" not in message
        return Outcome(Path(folder), commit, message)

    def close(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with serve({}) as server:
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def client(hub: HubServer, home: Path) -> Iterator[Client]:
    client = Client(home, HF_ENDPOINT=hub.url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def offline(hub: HubServer, home: Path) -> Iterator[Client]:
    client = Client(home, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    yield client
    client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the small files and some that nobody needs, but without weights."""
    folder = tmp_path / "repo"
    folder.mkdir()
    for name, data in (SMALL | {"tf_model.h5": b"tensorflow", "rust_model.ot": b"rust", ".gitattributes": b""}).items():
        (folder / name).write_bytes(data)
    return folder


def test_fetches_exactly_what_is_needed_and_only_once(hub, client, offline, folder):
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "pytorch_model.bin").write_bytes(b"the same again")
    hub.repos["org/plain"] = Repo(folder)
    hub.requests.clear()
    outcome = client.download("org/plain")
    assert (outcome.commit, outcome.message) == (COMMIT, "")
    assert sorted(hub.bodies()) == sorted([*SMALL, "model.safetensors"])
    assert hub.bodies()[-1] == "model.safetensors"
    assert (outcome.folder / "model.safetensors").read_bytes() == WEIGHTS

    hub.requests.clear()
    assert client.download("org/plain") == outcome
    assert offline.download("org/plain") == outcome
    assert hub.bodies() == []


def test_a_model_of_ctranslate2(hub, client, offline, folder):
    files = {"model.bin": WEIGHTS, "shared_vocabulary.json": b"[]", "sentencepiece.model": b"pieces"}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    hub.repos["org/ct2"] = Repo(folder)
    hub.requests.clear()
    outcome = client.download("org/ct2")
    assert sorted(hub.bodies()) == sorted([*SMALL, *files])
    assert hub.bodies()[-1] == "model.bin"
    assert offline.download("org/ct2") == outcome


def test_offline_and_unreachable_serve_what_is_complete(hub, client, offline, folder, home):
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    hub.repos["org/cached"] = Repo(folder)
    outcome = client.download("org/cached")
    hub.repos["org/cached"].status = 503
    assert client.download("org/cached") == outcome
    unreachable = Client(home, HF_ENDPOINT=CLOSED)
    assert unreachable.download("org/cached") == outcome
    missing = unreachable.download("org/missing")
    unreachable.close()
    assert missing.commit == "DownloadError"
    assert "no connection to the hub" in missing.message

    for repo, revision in (("org/missing", None), ("org/cached", "v2")):
        refused = offline.download(repo, revision)
        assert refused.commit == "DownloadError"
        assert "HF_HUB_OFFLINE" in refused.message
    (outcome.folder / "model.safetensors").unlink()
    assert "not completely in the cache" in offline.download("org/cached").message


def test_a_cut_connection_is_resumed_where_it_broke(hub, client, folder):
    weights = WEIGHTS * 48  # more than huggingface_hub's chunk of 10 MiB: what arrived of a chunk is not kept
    cut = 13_000_000
    (folder / "pytorch_model.bin").write_bytes(weights)
    hub.repos["org/cut"] = Repo(folder)
    hub.faults["pytorch_model.bin"] = Fault(cut_after=cut)
    hub.requests.clear()
    outcome = client.download("org/cut")
    whole, rest = (r.range for r in hub.requests if r.method == "GET" and r.path.endswith("/pytorch_model.bin"))
    assert (outcome.folder / "pytorch_model.bin").read_bytes() == weights
    assert whole in (None, "bytes=0-")
    assert 0 < int(rest.removeprefix("bytes=").removesuffix("-")) <= cut


def test_a_damaged_file_is_fetched_again_and_refused_the_second_time(hub, client, folder):
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    hub.repos["org/damaged"] = Repo(folder)
    hub.faults["model.safetensors"] = Fault(corrupt=True, times=2)
    refused = client.download("org/damaged")
    assert refused.commit == "DownloadError"
    assert "model.safetensors of org/damaged arrived damaged" in refused.message

    hub.faults["model.safetensors"] = Fault(corrupt=True, times=1)
    outcome = client.download("org/damaged")
    assert (outcome.folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_small_file_is_checked_too(hub, client, folder):
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    hub.repos["org/small"] = Repo(folder)
    hub.faults["vocab.json"] = Fault(corrupt=True, times=1)
    outcome = client.download("org/small")
    assert (outcome.folder / "vocab.json").read_bytes() == SMALL["vocab.json"]


def test_rot_in_the_cache_is_noticed(hub, client, folder):
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    hub.repos["org/rot"] = Repo(folder)
    (client.download("org/rot").folder / "model.safetensors").write_bytes(WEIGHTS[::-1])
    assert (client.download("org/rot").folder / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.json"])
def test_rot_in_the_cache_is_noticed_without_the_hub_too(name, hub, client, offline, folder):
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    hub.repos[f"org/rot-{name}"] = Repo(folder)
    path = client.download(f"org/rot-{name}").folder / name
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.resolve().write_bytes(data)
    refused = offline.download(f"org/rot-{name}")
    assert refused.commit == "DownloadError"
    assert f"{name} is damaged: its hash is not the one that the hub listed. Delete {path.resolve()}" in refused.message


def test_shards_and_revisions(hub, client, offline, folder):
    shards = {f"model-0000{i}-of-00002.safetensors": WEIGHTS[i:] for i in (1, 2)}
    index = {"weight_map": dict(zip("ab", shards, strict=True))}
    others = {"pytorch_model.bin": b"not this", "model-00003-of-00003.safetensors": b"nor this"}
    for name, data in ({"model.safetensors.index.json": json.dumps(index).encode()} | shards | others).items():
        (folder / name).write_bytes(data)
    hub.repos["org/shards"] = Repo(folder, {"main": COMMIT, "v1": OTHER_COMMIT})
    hub.requests.clear()
    main, tag, commit = (client.download("org/shards", revision) for revision in (None, "v1", OTHER_COMMIT))
    expected = sorted([*SMALL, "model.safetensors.index.json", *shards])
    assert sorted(hub.bodies()) == expected  # the second revision has the same files: they are not sent again
    assert [main.commit, tag.commit] == [COMMIT, OTHER_COMMIT]
    assert tag == commit
    assert sorted(path.name for path in tag.folder.iterdir()) == expected
    (tag.folder / "model-00002-of-00002.safetensors").unlink()
    assert offline.download("org/shards") == main
    assert "not completely in the cache" in offline.download("org/shards", "v1").message


def test_every_refusal_is_one_clear_line(hub, client, folder, tmp_path):
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    contents = {
        "org/no-config": {"model.safetensors": WEIGHTS},
        "org/no-weights": SMALL,
        "org/bad-index": SMALL | {"model.safetensors.index.json": b'{"weight_map": {"a": "../../secret.bin"}}'},
        "org/no-index": SMALL | {"model.safetensors.index.json": b"[]"},
    }
    for name, files in contents.items():
        (tmp_path / name).mkdir(parents=True)
        for file, data in files.items():
            (tmp_path / name / file).write_bytes(data)
        hub.repos[name] = Repo(tmp_path / name)
    hub.repos |= {
        "org/gated": Repo(folder, gated=True),
        "org/down": Repo(folder, status=500),
        "org/forbidden": Repo(folder, status=403),
    }
    expected = {
        ("org/tyni", None): ("ModelNotFoundError", "no model org/tyni", "did you mean org/tiny?"),
        ("org/gated", "v9"): ("ModelNotFoundError", "org/gated has no revision 'v9'"),
        ("org/gated", None): ("DownloadError", "org/gated", "accept its terms"),
        ("org/down", None): ("DownloadError", "org/down", "HTTP status 500"),
        ("org/forbidden", None): ("DownloadError", "refuses the login", "HTTP status 403"),
        ("org/no-config", None): ("CheckpointError", "org/no-config", "no config.json"),
        ("org/no-weights", None): ("CheckpointError", "org/no-weights", "no weights"),
        ("org/bad-index", None): ("CheckpointError", "names ../../secret.bin"),
        ("org/no-index", None): ("CheckpointError", "is no index of weights"),
        ("org/na--me", None): ("ModelNotFoundError", "org/na--me"),
    }
    for wanted, (kind, *parts) in expected.items():
        outcome = client.download(*wanted)
        assert outcome.commit == kind
        assert all(part in outcome.message for part in parts), outcome.message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["adapter_config.json", "adapter_model.safetensors"],
            r"no config\.json, but adapter_config\.json, .*: merge it",
        ),
        (["config.json", "onnx/model.onnx"], r"no weights .*: it has onnx/model\.onnx, .*: export it with optimum-cli"),
        (["config.json", "model.Q4_K.gguf"], r"no weights .*: it has model\.Q4_K\.gguf, llama\.cpp's"),
        (["config.json", "notes.txt"], r"CTranslate2's model\.bin\)$"),
    ],
)
def test_what_a_repository_has_instead_is_named(names, message):
    from quartet.checkpoint.hub import Listing, RemoteFile, _first_weights
    from quartet.errors import CheckpointError

    listing = Listing("org/x", None, COMMIT, {name: RemoteFile(name, 1, None, None) for name in names})
    with pytest.raises(CheckpointError, match=message):
        _first_weights(listing)


def test_errors_of_disk_and_socket(monkeypatch, tmp_path):
    from quartet.checkpoint import hub
    from quartet.errors import DownloadError

    usage = type("Usage", (), {"free": 5_000_000})
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda folder: usage)
    hub._check_space("org/tiny", 5_000_000)
    with pytest.raises(DownloadError, match=r"no space for org/tiny: it needs 0\.01 GB .* 0\.01 GB are free"):
        hub._check_space("org/tiny", 5_000_001)
    full = hub.explain(OSError(errno.ENOSPC, "No space left on device"), "org/tiny", None)
    denied = hub.explain(PermissionError(errno.EACCES, "Permission denied"), "org/tiny", None)
    assert "is full" in str(full)
    assert "cannot be written: Permission denied" in str(denied)
    reset = hub.explain(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "org/tiny", None)
    assert "no connection to the hub, or it broke (ConnectionResetError" in str(reset)
