"""`quartet translate`: texts from the command line, the texts of a file, or lines from a pipe as they come."""

import argparse
import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from quartet.cli.output import STANDARD_INPUT, Input, Output, opened
from quartet.cli.part_file import Facts
from quartet.errors import LanguageError, OptionError
from quartet.progress import Progress, silent, terminal_bar
from quartet.spec import MANIFEST_NAME
from quartet.text.glossary import Glossary, read_glossary
from quartet.text.html_encoding import html_of
from quartet.text.line_formats import FORM_OF_SUFFIX, Form, Part, Text, parts
from quartet.translation.translator import Translation, Translator

BATCHES_AT_ONCE = 16  # of a file: enough to sort texts by length and to run two at a time, and memory stays small
READ_AHEAD = 4096  # items
MOST_NOTICES = 20
SHOWN = 100  # letters of what is missing
STDIN = "standard input"
SUBTITLES = ("srt", "vtt")
SEARCH = ("source", "beam_size", "batch_size", "batch_type", "max_length")  # options that change the output
READING = ("split", "wrapped", "raw", "json")

Item = str | Text  # kept letter for letter, or to be translated
Notify = Callable[[str], None]
Reader = Callable[[Iterable[str]], Iterator[Item]]

NOT_READ = (".ass", ".ssa", ".ttml", ".dfxp", ".smi")  # subtitles whose times and commands would be translated

log = logging.getLogger("quartet")


def translate(args: argparse.Namespace) -> None:
    """Translate whatever was given, in order."""
    _check(args)
    form = _form(args)
    for name in filter(_names_a_file, args.text):
        log.warning("%s is translated as a text; --input %s translates the file", name, name)
    glossary = read_glossary(args.glossary) if args.glossary else None
    with opened(args.output, *_inputs(args)) as out, _notices() as notify:
        if args.input:
            with _readable(args.input) as file:
                _translate_file(file, args, form, glossary, out, notify)
            return
        with _translator(args) as translator:
            job = _Job(translator, args, form, glossary, out, notify)
            job.begin(None)
            for items in [_given(args.text)] if args.text else _come(args, form):
                job.translate(items, silent)


def _inputs(args: argparse.Namespace) -> Iterator[Input]:
    """All that is read."""
    if not args.text:
        yield args.input or STANDARD_INPUT
    yield args.model
    if args.vocabulary:
        yield args.vocabulary
    if args.glossary:
        yield args.glossary


def _given(texts: list[str]) -> list[Item]:
    return [Part(text, f"{text}\n", number, ("\n",), breaks=True) for number, text in enumerate(texts, 1)]


def _come(args: argparse.Namespace, form: Form) -> Iterator[list[Item]]:
    return _batches_as_they_come(_standard_input(), args.batch_size, form, _reader(args, form))


def _check(args: argparse.Namespace) -> None:
    if args.text and args.input:
        raise OptionError(f"both TEXT and --input {args.input} are given; give one of them")
    if args.text and args.form != "auto":
        raise OptionError(f"--as {args.form} is for a file or standard input, not for TEXT")
    if args.glossary and args.raw:
        raise OptionError("--glossary and --raw: the model gets the text as it is, so there is no use for a glossary")
    if args.resume and not args.input:
        raise OptionError("--resume reads the input again; name a file with --input")
    if args.input and not args.input.exists():
        raise OptionError(f"--input {args.input}: no such file")
    if args.input and args.input.is_dir():
        raise OptionError(f"--input {args.input} is a folder; a text file is expected")


def _names_a_file(text: str) -> bool:
    """Whether a text is the name of a file of texts that is there."""
    try:
        return Path(text).suffix.lower() in {".txt", *FORM_OF_SUFFIX} and Path(text).is_file()
    except OSError:  # it is too long for a name
        return False


def _form(args: argparse.Namespace) -> Form:
    if args.form != "auto":
        form: Form = args.form
        return form
    if args.input and args.input.suffix.lower() in NOT_READ:
        raise OptionError(f"--input {args.input}: of subtitles, srt and vtt are read (--as text: its lines as texts)")
    return FORM_OF_SUFFIX.get(args.input.suffix.lower(), "text") if args.input else "text"


def _reader(args: argparse.Namespace, form: Form) -> Reader:
    """What takes the lines of such a file apart."""
    source = None if args.source == "auto" else args.source
    return functools.partial(
        parts, form=form, wrapped=args.wrapped, target=args.target, source=source, joined=_joined(args)
    )


