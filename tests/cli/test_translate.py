"""`quartet translate`: what comes from where and goes where, and when."""

import io
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from quartet import Translation, Translator
from quartet.cli.translate import _batches_as_they_come
from tiny_text import errors

LINES = ["Hello.", "Where is the train station?", "", "Thank you very much.", "  ", "I am hungry."]


@pytest.fixture(scope="module")
def expected(model) -> list[str]:
    with Translator(model, threads=1) as translator:
        return [t.text for t in translator.translate_batch(LINES, "fr", "en", max_length=12)]


@pytest.fixture
def options(model) -> list:
    return ["translate", "--model", model, "--from", "en", "--to", "fr", "--max-length", 12, "--threads", 1]


@pytest.fixture
def lines_file(tmp_path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"{line}\n" for line in LINES))
    return path


def read_line(child: subprocess.Popen[bytes], seconds: float = 30) -> str:
    """A line from a child, or a failure where none comes in time."""
    assert select.select([child.stdout], [], [], seconds)[0], "no answer"
    return child.stdout.readline().decode().removesuffix("\n")


# ---- from arguments ----


def test_the_line_of_the_readme(run):
    result = run("translate", "--to", "fr", "Where is the train station?")
    assert (result.code, result.out) == (0, "Où est la gare ?\n")
    again = run("translate", "--to", "fr", "Where is the train station?")
    assert (again.out, again.err) == (result.out, ""), "converted once, and silent after that"


def test_several_texts(options, expected, run):
    assert run(*options, *LINES).out.splitlines() == expected


def test_line_breaks_inside_a_text_stay(options, expected, run):
    assert run(*options, f"{LINES[0]}\n\n{LINES[1]}\n").out == f"{expected[0]}\n\n{expected[1]}\n\n"


def test_json(options, expected, run):
    result = run(*options, "--json", *LINES, "two\nlines")
    found = [json.loads(line) for line in result.out.splitlines()]
    assert [entry["text"] for entry in found[:-1]] == expected
    assert found[-1]["text"].count("\n") == 1
    assert all(set(entry) == {"text", "score", "source", "target", "complete", "missing"} for entry in found)
    assert found[0]["source"] == "eng_Latn"
    assert found[0]["target"] == "fra_Latn"
    assert found[0]["score"] < 0
    assert found[2]["score"] is None


def test_beams_and_splitting_reach_the_translator(model, options, run):
    text = "It is cold. We stay at home. They are at school."
    with Translator(model, threads=1) as translator:
        wanted = translator.translate(text, "fr", "en", max_length=12, beam_size=3, split="sentences").text
    assert run(*options, "--beam-size", 3, "--split", "sentences", text).out == wanted + "\n"
    assert run(*options, text).out != wanted + "\n"


def test_already_in_the_target_language(run):
    result = run("translate", "--to", "fr", "Bonjour, comment allez-vous ?")
    assert result.out == "Bonjour, comment allez-vous ?\n"
    notice = result.err.splitlines()[-1]  # the first use of the demo model says more before
    assert notice == "already in French, left as it is: Bonjour, comment allez-vous ?"


@pytest.mark.parametrize("name", ["model", "checkpoint"])
def test_a_model_is_a_folder(name, request, expected, run):
    folder = request.getfixturevalue(name)
    result = run("translate", "--model", folder, "--from", "en", "--to", "fr", "--max-length", 12, LINES[1])
    assert (result.code, result.out) == (0, expected[1] + "\n")


def test_verified(options, expected, run):
    assert run(*options, "--verify", LINES[0]).out == expected[0] + "\n"


# ---- from files ----


def test_from_file_to_file(options, expected, lines_file, tmp_path, run):
    result = run(*options, "--input", lines_file, "--output", tmp_path / "out.txt", "--batch-size", 2)
    assert (result.code, result.out, errors(result.err)) == (0, "", [])
    assert (tmp_path / "out.txt").read_text().split("\n") == [*expected, ""]


