"""What is written beside its place appears there whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quartet import staging
from quartet.staging import remove_abandoned, remove_at_once, staged_file, staged_folder


def names(folder):
    return {path.name for path in folder.iterdir()}


def fail(staged):
    with staged as staging:
        (staging / "file" if staging.is_dir() else staging).write_text("new")
        raise KeyError


def test_a_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "below" / "target"
    with staged_folder(target) as staging:
        (staging / "file").write_text("new")
        assert not target.exists()
        assert staging.parent.parent == target.parent
    assert (target / "file").read_text() == "new"
    assert names(target.parent) == {"target"}


@pytest.mark.parametrize("replace", [False, True])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, replace):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "file").write_text("old")
    with pytest.raises(KeyError):
        fail(staged_folder(tmp_path / "target", replace))
    assert (tmp_path / "target" / "file").read_text() == "old"
    assert names(tmp_path) == {"target"}


@pytest.mark.parametrize(("replace", "expected"), [(False, "old"), (True, "new")])
def test_a_folder_that_is_there(tmp_path, replace, expected):
    with staged_folder(tmp_path / "target", replace) as staging:
        (staging / "file").write_text("new")
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "file").write_text("old")
    assert (tmp_path / "target" / "file").read_text() == expected
    assert names(tmp_path) == {"target"}


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "target").write_text("a file")
    with pytest.raises(OSError), staged_folder(tmp_path / "target"):  # noqa: PT011 - which one is the system's to say
        pass
    assert names(tmp_path) == {"target"}


def test_a_file(tmp_path):
    target = tmp_path / "below" / "target.json"
    for content in ("one", "two"):
        with staged_file(target) as staging:
            staging.write_text(content)
        assert target.read_text() == content
    with pytest.raises(KeyError):
        fail(staged_file(target))
    assert target.read_text() == "two"
    assert names(target.parent) == {"target.json"}


# ---- what interrupted processes leave -------------------------------------------------------------------------------

BEGIN = """
import sys, time
from pathlib import Path
from quartet.staging import staged_folder
with staged_folder(Path(sys.argv[1]), replace=True) as staging:
    (staging / "file").write_text("half")
    print("begun", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def busy(tmp_path):
    """A process that is writing to `target`."""
    environment = os.environ | {"PYTHONPATH": str(Path(staging.__file__).parents[1])}
    command = [sys.executable, "-c", BEGIN, str(tmp_path / "target")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"begun\n"
        yield process
        process.kill()


def partial(folder):
    return [path for path in folder.iterdir() if path.name.endswith(".partial")]


@pytest.mark.skipif(os.name == "nt", reason="folders have no locks there")
def test_what_a_killed_process_leaves_goes_with_the_next_one(tmp_path, busy):
    assert len(partial(tmp_path)) == 1
    with staged_folder(tmp_path / "target") as folder:
        (folder / "file").write_text("whole")
        assert len(partial(tmp_path)) == 2  # the other process is at it
    assert remove_abandoned(tmp_path) == 0
    busy.kill()
    busy.wait()
    (left,) = partial(tmp_path)
    with staged_file(tmp_path / "another") as file:
        file.touch()
        assert left.is_dir()  # of another target
    with staged_folder(tmp_path / "target"):
        assert not left.exists()


@pytest.mark.skipif(os.name == "nt", reason="folders have no locks there")
def test_leftovers_of_all_targets_and_nothing_else(tmp_path):
    for name in (
        ".a.abcdefgh.partial",
        ".b.c.12345678.partial",
        ".mine.partial",
        ".a.abcdefgh.part",
        "abcdefgh.partial",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"1234567")
    (tmp_path / ".d.abcdefgh.partial").write_text("a file")
    (tmp_path / ".e.abcdefgh.partial").symlink_to(tmp_path / ".mine.partial")
    assert remove_abandoned(tmp_path, "b.c") == 7
    assert remove_abandoned(tmp_path) == 7
    left = {".mine.partial", ".a.abcdefgh.part", "abcdefgh.partial", ".d.abcdefgh.partial", ".e.abcdefgh.partial"}
    assert names(tmp_path) == left
    assert remove_abandoned(tmp_path / "missing") == 0


def test_without_locks_age_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "_locked", lambda folder: None)
    (tmp_path / ".target.abcdefgh.partial").mkdir()
    assert remove_abandoned(tmp_path) == 0
    assert partial(tmp_path)
    os.utime(tmp_path / ".target.abcdefgh.partial", (0, 0))
    remove_abandoned(tmp_path)
    assert not partial(tmp_path)


@pytest.mark.parametrize("replaced", [True, False])
def test_a_folder_whose_replacement_never_came_is_put_back(tmp_path, replaced):
    old = tmp_path / ".target.abcdefgh.old"
    old.mkdir()
    (old / "file").write_text("old")
    if replaced:
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "file").write_text("new")
    remove_abandoned(tmp_path)
    assert names(tmp_path) == {"target"}
    assert (tmp_path / "target" / "file").read_text() == ("new" if replaced else "old")


@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_is_replaced_at_once_where_the_system_can(tmp_path, monkeypatch, at_once):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    if at_once and not sys.platform.startswith("linux"):
        pytest.skip("of Linux")
    if at_once:  # at no moment is there no folder of this name
        monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("renamed"))
    else:
        monkeypatch.setattr(staging, "_exchanged", lambda *_: False)
    with staged_folder(tmp_path / "target", replace=True) as new:
        (new / "new").touch()
    assert names(tmp_path) == {"target"}
    assert names(tmp_path / "target") == {"new"}


def test_what_is_removed_at_once(tmp_path):
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "file").touch()
    for name in ("folder", "link", "file"):
        remove_at_once(tmp_path / name)
    assert names(tmp_path) == {"kept"}
    with pytest.raises(FileNotFoundError):
        remove_at_once(tmp_path / "missing")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the system for the names of open files")
@pytest.mark.parametrize("replace", [False, True])
def test_everything_is_on_the_disk_before_it_appears(tmp_path, monkeypatch, replace):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    target = tmp_path / "target"
    if replace:
        target.mkdir()
    with staged_folder(target, replace) as folder:
        (folder / "below").mkdir()
        (folder / "below" / "file").write_text("new")
        assert synced == []
    assert synced[-1] == tmp_path  # the new name
    assert {path.name for path in synced[:-1]} == {"target", "below", "file"}
    assert all(".partial" in str(path) for path in synced[:-1])
    synced.clear()
    with staged_file(tmp_path / "one") as file:
        file.write_text("new")
    assert [path.name for path in synced] == ["one", tmp_path.name]
    assert ".partial" in str(synced[0])