def _joined(args: argparse.Namespace) -> bool:
    """Whether a sentence over several cues is one text: where texts are taken by sentences, and not shown as JSON."""
    return args.split != "none" and not args.raw and not args.json


def _translator(args: argparse.Namespace) -> Translator:
    return Translator(
        args.model,
        precision=args.precision,
        revision=args.revision,
        threads=args.threads,
        verify=args.verify,
        vocabulary=args.vocabulary,
    )


@contextlib.contextmanager
def _notices() -> Iterator[Notify]:
    """A function that tells of a text on stderr; of the last ones, where there are many, only how many they are."""
    told = 0

    def notify(line: str) -> None:
        nonlocal told
        told += 1
        if told <= MOST_NOTICES:
            log.warning("%s", line)

    try:
        yield notify
    finally:
        if told > MOST_NOTICES:
            log.warning("and %d more that were left as they are or are not complete", told - MOST_NOTICES)


# ---- texts ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Job:
    """How to translate, and where to write."""

    translator: Translator
    args: argparse.Namespace
    form: Form
    glossary: Glossary | None
    out: Output
    notify: Notify

    @property
    def source(self) -> str | None:
        return None if self.args.source == "auto" else self.args.source

    def begin(self, facts: Facts | None) -> int:
        """Check what a translation would check; returns how many texts are done already."""
        self.translator.check_languages(self.args.target, self.source)
        return self.out.begin(facts, self.args.resume)

    def translate(self, items: Iterable[Item], progress: Progress) -> None:
        """Translate the texts together, and write everything in order."""
        items = list(items)
        found = iter(self._translations([item.text for item in items if not isinstance(item, str)], progress))
        for item in items:
            if not isinstance(item, str):
                result = next(found)
                self._tell(item, result)
                self.out.write(_as_json(result) if self.args.json else item.put(result.text))
            elif not self.args.json:
                self.out.write(item)
        self.out.flush()

    def _translations(self, texts: list[str], progress: Progress) -> list[Translation]:
        return self.translator.translate_batch(
            texts,
            self.args.target,
            self.source,
            beam_size=self.args.beam_size,
            max_length=self.args.max_length,
            max_batch_size=self.args.batch_size,
            batch_type=self.args.batch_type,
            split=self.args.split,
            wrapped=(self.args.wrapped and self.form != "html") or self.form in SUBTITLES,
            raw=self.args.raw,
            strict=False,  # the first text of an unknown language would take with it all that came before
            glossary=self.glossary,
            progress=progress,
        )

    def _tell(self, part: Text, result: Translation) -> None:
        """Say what is wrong with a translation; raises `LanguageError` with `--strict`."""
        if result.complete:
            return
        missing = ", ".join(result.missing)
        if result.score is not None:
            self.notify(f"{self._place(part)}: missing in the translation: {_shortened(missing)}")
        elif self.args.strict or len(self.args.text) == 1:  # of a single text there is nothing to go on with
            self.out.flush()
            raise LanguageError(f"{self._place(part)}: {missing}")
        else:
            self.notify(f"{self._place(part)}: left as it is: {missing}")

    def _place(self, part: Text) -> str:
        if self.args.text:
            return f"text {part.line}"
        column = f", column {part.column}" if part.column else ""
        return f"{self.args.input or STDIN}, line {part.line}{column}"


def _as_json(result: Translation) -> str:
    fields = {k: v for k, v in dataclasses.asdict(result).items() if k != "alternatives"}
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


# ---- a file ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[BinaryIO]:
    """The file, which can be read twice: a pipe is read whole."""
    with path.open("rb") as file:
        yield file if file.seekable() else io.BytesIO(file.read())


def _translate_file(
    file: BinaryIO, args: argparse.Namespace, form: Form, glossary: Glossary | None, out: Output, notify: Notify
) -> None:
    lines, digest = _read_through(file, None if form == "html" else str(args.input))
    file.seek(0)
    items = _reader(args, form)(_lines_of(file, form, str(args.input)))
    with _translator(args) as translator, terminal_bar("translating", "lines") as progress:
        job = _Job(translator, args, form, glossary, out, notify)
        done = job.begin(_facts(args, form, glossary, digest, translator.folder))
        for chunk in _chunks(_behind(items, done), BATCHES_AT_ONCE * args.batch_size):
            texts = [item for item in chunk if not isinstance(item, str)]
            job.translate(chunk, _of_lines(progress, texts, lines))
            done += len(texts)
            out.done(done)
    if lines and not done and form in SUBTITLES:
        log.warning("%s has no cues, so nothing was translated; --as text takes it line by line", args.input)