def test_from_file_to_standard_output(options, expected, lines_file, run):
    assert run(*options, "--input", lines_file).out.split("\n") == [*expected, ""]


def test_windows_lines_a_byte_order_mark_and_no_last_line_end_stay(options, expected, lines_file, tmp_path, run):
    lines_file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(LINES).encode())
    assert run(*options, "--input", lines_file, "--output", tmp_path / "out.txt").code == 0
    assert (tmp_path / "out.txt").read_bytes() == b"\xef\xbb\xbf" + "\r\n".join(expected).encode()


def test_an_empty_file(options, tmp_path, run):
    (tmp_path / "empty.txt").write_text("")
    result = run(*options, "--input", tmp_path / "empty.txt", "--output", tmp_path / "out.txt")
    assert (result.code, errors(result.err)) == (0, [])
    assert (tmp_path / "out.txt").read_text() == ""


# ---- from a pipe ----


def test_line_by_line_as_they_come(options, expected, start):
    child = start(*options)
    for line, translation in zip(LINES, expected, strict=True):
        child.stdin.write(f"{line}\n".encode())
        child.stdin.flush()
        assert read_line(child) == translation
    child.stdin.close()
    assert (child.stdout.read(), errors(child.stderr.read())) == (b"", [])
    assert child.wait(timeout=120) == 0


def test_a_whole_pipe(options, expected, start):
    out, err = start(*options, "--batch-size", 3).communicate("\n".join(LINES).encode(), timeout=120)
    assert (out.decode().split("\n"), errors(err)) == ([*expected, ""], [])


def test_an_error_ends_it_while_more_could_come(model, start):
    child = start("translate", "--model", model, "--to", "fr", "--strict")
    child.stdin.write("Добрый день, как у вас дела сегодня?\n".encode())
    child.stdin.flush()
    assert child.wait(timeout=120) == 2
    assert len(errors(child.stderr.read())) == 1


def test_bytes_that_are_no_text(options, expected, start):
    child = start(*options, "--batch-size", 1)
    child.stdin.write(f"{LINES[0]}\n".encode())
    child.stdin.flush()
    assert read_line(child) == expected[0]
    out, err = child.communicate(b"caf\xe9\n", timeout=120)
    assert (child.returncode, out) == (2, b"")
    assert errors(err) == ["quartet: standard input, line 2: byte 0xe9 is not UTF-8"]


def test_a_fast_pipe_is_batched():
    lines = [f"line {i}" for i in range(500)]
    batches = []
    for batch in _batches_as_they_come(io.BytesIO("\n".join(lines).encode()), 8):
        time.sleep(0.001)  # as translating would take
        batches.append(batch)
    assert [part.text for batch in batches for part in batch] == lines
    assert max(map(len, batches)) == 8
    assert len(batches) < 100


def test_the_reader_leaves(options, tmp_path, start):
    """As `quartet translate < big | head -1` does."""
    (tmp_path / "big.txt").write_text("Hello.\n" * 50_000)
    with (tmp_path / "big.txt").open("rb") as big:
        child = start(*options, stdin=big)
        assert read_line(child)
        child.stdout.close()
        assert child.wait(timeout=120) in (0, 1)
    assert errors(child.stderr.read()) == []


