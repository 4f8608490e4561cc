"""No command writes over what it reads, and whatever ends a run leaves the old files as they were."""

import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from quartet.cli.output import check_files, opened, write_files
from quartet.errors import OptionError, OutputError
from sounds import tone, wav
from tiny_text import errors

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, links and limits of POSIX")

OPTIONS = ("--to", "fr", "--from", "en", "--max-length", 3)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same_file(path: Path) -> dict[str, Path]:
    """The file under other names."""
    folder = path.parent / "names"
    folder.mkdir()
    (folder / "symbolic").symlink_to(path)
    os.link(path, folder / "hard")
    (folder / "folder").symlink_to(path.parent)
    by_name = {"itself": path, "dots": folder / ".." / path.name}
    return by_name | {"through a link": folder / "folder" / path.name, **{n: folder / n for n in ("symbolic", "hard")}}


# ---- what is read is not written over ----


def test_a_recording_is_not_its_own_transcription(tmp_path, run):
    recording = tmp_path / "a.wav"
    recording.write_bytes(wav(tone()))
    for name, path in same_file(recording).items():
        result = run("transcribe", recording, "--output", path)
        assert (result.code, errors(result.err.encode())) == (
            2,
            [f"quartet: --output {path} is the input itself; name another file"],
        ), name
    assert recording.read_bytes() == wav(tone())


def test_nor_one_on_standard_input(tmp_path, start):
    recording = tmp_path / "a.wav"
    recording.write_bytes(wav(tone()))
    with recording.open("rb") as file:
        child = start("transcribe", "-", "--output", recording, stdin=file)
        assert errors(child.communicate(timeout=60)[1]) == [
            f"quartet: --output {recording} is the input itself; name another file"
        ]
    assert recording.read_bytes() == wav(tone())


def test_texts_on_standard_input(model, tmp_path, start):
    """Also where the shell appends to what is read, which would go on until the disk is full."""
    texts = tmp_path / "texts.txt"
    texts.write_text("Hello.\n" * 500)
    with texts.open("rb") as file:
        child = start("translate", "--model", model, *OPTIONS, "--output", texts, stdin=file)
        assert "is the input itself" in child.communicate(timeout=60)[1].decode()
    for given in (("--input", texts), ()):
        with texts.open("rb") as file, texts.open("ab") as out:
            child = start("translate", "--model", model, *OPTIONS, *given, stdin=file, stdout=out)
            said = errors(child.communicate(timeout=60)[1])
        assert said == ["quartet: standard output is the input itself; name another file"]
        assert child.returncode == 2
    assert texts.read_text() == "Hello.\n" * 500


def test_a_model_and_a_vocabulary_are_inputs_too(model, tmp_path, run):
    text = tmp_path / "text.txt"
    text.write_text("Bonjour.")
    manifest = (model / "quartet.json").read_bytes()
    options = ("translate", "--model", model, *OPTIONS, "Hi")
    assert "is the input itself" in run(*options, "--vocabulary", text, "--output", text).err
    assert f"is inside of {model}, which is read" in run(*options, "--output", model / "quartet.json").err
    assert (text.read_text(), (model / "quartet.json").read_bytes()) == ("Bonjour.", manifest)


def test_capitals_make_no_other_name_where_the_disk_says_so(tmp_path):
    (tmp_path / "a.wav").write_text("sound")
    if not (tmp_path / "A.WAV").exists():
        os.link(tmp_path / "a.wav", tmp_path / "A.WAV")  # which is what such a disk looks like
    with pytest.raises(OptionError, match="is the input itself"), opened(tmp_path / "A.WAV", tmp_path / "a.wav"):
        pytest.fail("work was begun")


# ---- reports ----


def test_a_report_takes_no_other_files_place(tmp_path, run):
    (tmp_path / "index.html").write_text("my page")
    result = run("rank", "--models", "demo", "--report", tmp_path)
    assert result.code == 1
    assert errors(result.err.encode()) == [
        f"quartet: --report {tmp_path} holds another index.html, which is of no report; name another folder"
    ]
    assert names(tmp_path) == ["index.html"]


def test_a_report_takes_not_the_place_of_its_data(tmp_path, run):
    (tmp_path / "texts").mkdir()
    data = [tmp_path / "texts" / f"en-fr.{side}.txt" for side in ("sources", "references")]
    for path in data:
        path.write_text("One.\nTwo.\n")
    result = run("rank", "--models", "demo", "--data", *data, "--sentences", 1, "--report", tmp_path)
    assert "would write over --data" in result.err
    assert [path.read_text() for path in data] == ["One.\nTwo.\n"] * 2


def test_files_of_a_folder_are_whole_or_as_they_were(tmp_path, monkeypatch):
    write_files(tmp_path / "report", {"a": b"old", "texts/b": b"old"}, "--report")
    original = Path.write_bytes

    def full(path, content):
        if path.name == "b":
            original(path, content[:1])
            raise OSError(28, "No space left on device")
        return original(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"^--report .*report: No space left on device$"):
        write_files(tmp_path / "report", {"a": b"new", "texts/b": b"new"}, "--report")
    assert (tmp_path / "report" / "a").read_bytes() == b"new"
    assert (tmp_path / "report" / "texts" / "b").read_bytes() == b"old"
    assert names(tmp_path / "report") == ["a", "texts"]
    assert names(tmp_path / "report" / "texts") == ["b"]


