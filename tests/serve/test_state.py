"""What all workers of a server know, and what is left of it when one is killed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from quartet.serve.deepl import Usage
from quartet.serve.deepl_documents import Documents
from quartet.serve.files import Files
from quartet.serve.limits import hashed
from quartet.serve.service import Client
from quartet.serve.state import State, Worker, folder_of_a_server
from quartet.serve.web import ApiError

ALICE = Client("alice")


COUNT = """
from quartet.serve.deepl import Usage
from quartet.serve.deepl_documents import Documents
from quartet.serve.service import Client
usage = Usage(State(folder))
for _ in range(50):
    usage.add(Client("alice"), 1)
"""
DIE = """
with State(folder).changing() as database:
    database.execute("UPDATE usage SET characters = 0")
    os.kill(os.getpid(), signal.SIGKILL)
"""
STAY = """
with folder_of_a_server() as own:
    print(own, flush=True)
    input()
"""


def process(script: str, folder: Path) -> subprocess.Popen[str]:
    """Another process of this machine."""
    begin = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom quartet.serve.state import State, folder_of_a_server\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(folder)}
    command = [sys.executable, "-c", f"{begin}folder = Path(sys.argv[1])\n{script}", str(folder)]
    return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_nothing_is_lost_between_threads_and_processes(tmp_path):
    usage = Usage(State(tmp_path))
    with process(COUNT, tmp_path) as other, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: usage.add(ALICE, 1), range(50)))
        assert other.wait(60) == 0
    assert usage.of(ALICE) == 100
    assert usage.of(Client("bob")) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_who_is_killed_in_the_middle_of_a_change_has_changed_nothing(tmp_path):
    Usage(State(tmp_path)).add(ALICE, 3)
    with process(DIE, tmp_path) as other:
        assert other.wait(60) == -signal.SIGKILL
    usage = Usage(State(tmp_path))
    usage.add(ALICE, 1)  # nothing is locked
    assert usage.of(ALICE) == 4


def test_what_raises_changes_nothing(tmp_path):
    state = State(tmp_path)
    usage = Usage(state)
    usage.add(ALICE, 7)

    def fail():
        with state.changing() as database:
            database.execute("UPDATE usage SET characters = 0")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert usage.of(ALICE) == 7


def test_usage_of_those_who_were_longest_away_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("quartet.serve.deepl.MOST_CLIENTS", 2)
    state = State(tmp_path)
    usage = Usage(state)
    for name in ("alice", "bob", "alice", "carol"):
        usage.add(Client(name), 1)
    state.expire()
    assert [usage.of(Client(name)) for name in ("alice", "bob", "carol")] == [2, 0, 1]


def test_a_file_is_there_for_all_workers_until_it_expires(tmp_path):
    state = State(tmp_path)
    files, others = Files(state), Files(State(tmp_path))
    name = files.put("a/../b.txt", "text\r\n")
    assert Path(others.response(name).path).read_bytes() == b"text\r\n"
    expired = Files(state, kept_for=0).put("c.txt", "text")
    with pytest.raises(ApiError, match="not any more"):
        others.response(expired)
    state.expire()
    assert [path.name for path in (tmp_path / "files").iterdir()] == [name]


def test_documents_that_a_killed_worker_had_begun_are_told_to_be_interrupted(tmp_path):
    def documents(number: int) -> Documents:
        state = State(tmp_path)
        service = SimpleNamespace(state=state, worker=Worker(number, 2, tmp_path))
        return Documents(service, Files(state), Usage(state))

    for number in (0, 1):
        documents(number)
        with State(tmp_path).changing() as database:
            row = f"ID{number}", hashed("key"), time.monotonic() + 60, number, 5, None, None
            database.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    again = documents(1)  # in place of one that was killed
    assert again.find("ID0", "key").status == "translating"
    assert again.find("ID1", "key").status == "error"
    assert "send the document again" in again.find("ID1", "key").error
    for name, key in (("ID1", "other"), ("ID2", "key")):
        with pytest.raises(ApiError, match="no such document"):
            again.find(name, key)


@pytest.mark.parametrize("name", ["", ".", "..", "../state.db", "/etc/passwd", "x" * 5000, "a\0b"])
def test_other_names_are_no_files(tmp_path, name):
    with pytest.raises(ApiError, match="no such file"):
        Files(State(tmp_path)).response(name)


def test_its_own_folder_goes_with_it():
    state = State()
    Files(state).put("a.txt", "text")
    assert state.folder.is_dir()
    state.close()
    assert not state.folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_what_a_killed_server_left_goes_when_the_next_one_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with process(STAY, tmp_path) as other:
        left = Path(other.stdout.readline().strip())
        with folder_of_a_server():
            assert left.is_dir()  # it lives
        other.kill()
    with folder_of_a_server() as own:
        assert not left.exists()
        assert own.is_dir()
    assert not list(tmp_path.iterdir())
