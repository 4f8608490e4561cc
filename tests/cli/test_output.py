"""An output is there when it is complete, and what was there before is as it was until then."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.cli.output import opened
from quartet.cli.part_file import PartFile
from quartet.errors import OptionError, OutputError

FACTS = {"input": "abc", "--beam-size": 1, "--to": None}
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


@pytest.fixture
def old(tmp_path) -> Path:
    path = tmp_path / "out.txt"
    path.write_text("old")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def state_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part.state")


def interrupted(path: Path, *steps: str, facts=FACTS) -> BaseException:
    """A run that ends with Ctrl-C in the middle of the last step."""
    with pytest.raises(KeyboardInterrupt) as stop, opened(path) as out:  # noqa: PT012
        out.begin(facts, False)
        for done, text in enumerate(steps, 1):
            out.write(text)
            if done < len(steps):
                out.done(done)
        raise KeyboardInterrupt
    return stop.value


# ---- replaced at the end ----


def test_a_new_file(tmp_path):
    with opened(tmp_path / "out.txt") as out:
        out.begin(None, False)
        out.write("été\n")
        out.write("lone \ud800\n")
    assert (tmp_path / "out.txt").read_bytes() == "été\nlone ?\n".encode()
    assert names(tmp_path) == ["out.txt"]


def test_nothing_written_is_an_empty_file(old):
    with opened(old) as out:
        out.begin(FACTS, False)
    assert old.read_text() == ""
    assert names(old.parent) == ["out.txt"]


def test_an_old_file_is_there_until_the_new_one_is_complete(old):
    with opened(old) as out:
        out.begin(FACTS, False)
        assert names(old.parent) == ["out.txt"]
        out.write("new")
        out.done(1)
        assert old.read_text() == "old"
        assert part_of(old).read_text() == "new"
    assert old.read_text() == "new"
    assert names(old.parent) == ["out.txt"]


def test_an_error_leaves_the_old_file_and_the_part(old):
    error = interrupted(old, "one\n", "half of tw")
    assert error.__notes__ == [f"what is done is in {part_of(old)}; --resume goes on from there"]
    assert (old.read_text(), part_of(old).read_text()) == ("old", "one\nhalf of tw")
    assert interrupted(old, "one\n", facts=None).__notes__ == [f"what is done is in {part_of(old)}"]
    assert not state_of(old).exists(), "nothing is known of this one"


def test_an_error_before_anything_is_written_leaves_everything(old):
    part_of(old).write_text("of an earlier run")
    state_of(old).write_text("too")
    assert not hasattr(interrupted(old), "__notes__")
    assert (old.read_text(), part_of(old).read_text(), state_of(old).read_text()) == ("old", "of an earlier run", "too")


def test_the_part_of_an_earlier_run_is_replaced(old):
    interrupted(old, "a long line of an earlier run\n", "")
    with opened(old) as out:
        out.begin(FACTS, False)
        out.write("new")
        assert part_of(old).exists()
    assert old.read_text() == "new"
    assert names(old.parent) == ["out.txt"]


def test_another_run_takes_the_part_away(old):
    with pytest.raises(OutputError, match=r"out\.txt\.part was removed or replaced by another run"), opened(old) as one:  # noqa: PT012
        one.begin(FACTS, False)
        one.write("one")
        with opened(old) as other:
            other.begin(FACTS, False)
            other.write("other")
        assert old.read_text() == "other"
        one.done(1)
    assert old.read_text() == "other"
    assert names(old.parent) == ["out.txt"]


@posix
def test_permissions_stay(old):
    old.chmod(0o604)
    with opened(old) as out:
        out.write("new")
    assert stat.S_IMODE(old.stat().st_mode) == 0o604


@posix
def test_a_link_stays_and_its_file_is_replaced(old, tmp_path):
    (tmp_path / "folder").mkdir()
    link, dangling = tmp_path / "folder" / "link", tmp_path / "dangling"
    link.symlink_to(Path("..") / old.name)
    dangling.symlink_to(tmp_path / "folder" / "new.txt")
    for path in (link, dangling):
        with opened(path) as out:
            out.write("new")
        assert path.is_symlink()
        assert path.read_text() == "new"
    assert old.read_text() == "new"
    assert names(tmp_path / "folder") == ["link", "new.txt"]


# ---- refused before any work ----


def refused(path: Path, *inputs: Path) -> str:
    with pytest.raises((OutputError, OptionError)) as error, opened(path, *inputs):
        pytest.fail("work was begun")
    return str(error.value)


@posix
def test_the_input_is_no_output(old, tmp_path):
    symbolic, hard = tmp_path / "symbolic", tmp_path / "hard"
    symbolic.symlink_to(old)
    os.link(old, hard)
    for path in (old, symbolic, hard):
        assert refused(path, old) == f"--output {path} is the input itself; name another file"
        assert refused(old, path).endswith("is the input itself; name another file")
    part = part_of(tmp_path / "new.txt")
    part.write_text("input")
    assert "is the input itself" in refused(tmp_path / "new.txt", part), "it would be written over"
    assert old.read_text() == "old"


def test_what_cannot_be_written(old, tmp_path):
    assert refused(tmp_path) == f"--output {tmp_path}: Is a directory"
    assert refused(tmp_path / "no" / "out.txt") == f"--output {tmp_path}/no/out.txt: No such file or directory"
    assert refused(old / "out.txt") == f"--output {old}/out.txt: Not a directory"
    part_of(old).mkdir()
    assert refused(old) == f"--output {old}: out.txt.part beside it is a folder"


UNPRIVILEGED = """
import os, pathlib, sys
sys.path[:0] = sys.argv[2:]
from quartet.cli.output import opened
if os.getuid() == 0:
    os.setuid(65534)