def test_a_folder_that_cannot_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "a").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"^--report .*/file/report: Not a directory$"):
        check_files(tmp_path / "file" / "report", ["a"], "--report")
    with pytest.raises(OutputError, match=r"^--report .*folder: a in it is a folder$"):
        check_files(tmp_path / "folder", ["a"], "--report")


# ---- conversion in place of a quartet ----


def test_what_is_not_the_models_is_not_replaced_with_it(checkpoint, model, tmp_path, run):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "texts").mkdir()
    result = run("convert", checkpoint, folder, "--precision", "fp32", "--force")
    assert (result.code, errors(result.err.encode())) == (
        1,
        [f"quartet: {folder} holds other files beside its model (notes.txt, texts); name another folder, or move them"],
    )
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "notes.txt").unlink()
    (folder / "texts").rmdir()
    assert run("convert", checkpoint, folder, "--precision", "fp32", "--force").code == 0


# ---- what ends a run ----

MANY = "A line of some words, and more of them.\n" * 20_000


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "the terminal was closed"), (signal.SIGKILL, -9, None)],
)
def test_signals(number, code, said, model, tmp_path, start):
    texts, out = tmp_path / "texts.txt", tmp_path / "out.txt"
    texts.write_text(MANY)
    out.write_text("old\n")
    child = start("translate", "--model", model, *OPTIONS, "--batch-size", 1, "--input", texts, "--output", out)
    part = tmp_path / "out.txt.part"
    wait_for(lambda: part.exists() and part.stat().st_size)
    child.send_signal(number)
    assert child.wait(timeout=60) == code
    assert out.read_text() == "old\n"
    assert part.stat().st_size
    if said:
        assert errors(child.stderr.read()) == [
            f"quartet: {said}; what is done is in {part}; --resume goes on from there"
        ]


def test_what_nohup_ignores_stays_ignored(model, start):
    script = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); from quartet.cli import main\n"
        "sys.exit(main())"
    )
    child = start("translate", "--model", model, *OPTIONS, script=script)
    child.stdin.write(b"Hello.\n")
    child.stdin.flush()
    assert child.stdout.readline()
    child.send_signal(signal.SIGHUP)
    child.stdin.write(b"Hello.\n")
    child.stdin.close()
    assert child.stdout.readline()
    assert child.wait(timeout=60) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_recording_that_does_not_come(number, code, tmp_path, start):
    """The signal comes while FFmpeg waits for our file."""
    pytest.importorskip("av")
    os.mkfifo(tmp_path / "pipe")
    script = (
        "import sys; from quartet.audio.audio import open_audio; from quartet.cli import main, transcribe, parser\n"
        "transcribe.transcribe = lambda args: print(sum(map(len, open_audio(args.audio).play())))\n"
        "sys.exit(main())"
    )
    child = start("transcribe", tmp_path / "pipe", script=script)
    with (tmp_path / "pipe").open("wb", buffering=0) as pipe:
        pipe.write(wav(tone(3))[:40_000])
        time.sleep(1)  # until it waits for the rest
        child.send_signal(number)
        assert child.wait(timeout=60) == code
    assert (child.stdout.read(), len(errors(child.stderr.read()))) == (b"", 1)


def test_a_file_that_grows_beyond_the_disk(model, tmp_path, start):
    texts, out = tmp_path / "texts.txt", tmp_path / "out.txt"
    texts.write_text(MANY[:40_000])
    out.write_text("old\n")
    options = ("--input", texts, "--output", out, "--model", model, *OPTIONS, "--json")
    child = start("translate", *options, preexec_fn=small_files_only)
    said = errors(child.communicate(timeout=60)[1])
    assert child.returncode == 1
    assert re.match(rf"quartet: --output {out}: File too large", said[-1])
    assert out.read_text() == "old\n"


def small_files_only() -> None:
    """No file may grow beyond 20 kB: to the one that writes, as good as a full disk."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


# ---- streams ----


@pytest.mark.parametrize("command", [("models",), ("cache", "path"), ("translate", "--to", "fr", "Hi")])
def test_standard_output_that_is_closed(command, model, start):
    command = (*command, "--model", model) if command[0] == "translate" else command
    script = "import os, sys; os.close(1); sys.stdout = None; from quartet.cli import main; sys.exit(main())"
    child = start(*command, script=script)
    said = errors(child.communicate(timeout=60)[1])
    if command[0] == "translate":
        assert said == ["quartet: there is no standard output; name a file with --output"]
    else:
        assert said == []


@pytest.mark.parametrize("command", ["models", "languages"])
def test_whoever_reads_leaves(command, model, start):
    child = start(command, "--json", *(["--model", model] if command == "languages" else []))
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(timeout=60) == 1


@pytest.mark.parametrize("target", ["/dev/null", "pipe"])
def test_transcriptions_go_to_devices_and_pipes(target, tmp_path):
    """Nothing is put in their place."""
    path = Path(target)
    if target == "pipe":
        path = tmp_path / "pipe"
        os.mkfifo(path)
        threading.Thread(target=path.read_bytes).start()
    before = path.stat().st_ino
    with opened(path, tmp_path / "a.wav") as out:
        out.write("text\n")
    assert path.stat().st_ino == before
    assert not path.is_file()


def wait_for(found, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)
