"""`quartet translate`: what comes from where and goes where, and when."""

import io
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quartet import Translator
from quartet.cli.translate import _batches_as_they_come

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
    assert (result.code, result.out, result.err) == (0, "", "")
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
    assert (result.code, result.err) == (0, "")
    assert (tmp_path / "out.txt").read_text() == ""


# ---- from a pipe ----


def test_line_by_line_as_they_come(options, expected, start):
    child = start(*options)
    for line, translation in zip(LINES, expected, strict=True):
        child.stdin.write(f"{line}\n".encode())
        child.stdin.flush()
        assert read_line(child) == translation
    child.stdin.close()
    assert (child.stdout.read(), child.stderr.read()) == (b"", b"")
    assert child.wait(timeout=20) == 0


def test_a_whole_pipe(options, expected, start):
    out, err = start(*options, "--batch-size", 3).communicate("\n".join(LINES).encode(), timeout=30)
    assert (out.decode().split("\n"), err) == ([*expected, ""], b"")


def test_an_error_ends_it_while_more_could_come(model, start):
    child = start("translate", "--model", model, "--to", "fr")
    child.stdin.write("Добрый день, как у вас дела сегодня?\n".encode())
    child.stdin.flush()
    assert child.wait(timeout=30) == 2
    assert child.stderr.read().decode().count("\n") == 1


def test_bytes_that_are_no_text(options, expected, start):
    child = start(*options, "--batch-size", 1)
    child.stdin.write(f"{LINES[0]}\n".encode())
    child.stdin.flush()
    assert read_line(child) == expected[0]
    out, err = child.communicate(b"caf\xe9\n", timeout=20)
    assert (child.returncode, out) == (2, b"")
    assert err == b"quartet: standard input, line 2: byte 0xe9 is not UTF-8\n"


def test_a_fast_pipe_is_batched():
    lines = [f"line {i}" for i in range(500)]
    batches = []
    for batch in _batches_as_they_come(io.BytesIO("\n".join(lines).encode()), 8):
        time.sleep(0.001)  # as translating would take
        batches.append(batch)
    assert [line for batch in batches for line in batch] == lines
    assert max(map(len, batches)) == 8
    assert len(batches) < 100


def test_the_reader_leaves(options, tmp_path, start):
    """As `quartet translate < big | head -1` does."""
    (tmp_path / "big.txt").write_text("Hello.\n" * 50_000)
    with (tmp_path / "big.txt").open("rb") as big:
        child = start(*options, stdin=big)
        assert read_line(child)
        child.stdout.close()
        assert child.wait(timeout=30) in (0, 1)
    assert child.stderr.read() == b""


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
    assert child.wait(timeout=20) == 0
    os.close(ours)


def test_an_output_that_is_there_is_replaced_but_not_for_a_mistake(options, expected, run, tmp_path):
    out = tmp_path / "out.txt"
    out.write_text("an older and longer translation of something else\n" * 9)
    assert run("translate", "--to", "klingon", "--output", out, LINES[0]).code == 2
    assert out.read_text().startswith("an older")
    assert run(*options, "--output", out, LINES[0]).code == 0
    assert out.read_text() == expected[0] + "\n"
