"""The download runs in child processes: huggingface_hub reads its environment when it is imported."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hub_server import COMMIT, Fault, HubServer, Repo, serve

SCRIPT = """
import json, sys
from quartet.checkpoint.hub import download
from quartet.errors import QuartetError
for repo, revision in json.loads(sys.argv[1]):
    try:
        folder, commit = download(repo, revision, known=["org/tiny"])
        print(json.dumps([str(folder), commit, ""]))
    except QuartetError as error:
        print(json.dumps(["", type(error).__name__, str(error)]))
"""
SMALL = {
    "config.json": b'{"model_type": "marian"}',
    "generation_config.json": b"{}",
    "README.md": b"---\nlicense: mit\n---\n",
    "source.spm": b"source pieces",
    "vocab.json": b'{"</s>": 0}',
}
WEIGHTS = bytes(range(256)) * 2000
OTHER_COMMIT = "f" * 40
OFFLINE = {"HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Outcome:
    folder: Path
    commit: str  # or the error's class
    message: str


def make_repo(folder: Path, **weights: bytes) -> Repo:
    """A repository with the small files, some that nobody needs, and the weights (`__` stands for a dot)."""
    folder.mkdir()
    files = SMALL | {"tf_model.h5": b"tensorflow", "rust_model.ot": b"rust", ".gitattributes": b""}
    for name, data in (files | {name.replace("__", "."): data for name, data in weights.items()}).items():
        (folder / name).write_bytes(data)
    return Repo(folder)


def download(server: HubServer, home: Path, *wanted: tuple[str, str | None], **env: str) -> list[Outcome]:
    settings = {"HF_ENDPOINT": server.url, "HF_HOME": str(home), "NO_PROXY": "*", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(wanted)],
        env=os.environ | settings | env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Outcome(Path(folder), *rest) for folder, *rest in map(json.loads, done.stdout.splitlines())]


def test_fetches_exactly_what_is_needed_and_only_once(tmp_path):
    repo = make_repo(tmp_path / "repo", model__safetensors=WEIGHTS, pytorch_model__bin=b"the same again")
    with serve({"org/tiny": repo}) as server:
        (first,) = download(server, tmp_path / "home", ("org/tiny", None))
        assert (first.commit, first.message) == (COMMIT, "")
        assert sorted(server.bodies()) == sorted([*SMALL, "model.safetensors"])
        assert server.bodies()[-1] == "model.safetensors"
        assert (first.folder / "model.safetensors").read_bytes() == WEIGHTS

        server.requests.clear()
        again, offline = (download(server, tmp_path / "home", ("org/tiny", None), **env)[0] for env in ({}, OFFLINE))
        assert again == offline == first
        assert server.bodies() == []


def test_without_a_network_the_cache_serves_what_is_complete(tmp_path):
    repo = make_repo(tmp_path / "repo", model__safetensors=WEIGHTS)
    with serve({"org/tiny": repo}) as server:
        (first,) = download(server, tmp_path / "home", ("org/tiny", None))
        never, at_tag = download(server, tmp_path / "home", ("org/other", None), ("org/tiny", "v2"), **OFFLINE)
        assert never.commit == at_tag.commit == "DownloadError"
        assert "HF_HUB_OFFLINE" in never.message
        repo.status = 503
        (down,) = download(server, tmp_path / "home", ("org/tiny", None))
    gone, new = download(server, tmp_path / "home", ("org/tiny", None), ("org/other", None))
    assert down == gone == first
    assert new.commit == "DownloadError"
    assert "no connection to the hub" in new.message
    assert "\n" not in new.message
    (first.folder / "model.safetensors").unlink()
    (incomplete,) = download(server, tmp_path / "home", ("org/tiny", None), **OFFLINE)
    assert "not completely in the cache" in incomplete.message


def test_a_cut_connection_is_resumed_where_it_broke(tmp_path):
    weights = WEIGHTS * 48  # more than huggingface_hub's chunk of 10 MiB: what arrived of a chunk is not kept
    cut = 13_000_000
    with serve({"org/tiny": make_repo(tmp_path / "repo", pytorch_model__bin=weights)}) as server:
        server.faults["pytorch_model.bin"] = Fault(cut_after=cut)
        (outcome,) = download(server, tmp_path / "home", ("org/tiny", None))
        whole, rest = (r.range for r in server.requests if r.method == "GET" and r.path.endswith("/pytorch_model.bin"))
    assert (outcome.folder / "pytorch_model.bin").read_bytes() == weights
    assert whole in (None, "bytes=0-")
    assert 0 < int(rest.removeprefix("bytes=").removesuffix("-")) <= cut


def test_a_damaged_file_is_fetched_again_and_refused_the_second_time(tmp_path):
    repos = {
        name: make_repo(tmp_path / name.replace("/", "-"), **{f"{file}": WEIGHTS})
        for name, file in (("org/once", "model__safetensors"), ("org/always", "pytorch_model__bin"))
    }
    with serve(repos) as server:
        server.faults["model.safetensors"] = Fault(corrupt=True, times=1)
        server.faults["pytorch_model.bin"] = Fault(corrupt=True, times=2)
        once, always = download(server, tmp_path / "home", ("org/once", None), ("org/always", None))
        assert (once.folder / "model.safetensors").read_bytes() == WEIGHTS
        assert always.commit == "DownloadError"
        assert "pytorch_model.bin of org/always arrived damaged" in always.message

        server.faults["vocab.json"] = Fault(corrupt=True, times=1)  # small files have git's hash
        (later,) = download(server, tmp_path / "home2", ("org/always", None))
    assert (later.folder / "vocab.json").read_bytes() == SMALL["vocab.json"]
    assert (later.folder / "pytorch_model.bin").read_bytes() == WEIGHTS


def test_rot_in_the_cache_is_noticed(tmp_path):
    with serve({"org/tiny": make_repo(tmp_path / "repo", model__safetensors=WEIGHTS)}) as server:
        (first,) = download(server, tmp_path / "home", ("org/tiny", None))
        (first.folder / "model.safetensors").write_bytes(WEIGHTS[::-1])
        (second,) = download(server, tmp_path / "home", ("org/tiny", None))
    assert (second.folder / "model.safetensors").read_bytes() == WEIGHTS


def test_shards_and_revisions(tmp_path):
    shards = {f"model-0000{i}-of-00002.safetensors": WEIGHTS[i:] for i in (1, 2)}
    index = json.dumps(
        {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    )
    repo = make_repo(tmp_path / "repo", model__safetensors__index__json=index.encode(), pytorch_model__bin=b"not this")
    for name, data in (shards | {"model-00003-of-00003.safetensors": b"nor this"}).items():
        (repo.folder / name).write_bytes(data)
    repo.revisions["v1"] = OTHER_COMMIT
    with serve({"org/tiny": repo}) as server:
        main, tag, commit = download(
            server, tmp_path / "home", ("org/tiny", None), ("org/tiny", "v1"), ("org/tiny", OTHER_COMMIT)
        )
        expected = sorted([*SMALL, "model.safetensors.index.json", *shards])
        assert (
            sorted(server.bodies()) == expected
        )  # the second revision has the same files, and they are not sent again
        assert [main.commit, tag.commit] == [COMMIT, OTHER_COMMIT]
        assert tag == commit
        assert sorted(path.name for path in tag.folder.iterdir()) == expected
        (tag.folder / "model-00002-of-00002.safetensors").unlink()
        offline, broken = download(server, tmp_path / "home", ("org/tiny", None), ("org/tiny", "v1"), **OFFLINE)
    assert offline == main
    assert "not completely in the cache" in broken.message


def test_every_refusal_is_one_clear_line(tmp_path):
    no_weights = make_repo(tmp_path / "no-weights")
    no_config = make_repo(tmp_path / "no-config", model__safetensors=WEIGHTS)
    (no_config.folder / "config.json").unlink()
    index = b'{"weight_map": {"a": "../../secret.bin"}}'
    bad_index = make_repo(tmp_path / "bad-index", model__safetensors__index__json=index)
    gated = make_repo(tmp_path / "gated", model__safetensors=WEIGHTS)
    gated.gated = True
    repos = {
        "org/no-weights": no_weights,
        "org/no-config": no_config,
        "org/bad-index": bad_index,
        "org/gated": gated,
        "org/down": Repo(tmp_path, status=500),
        "org/forbidden": Repo(tmp_path, status=403),
    }
    expected = {
        ("org/tyni", None): ("ModelNotFoundError", "no model org/tyni", "did you mean org/tiny?"),
        ("org/gated", "v9"): ("ModelNotFoundError", "org/gated has no revision 'v9'"),
        ("org/gated", None): ("DownloadError", "accept its terms"),
        ("org/down", None): ("DownloadError", "org/down", "HTTP status 500"),
        ("org/forbidden", None): ("DownloadError", "refuses the login", "HTTP status 403"),
        ("org/no-config", None): ("CheckpointError", "org/no-config", "no config.json"),
        ("org/no-weights", None): ("CheckpointError", "org/no-weights", "no weights"),
        ("org/bad-index", None): ("CheckpointError", "names ../../secret.bin"),
        ("org/na--me", None): ("ModelNotFoundError", "org/na--me"),
    }
    with serve(repos) as server:
        outcomes = download(server, tmp_path / "home", *expected)
    for outcome, (kind, *parts) in zip(outcomes, expected.values(), strict=True):
        assert outcome.commit == kind
        assert all(part in outcome.message for part in parts), outcome.message
        assert "\n" not in outcome.message


def test_the_disk_is_full(monkeypatch, tmp_path):
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