# ---- what a person sees ----


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_bar_shows_on_a_terminal_only(options, tmp_path, start, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    (tmp_path / "lines.txt").write_text("A line of words.\n" * 400)
    ours, theirs = os.openpty()
    child = start(*options, "--input", tmp_path / "lines.txt", stderr=theirs)
    os.close(theirs)
    out, shown = child.communicate(timeout=60)[0], b""
    while chunk := read_terminal(ours):
        shown += chunk
    os.close(ours)
    assert child.returncode == 0
    assert out.count(b"\n") == 400
    assert b"\x1b" not in out
    assert b"translating" in shown
    assert b"lines" in shown


def read_terminal(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_person_is_told_that_lines_are_awaited(options, expected, start):
    ours, theirs = os.openpty()
    child = start(*options, stdin=theirs)
    os.close(theirs)
    assert b"Ctrl-D" in child.stderr.readline()
    os.write(ours, f"{LINES[0]}\n".encode())
    assert read_line(child) == expected[0]
    os.write(ours, b"\x04")
    assert child.wait(timeout=120) == 0
    os.close(ours)


@pytest.mark.parametrize("ends", [0, 1])
def test_a_paragraph_of_a_pipe_is_answered_when_it_ends(ends, shouting, options, monkeypatch, run):
    feed(monkeypatch, b"It is\ncold.\n\nYes,\nit is" + b"\n" * ends)
    assert run(*options, "--wrapped").out == "IT IS COLD.\n\nYES, IT IS\n"


def test_subtitles_from_a_pipe(shouting, options, monkeypatch, run):
    feed(monkeypatch, SUBTITLES.encode())
    assert run(*options, "--as", "srt").out == SHOUTED_SUBTITLES


# ---- forms of files ----

SUBTITLES = """1
00:00:01,000 --> 00:00:03,500
Good morning,
everyone.

2
00:00:04,000 --> 00:00:06,250
- Where is it?
- There."""

SHOUTED_SUBTITLES = """1
00:00:01,000 --> 00:00:03,500
GOOD MORNING,
EVERYONE.

2
00:00:04,000 --> 00:00:06,250
- WHERE IS IT?
- THERE."""


@pytest.fixture
def shouting(monkeypatch) -> dict:
    """A translator that answers in capitals, knows no Japanese and loses numbers; the options that it was given."""
    given = {}

    def answer(text: str, wrapped: bool) -> Translation:
        if re.search(r"[\u3040-\u30ff]", text):
            return Translation(text, None, None, "fra_Latn", complete=False, missing=("looks like Japanese: " + text,))
        numbers = tuple(re.findall(r"\d+", text))
        said = re.sub(r"\d+", "?", text.upper())
        return Translation(
            said.replace("\n", " ") if wrapped else said, -1.0, "eng_Latn", "fra_Latn", (), not numbers, numbers
        )

    def translate_batch(self, texts, target=None, source=None, **options):
        given.update(options, texts=[*given.get("texts", []), *texts])
        return [answer(text, options["wrapped"]) for text in texts]

    monkeypatch.setattr(Translator, "translate_batch", translate_batch)
    return given


def feed(monkeypatch, content: bytes) -> None:
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    monkeypatch.setattr("sys.stdin", os.fdopen(read))


@pytest.mark.parametrize(
    ("name", "form", "wrapped"),
    [("a.srt", "auto", True), ("A.SRT", "auto", True), ("a.txt", "srt", True), ("a.srt", "text", False)],
)
def test_subtitles_by_their_name(name, form, wrapped, shouting, options, tmp_path, run):
    (tmp_path / name).write_text(SUBTITLES)
    result = run(*options, "--input", tmp_path / name, "--output", tmp_path / "out", "--as", form)
    assert (result.code, shouting["wrapped"]) == (0, wrapped)
    if wrapped:
        assert (tmp_path / "out").read_text() == SHOUTED_SUBTITLES
        assert shouting["texts"] == ["Good morning,\neveryone.", "Where is it?", "There."]
        assert result.err == ""
    else:
        assert shouting["texts"] == SUBTITLES.split("\n")


def test_webvtt_and_columns_by_their_name(shouting, options, tmp_path, run):
    (tmp_path / "a.vtt").write_bytes(b"WEBVTT - title\r\n\r\nNOTE hidden\r\n\r\n00:01.000 --> 00:02.000\r\nYes.\r\n")
    assert run(*options, "--input", tmp_path / "a.vtt").out == (
        "WEBVTT - title\r\n\r\nNOTE hidden\r\n\r\n00:01.000 --> 00:02.000\r\nYES.\r\n"
    )
    for name in ("a.tsv", "a.tab"):
        (tmp_path / name).write_text("Yes.\tNo.\n\tWhy?")
        assert run(*options, "--input", tmp_path / name).out == "YES.\tNO.\n\tWHY?"


def test_a_line_of_json_for_each_text(shouting, options, tmp_path, run):
    (tmp_path / "a.srt").write_text(SUBTITLES)
    result = run(*options, "--input", tmp_path / "a.srt", "--json")
    assert [json.loads(line)["text"] for line in result.out.splitlines()] == [
        "GOOD MORNING, EVERYONE.",
        "WHERE IS IT?",
        "THERE.",
    ]


def test_paragraphs(shouting, options, tmp_path, run):
    (tmp_path / "a.txt").write_bytes(b"It is\r\ncold.\r\n\r\n \r\nYes.\r\n")
    assert run(*options, "--wrapped", "--input", tmp_path / "a.txt").out == "IT IS COLD.\r\n\r\n \r\nYES.\r\n"
    assert shouting["texts"] == ["It is\ncold.", "Yes."]


def test_subtitles_without_cues_are_no_success_in_silence(shouting, options, tmp_path, run):
    (tmp_path / "a.srt").write_text("Hello.\n")
    result = run(*options, "--input", tmp_path / "a.srt")
    assert (result.code, result.out) == (0, "Hello.\n")
    assert re.fullmatch(r".*a\.srt has no cues, so nothing was translated; --as text .*\n", result.err)


def test_options_reach_the_translator(shouting, options, run):
    assert run(*options, "Hi").code == 0
    assert [shouting[name] for name in ("raw", "wrapped", "strict", "split")] == [False, False, False, "auto"]
    assert run(*options, "--raw", "--wrapped", "--split", "none", "Hi").code == 0
    assert [shouting[name] for name in ("raw", "wrapped", "strict", "split")] == [True, True, False, "none"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
def test_the_input_is_a_pipe(shouting, options, tmp_path, run):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text("Yes.\nNo.\n"))
    writer.start()
    assert run(*options, "--input", tmp_path / "pipe").out == "YES.\nNO.\n"
    writer.join()


# ---- what is told ----

MIXED = "It is cold.\n今日は。\nI am 42.\n"


def test_a_line_of_an_unknown_language_is_named_and_left(shouting, options, tmp_path, run):
    (tmp_path / "mixed.txt").write_text(MIXED)
    (tmp_path / "out.txt").write_text("old result\n")
    result = run(*options, "--input", tmp_path / "mixed.txt", "--output", tmp_path / "out.txt")
    assert result.code == 0
    assert (tmp_path / "out.txt").read_text() == "IT IS COLD.\n今日は。\nI AM ?.\n"
    assert result.err.splitlines() == [
        f"{tmp_path}/mixed.txt, line 2: left as it is: looks like Japanese: 今日は。",
        f"{tmp_path}/mixed.txt, line 3: missing in the translation: 42",
    ]


def test_strict_stops_there(shouting, options, tmp_path, run):
    (tmp_path / "mixed.txt").write_text(MIXED)
    (tmp_path / "out.txt").write_text("old result\n")
    strict = [*options, "--input", tmp_path / "mixed.txt", "--strict"]
    result = run(*strict, "--output", tmp_path / "out.txt")
    assert result.code == 2
    message = f"quartet: {tmp_path}/mixed.txt, line 2: looks like Japanese: 今日は。"
    assert result.err == f"{message}; what is done is in {tmp_path}/out.txt.part; --resume goes on from there\n"
    assert (tmp_path / "out.txt").read_text() == "old result\n"
    assert (tmp_path / "out.txt.part").read_text() == "IT IS COLD.\n"
    result = run(*strict)
    assert (result.code, result.out, result.err) == (2, "IT IS COLD.\n", f"{message}\n")


def test_texts_columns_and_pipes_are_named(shouting, options, tmp_path, monkeypatch, run):
    assert run(*options, "Yes.", "7 of 9", "--json").err == "text 2: missing in the translation: 7, 9\n"
    (tmp_path / "a.tsv").write_text("Yes.\tNo.\n\tI am 42.\n")
    assert re.search(r"a\.tsv, line 2, column 2: missing", run(*options, "--input", tmp_path / "a.tsv").err)
    feed(monkeypatch, b"Yes.\n4\n")
    assert run(*options).err == "standard input, line 2: missing in the translation: 4\n"


def test_many_are_counted(shouting, options, tmp_path, run):
    (tmp_path / "a.txt").write_text("I am 42.\n" * 53)
    told = run(*options, "--input", tmp_path / "a.txt", "--batch-size", 1).err.splitlines()
    assert len(told) == 21
    assert told[-1] == "and 33 more that were left as they are or are not complete"
    (tmp_path / "a.txt").write_text("I am 42.\n" * 20)
    assert len(run(*options, "--input", tmp_path / "a.txt").err.splitlines()) == 20


def test_what_is_missing_is_shortened(shouting, options, run):
    told = run(*options, " ".join(f"{number}\n" for number in range(1000))).err
    assert told.count("\n") == 1
    assert len(told) < 200


def test_json_says_what_is_missing(shouting, options, run):
    (line,) = run(*options, "--json", "I am 42.").out.splitlines()
    assert json.loads(line)["complete"] is False
    assert json.loads(line)["missing"] == ["42"]


def test_a_bad_byte_is_named_before_anything_is_written(options, tmp_path, run):
    (tmp_path / "out.txt").write_text("old result\n")
    (tmp_path / "a.srt").write_bytes(SUBTITLES.encode() + b"caf\xe9\n")
    result = run(*options, "--input", tmp_path / "a.srt", "--output", tmp_path / "out.txt")
    assert (result.code, result.err) == (2, f"quartet: {tmp_path}/a.srt, line 9: byte 0xe9 is not UTF-8\n")
    assert (tmp_path / "out.txt").read_text() == "old result\n"


# ---- resumed ----


@pytest.fixture
def many(tmp_path) -> Path:
    path = tmp_path / "many.txt"
    path.write_text("".join(f"I have {number} cats, and {'many ' * (number % 7)}dogs.\n\n" for number in range(60)))
    return path


def test_killed_and_resumed_gives_what_one_run_gives(options, many, tmp_path, run, start):
    whole, out, part = tmp_path / "whole.txt", tmp_path / "out.txt", tmp_path / "out.txt.part"
    out.write_text("old result\n")
    command = [*options, "--input", many, "--batch-size", 1, "--output"]
    child = start(*command, out)
    state = out.with_name("out.txt.part.state")
    while not (state.exists() and state.read_text().count("\n") >= 3):
        assert child.poll() is None, "it ended too soon"
        time.sleep(0.001)
    child.kill()
    child.wait()
    assert out.read_text() == "old result\n"
    with part.open("ab") as file:
        file.write("half of a lin\u00e9".encode()[:-1])
    with state.open("ab") as file:
        file.write(b"48 1")
    begun = part.stat().st_ino
    assert run(*command, whole).code == 0
    result = run(*command, out, "--resume")
    assert (result.code, result.out, errors(result.err)) == (0, "", [])
    assert out.read_bytes() == whole.read_bytes()
    assert out.stat().st_ino == begun, "gone on with, not begun anew"
    assert {path.name for path in tmp_path.iterdir()} == {"many.txt", "whole.txt", "out.txt"}


@pytest.mark.parametrize("form", ["text", "srt", "tsv", "wrapped"])
def test_what_was_done_is_not_done_again(form, shouting, options, tmp_path, monkeypatch, run):
    cues = "".join(f"{n}\n00:00:{n:02},000 --> 00:00:{n:02},900\n- It is {n}\ncold.\n- Day {n}.\n\n" for n in range(40))
    (tmp_path / "a.txt").write_text(cues)
    how = ["--wrapped"] if form == "wrapped" else ["--as", form]
    command = [*options, *how, "--input", tmp_path / "a.txt", "--batch-size", 1, "--output"]
    assert run(*command, tmp_path / "whole.txt").code == 0
    texts = shouting.pop("texts")

    def interrupted(self, part, result):
        if part.text == texts[20]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("quartet.cli.translate._Job._tell", interrupted)
        result = run(*command, tmp_path / "out.txt")
    assert result.code == 130
    assert result.err == (
        f"quartet: interrupted; what is done is in {tmp_path}/out.txt.part; --resume goes on from there\n"
    )
    del shouting["texts"]
    assert run(*command, tmp_path / "out.txt", "--resume").code == 0
    assert (tmp_path / "out.txt").read_text() == (tmp_path / "whole.txt").read_text()
    assert shouting["texts"] == texts[16:]


def test_resumed_without_strict(shouting, options, tmp_path, run):
    (tmp_path / "mixed.txt").write_text("Yes.\n" * 16 + MIXED)
    command = [*options, "--input", tmp_path / "mixed.txt", "--output", tmp_path / "out.txt", "--batch-size", 1]
    assert run(*command, "--strict").code == 2
    assert run(*command, "--resume").code == 0
    assert (tmp_path / "out.txt").read_text() == "YES.\n" * 16 + "IT IS COLD.\n今日は。\nI AM ?.\n"


def test_another_run_is_not_resumed(shouting, options, many, tmp_path, run):
    many.write_text(MIXED)
    command = [*options, "--input", many, "--output", tmp_path / "out.txt"]
    assert run(*command, "--strict").code == 2
    part = (tmp_path / "out.txt.part").read_text()
    for change, named in ([("--beam-size", 2), "--beam-size"], [("--json",), "--json"], [("--as", "tsv"), "--as"]):
        result = run(*command, "--resume", *change)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert f"out.txt.part is of another run (other {named})" in result.err
    many.write_text(MIXED + "\n")
    assert "(other input)" in run(*command, "--resume").err
    assert (tmp_path / "out.txt.part").read_text() == part


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--resume", "--output", "out.txt"], "--resume reads the input again; name a file with --input"),
        (["--resume", "--output", "out.txt", "Hi"], "--resume reads the input again"),
        (["--resume", "--input", "a.txt"], "--resume goes on with a file; name it with --output"),
        (["--resume", "--input", "a.txt", "--output", "/dev/stdout"], "--resume goes on with a file"),
        (["--as", "srt", "Hi"], "--as srt is for a file or standard input, not for TEXT"),
    ],
)
def test_what_makes_no_sense(given, message, options, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("Hi\n")
    result = run(*options, *given)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


# ---- outputs that are there ----


def test_an_output_that_is_there_is_replaced_but_not_for_a_mistake(options, expected, run, tmp_path):
    out = tmp_path / "out.txt"
    out.write_text("an older and longer translation of something else\n" * 9)
    assert run("translate", "--to", "klingon", "--output", out, LINES[0]).code == 2
    assert out.read_text().startswith("an older")
    assert run(*options, "--output", out, LINES[0]).code == 0
    assert out.read_text() == expected[0] + "\n"
    assert {path.name for path in tmp_path.iterdir()} == {"out.txt"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of processes")
def test_a_full_disk(options, tmp_path, start):
    (tmp_path / "long.txt").write_text("A line of some words, and more of them.\n" * 2_000)
    (tmp_path / "out.txt").write_text("old result\n")

    def small_files_only() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))

    child = start(
        *options, "--input", tmp_path / "long.txt", "--output", tmp_path / "out.txt", preexec_fn=small_files_only
    )
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (1, b"")
    (message,) = errors(err)
    assert re.fullmatch(r"quartet: --output .*out\.txt: File too large; what is done is in .*", message)
    assert (tmp_path / "out.txt").read_text() == "old result\n"