try:
    with opened(pathlib.Path(sys.argv[1])):
        print("work was begun")
except Exception as error:
    print(error)
"""


@posix
@pytest.mark.parametrize("name", ["out.txt", "new.txt"])
def test_without_permission(name):
    folder = Path(tempfile.mkdtemp())  # pytest's own are closed to the user that root becomes
    (folder / "out.txt").write_text("old")
    (folder / "out.txt").chmod(0o444)
    folder.chmod(0o555)
    try:
        command = [sys.executable, "-c", UNPRIVILEGED, str(folder / name), *filter(None, sys.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    why = "Permission denied" if name == "out.txt" else "its folder cannot be written (Permission denied)"
    assert done.stdout == f"--output {os.path.realpath(folder)}/{name}: {why}\n"


# ---- devices and pipes ----

SHORT = """
import pathlib, sys
from quartet.cli.output import opened
with opened(pathlib.Path(sys.argv[1])) as out:
    out.write("new")
"""


@posix
def test_a_pipe_is_written_directly(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE)
    with opened(tmp_path / "pipe") as out:
        assert out.begin(FACTS, False) == 0
        out.write("at once\n")
        out.flush()
        assert reader.stdout.readline() == b"at once\n"
        out.done(1)
    assert reader.communicate() == (b"", None)
    assert names(tmp_path) == ["pipe"]


@posix
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
def test_what_the_shell_has_opened_is_written_directly(name, old, tmp_path):
    if name == "link":
        (tmp_path / name).symlink_to("/dev/stdout")
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    inode = old.stat().st_ino
    with old.open("a") as shell:
        subprocess.run([sys.executable, "-c", SHORT, name], stdout=shell, check=True, env=env, cwd=tmp_path)
    assert (old.read_text(), old.stat().st_ino) == ("oldnew", inode)


def test_nothing_can_be_resumed_on_stdout(capsys):
    with opened(None) as out:
        out.write("text")
        with pytest.raises(OptionError, match="--resume goes on with a file; name it with --output"):
            out.begin(FACTS, True)
    assert capsys.readouterr().out == "text"


# ---- resumed ----


def test_resumed_where_it_ended(old):
    interrupted(old, "one\n", "two\n", "half of th")
    with opened(old) as out:
        assert out.begin(FACTS, True) == 2
        assert part_of(old).read_text() == "one\ntwo\nhalf of th", "nothing changes before something is written"
        out.write("three\n")
        out.done(3)
        assert state_of(old).read_text().splitlines()[1:] == ["1 4", "2 8", "3 14"]
    assert old.read_text() == "one\ntwo\nthree\n"
    assert names(old.parent) == ["out.txt"]


def test_resumed_and_nothing_was_left_to_do(old):
    interrupted(old, "one\n", "half")
    with opened(old) as out:
        assert out.begin(FACTS, True) == 1
    assert old.read_text() == "one\n"


def test_resumed_where_nothing_is_there(old):
    state_of(old).write_text("left alone")
    with opened(old) as out:
        assert out.begin(FACTS, True) == 0
        out.write("all")
    assert old.read_text() == "all"
    assert names(old.parent) == ["out.txt"]


@settings(max_examples=30)  # each waits for the disk
@given(st.data())
def test_resumed_whatever_a_killed_process_left(tmp_path_factory, data):
    """Part and state may be cut anywhere, the state no earlier than in its steps; steps that both hold are kept."""
    path = tmp_path_factory.mktemp("killed") / "out.txt"
    steps = data.draw(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4))
    interrupted(path, *steps, "torn")
    whole, state = part_of(path).read_bytes(), state_of(path).read_bytes()
    part_of(path).write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    state_of(path).write_bytes(state[: data.draw(st.integers(state.index(b"\n") + 1, len(state)))])
    with opened(path) as out:
        done = out.begin(FACTS, True)
        for number, step in enumerate(steps[done:], done + 1):
            out.write(step)
            out.done(number)
    assert path.read_bytes() == "".join(steps).encode("utf-8", "replace")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "nothing says what .*part follows from; delete it, or leave out --resume"),
        ("", "nothing says what"),
        ("[1]\n", "nothing says what"),
        ("{", "nothing says what"),
        ("{}\nno numbers\n", "nothing says what"),
        ('{"input": "abc", "--beam-size": 2, "--to": null}\n', "of another run .other --beam-size.; leave out"),
        ('{"input": "x", "--beam-size": 1, "--to": "fr"}\n', "other input, --to"),
        ("{}\n", "other input, --beam-size"),
    ],
)
def test_the_part_of_another_run_is_not_resumed(state, message, old):
    interrupted(old, "one\n", "two\n")
    state_of(old).unlink()
    if state is not None:
        state_of(old).write_text(state)
    with pytest.raises(OptionError, match=message), opened(old) as out:
        out.begin(FACTS, True)
    assert (old.read_text(), part_of(old).read_text()) == ("old", "one\ntwo\n")


# ---- full disks ----


@pytest.mark.parametrize("method", ["write", "step", "complete"])
def test_a_full_disk(method, old, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PartFile, method, full)
    with pytest.raises(OutputError, match=r"^--output .*out\.txt: No space left on device"), opened(old) as out:  # noqa: PT012
        out.begin(FACTS, False)
        out.write("new")
        out.done(1)
    assert old.read_text() == "old"
