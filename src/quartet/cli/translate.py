"""`quartet translate`: texts from the command line, the lines of a file, or lines from a pipe as they come."""

import argparse
import dataclasses
import itertools
import json
import logging
import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO, TextIO

from quartet.cli.output import opened
from quartet.errors import OptionError
from quartet.progress import Progress, silent, terminal_bar
from quartet.translation.translator import Translation, Translator

BATCHES_AT_ONCE = 16  # of a file: enough to sort lines by length and to run two at a time, and memory stays small
READ_AHEAD = 4096  # lines

log = logging.getLogger("quartet")


def translate(args: argparse.Namespace) -> None:
    """Translate whatever was given, in order."""
    _check(args)
    with opened(args.output) as out, _translator(args) as translator:
        translator.check_languages(args.target, _source(args))
        if args.output and args.output.is_file():
            out.truncate(0)  # only now: a wrong language must not cost the file that is there
        if args.text:
            _write(translator, args.text, args, out, silent)
        elif args.input:
            _translate_file(translator, args, out)
        else:
            for lines in _batches_as_they_come(_standard_input(), args.batch_size):
                _write(translator, lines, args, out, silent)


def _check(args: argparse.Namespace) -> None:
    if args.text and args.input:
        raise OptionError(f"both TEXT and --input {args.input} are given; give one of them")
    if args.batch_size < 1:
        raise OptionError(f"--batch-size is {args.batch_size}; 1 or more is expected")
    if args.input and not args.input.exists():
        raise OptionError(f"--input {args.input}: no such file")
    if args.input and args.input.is_dir():
        raise OptionError(f"--input {args.input} is a folder; a text file is expected")
    if args.input and args.output and args.output.exists() and args.output.samefile(args.input):
        raise OptionError(f"--output {args.output} is the input itself; name another file")


def _translator(args: argparse.Namespace) -> Translator:
    return Translator(
        args.model,
        precision=args.precision,
        revision=args.revision,
        threads=args.threads,
        verify=args.verify,
        vocabulary=args.vocabulary,
    )


def _source(args: argparse.Namespace) -> str | None:
    return None if args.source == "auto" else args.source


def _translate_file(translator: Translator, args: argparse.Namespace, out: TextIO) -> None:
    with args.input.open("rb") as file:
        total = sum(1 for _ in file)
        file.seek(0)
        lines = _decoded(file, str(args.input))
        done = 0
        with terminal_bar("translating", "lines") as progress:
            for chunk in _chunks(lines, BATCHES_AT_ONCE * args.batch_size):
                _write(translator, chunk, args, out, _of_lines(progress, done, len(chunk), total))
                done += len(chunk)


def _of_lines(progress: Progress, before: int, lines: int, total: int) -> Progress:
    """Progress within a chunk, counted in pieces, as progress within the file, counted in lines."""
    return lambda done, pieces: progress(before + lines * done // max(1, pieces), total)


def _chunks(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(lines)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _decoded(file: Iterable[bytes], name: str) -> Iterator[str]:
    """Lines as text, without their ends; a byte order mark at the start is dropped."""
    for number, line in enumerate(file, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise OptionError(f"{name}, line {number}: byte {error.object[error.start]:#04x} is not UTF-8") from None
        yield text.removesuffix("\n").removesuffix("\r")


def _write(translator: Translator, texts: list[str], args: argparse.Namespace, out: TextIO, progress: Progress) -> None:
    results = translator.translate_batch(
        texts,
        args.target,
        _source(args),
        beam_size=args.beam_size,
        max_length=args.max_length,
        max_batch_size=args.batch_size,
        batch_type=args.batch_type,
        split=args.split,
        progress=progress,
    )
    for result in results:
        out.write(_as_json(result) if args.json else result.text + "\n")
    out.flush()


def _as_json(result: Translation) -> str:
    fields = {k: v for k, v in dataclasses.asdict(result).items() if k != "alternatives"}
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _standard_input() -> BinaryIO:
    """Standard input in a buffer of its own: Python aborts when it ends while a thread waits for `sys.stdin`'s."""
    if sys.stdin is None:
        raise OptionError("there is no standard input; give TEXT or --input FILE")
    if sys.stdin.isatty():
        log.info("type a text per line; Ctrl-D ends (Ctrl-Z and Enter on Windows)")
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _batches_as_they_come(stream: BinaryIO, batch_size: int) -> Iterator[list[str]]:
    """Whatever lines are there, up to a batch: one by one from a slow pipe, in batches from a fast one."""
    lines: queue.Queue[str | Exception | None] = queue.Queue(READ_AHEAD)
    threading.Thread(target=_read_into, args=(lines, stream), daemon=True).start()
    ended = False
    while not ended:
        batch: list[str] = []
        item = lines.get()
        while isinstance(item, str):
            batch.append(item)
            if len(batch) == batch_size or lines.empty():
                break
            item = lines.get()
        if batch:
            yield batch
        if isinstance(item, Exception):
            raise item
        ended = item is None


def _read_into(lines: "queue.Queue[str | Exception | None]", stream: BinaryIO) -> None:
    try:
        for line in _decoded(stream, "standard input"):
            lines.put(line)
        lines.put(None)
    except Exception as error:  # it is raised again by the thread that reads the queue
        lines.put(error)