def test_the_recording_is_no_output_either(tmp_path, run):
    from sounds import tone, wav

    (tmp_path / "talk.wav").write_bytes(wav(tone(1)))
    result = run("transcribe", tmp_path / "talk.wav", "--output", tmp_path / "talk.wav")
    assert (result.code, result.err) == (
        2,
        f"quartet: --output {tmp_path}/talk.wav is the input itself; name another file\n",
    )
    assert (tmp_path / "talk.wav").read_bytes() == wav(tone(1))


# ---- glossaries ----


def test_a_glossary(run, tmp_path):
    glossary = tmp_path / "terms.tsv"
    glossary.write_text("train station\tCentrale\nHello\tOhé\n", encoding="utf-8")
    command = ("translate", "--from", "en", "--to", "fr", "--glossary", glossary)
    result = run(*command, "Where is the train station?", "Thank you.")
    question, thanks = result.out.splitlines()
    assert "Centrale" in question
    assert thanks == "Merci."
    (tmp_path / "lines.txt").write_text("Where is the train station?\nThank you.\n")
    assert run(*command, "--input", tmp_path / "lines.txt").out == result.out


def test_a_part_that_was_made_with_another_glossary_is_not_resumed(run, tmp_path, monkeypatch):
    glossary, lines, out = (tmp_path / name for name in ("terms.csv", "lines.txt", "out.txt"))
    glossary.write_text("Thank you,Mercy\n")
    lines.write_text("Thank you.\n" * 3)
    command = ("translate", "--from", "en", "--to", "fr", "--input", lines, "--output", out, "--glossary", glossary)
    with monkeypatch.context() as broken:
        broken.setattr("quartet.cli.translate.BATCHES_AT_ONCE", 1)
        calls = iter(range(2))
        step = Translator.translate_batch
        broken.setattr(Translator, "translate_batch", lambda *a, **k: 1 / (1 - next(calls)) and step(*a, **k))
        with pytest.raises(ZeroDivisionError):
            run(*command, "--batch-size", 1)
    glossary.write_text("Thank you,Mercie\n")
    assert "--glossary" in run(*command, "--batch-size", 1, "--resume").err