def _read_through(file: BinaryIO, name: str | None) -> tuple[int, str]:
    """The number of lines, and a hash; with the file's name, raises `OptionError` where a line is no text."""
    lines, digest = 0, hashlib.sha256()
    for line in file:
        lines += 1
        digest.update(line)
        if name is not None:
            _text_of(line, name, lines)
    return lines, digest.hexdigest()


def _facts(args: argparse.Namespace, form: Form, glossary: Glossary | None, digest: str, model: Path) -> Facts:
    """All that the output follows from."""
    vocabulary = args.vocabulary
    if vocabulary and Path(vocabulary).is_file():
        vocabulary = hashlib.sha256(Path(vocabulary).read_bytes()).hexdigest()
    return {
        "input": digest,
        "model": hashlib.sha256((model / MANIFEST_NAME).read_bytes()).hexdigest(),
        "--as": form,
        "--to": args.target,
        "--vocabulary": vocabulary,
        "--glossary": glossary and hashlib.sha256(json.dumps(dict(glossary.terms)).encode()).hexdigest(),
        **({"sentences over cues": "joined"} if form in SUBTITLES and _joined(args) else {}),
        **{f"--{name.replace('_', '-')}": getattr(args, name) for name in SEARCH + READING},
    }


def _of_lines(progress: Progress, texts: Sequence[Text], total: int) -> Progress:
    """Progress within a chunk, counted in pieces, as progress within the file, counted in lines."""
    if not texts:
        return silent
    before = texts[0].line - 1
    lines = texts[-1].line - before
    return lambda done, pieces: progress(before + lines * done // max(1, pieces), total)


def _behind(items: Iterable[Item], texts: int) -> Iterator[Item]:
    """What comes after so many texts."""
    for item in items:
        if texts:
            texts -= not isinstance(item, str)
        else:
            yield item


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """So many texts at a time, and what is kept before and between them."""
    chunk: list[Item] = []
    texts = 0
    for item in items:
        chunk.append(item)
        texts += not isinstance(item, str)
        if texts == size:
            yield chunk
            chunk, texts = [], 0
    if chunk:
        yield chunk


def _lines_of(file: BinaryIO, form: Form, name: str) -> Iterable[str]:
    """The lines of a file, or all of a page, whose encoding it names itself."""
    return [html_of(file.read(), name)] if form == "html" else _decoded(file, name)


def _decoded(file: Iterable[bytes], name: str) -> Iterator[str]:
    """Lines as text, with their ends."""
    return (_text_of(line, name, number) for number, line in enumerate(file, 1))


def _text_of(line: bytes, name: str, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise OptionError(f"{name}, line {number}: byte {error.object[error.start]:#04x} is not UTF-8") from None


# ---- a pipe ---------------------------------------------------------------------------------------------------------


def _standard_input() -> BinaryIO:
    """Standard input in a buffer of its own: Python aborts when it ends while a thread waits for `sys.stdin`'s."""
    if sys.stdin is None:
        raise OptionError("there is no standard input; give TEXT or --input FILE")
    if sys.stdin.isatty():
        log.info("type a text per line; Ctrl-D ends (Ctrl-Z and Enter on Windows)")
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _batches_as_they_come(
    stream: BinaryIO, size: int, form: Form = "text", read: Reader = parts
) -> Iterator[list[Item]]:
    """Whatever is there, up to a batch: text by text from a slow pipe, in batches from a fast one."""
    waiting: queue.Queue[Item | Exception | None] = queue.Queue(READ_AHEAD)
    threading.Thread(target=_read_into, args=(waiting, stream, form, read), daemon=True).start()
    ended = False
    while not ended:
        batch: list[Item] = []
        item = waiting.get()
        while isinstance(item, Item):
            batch.append(item)
            if len(batch) == size or waiting.empty():
                break
            item = waiting.get()
        if batch:
            yield batch
        if isinstance(item, Exception):
            raise item
        ended = item is None


def _read_into(waiting: "queue.Queue[Item | Exception | None]", stream: BinaryIO, form: Form, read: Reader) -> None:
    try:
        lines = _lines_of(stream, form, STDIN)
        for item in read(map(_ended, lines) if form == "text" else lines):
            waiting.put(item)
        waiting.put(None)
    except Exception as error:  # it is raised again by the thread that reads the queue
        waiting.put(error)


def _ended(line: str) -> str:
    """Whoever waits for an answer waits for a whole line."""
    return line if line.endswith("\n") else f"{line}\n"