# ---- pages ----

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="iso-8859-1"><title>Thank you.</title><script>"Thank you."</script></head>
<body><p>Good <b>morning</b>.</p><!-- \xe9 --></body></html>
"""


def test_a_page(run, tmp_path):
    page, out = tmp_path / "page.HTM", tmp_path / "out.html"
    page.write_bytes(PAGE.encode("latin-1"))
    assert run("translate", "--from", "en", "--to", "French", "--input", page, "--output", out).code == 0
    found = out.read_text("utf-8")
    assert '<html lang="fr"><head><meta charset="utf-8"><title>Merci.</title><script>"Thank you."</script>' in found
    assert re.search(r"<p>.*<b>.*</b>.*</p><!-- \xe9 --></body></html>\n$", found)
    assert "morning" not in found


def test_a_page_from_a_pipe(run, monkeypatch):
    with tempfile.TemporaryFile() as file:
        file.write(b"<p>Thank you.\n<p>Thank you.</p>")
        file.seek(0)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        result = run("translate", "--from", "en", "--to", "fr", "--as", "html")
    assert result.out == "<p>Merci.\n<p>Merci.</p>"


def test_a_page_that_is_no_text(run, tmp_path):
    page = tmp_path / "page.html"
    page.write_bytes(b"<p>\n\xff")
    result = run("translate", "--from", "en", "--to", "fr", "--input", page)
    assert (result.code, result.out) == (2, "")
    assert "page.html, line 2: byte 0xff is not UTF-8" in result.err


def test_the_name_of_a_file_as_a_text_is_pointed_out(options, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("film.srt").touch()
    hint = "film.srt is translated as a text; --input film.srt translates the file\n"
    assert run(*options, "film.srt").err.startswith(hint)
    for text in ("other.srt", "a" * 5000 + ".srt"):
        assert "translates the file" not in run(*options, text).err


@pytest.mark.parametrize("name", ["film.ass", "film.SSA"])
def test_subtitles_that_are_not_read_are_refused(options, run, tmp_path, name):
    (tmp_path / name).write_text("Dialogue: 0,0:00:03.20,0:00:04.96,Default,,0,0,0,,Hello.\n")
    result = run(*options, "--input", tmp_path / name)
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert f"{name}: of subtitles, srt and vtt are read" in result.err
    assert run(*options, "--input", tmp_path / name, "--as", "text").code == 0
