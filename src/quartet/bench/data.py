"""Sentences and their translations by people: a TSV, two parallel files, a folder with a file per language, our own."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from quartet.errors import LanguageError, OptionError
from quartet.text.languages import display_name, find, is_language, resolve

HELD_OUT = "held-out sentences of Tatoeba (manythings.org/anki), CC-BY 2.0 FR"
SPLITS = ("devtest", "dev")  # folders of FLORES-200, the usual one for results first
# how corpora name their files: NTREX-128, FLORES-200, plain
FILE_NAMES = (r"newstest\d+-(?:src|ref)\.(.+)\.txt", r"(.+)\.(?:devtest|dev)", r"(.+)\.txt")


@dataclass(frozen=True)
class TestSet:
    """Sources and references, line by line, in the languages as the user named them."""

    __test__ = False  # pytest would take it for a test

    name: str
    source: str
    target: str
    sources: tuple[str, ...]
    references: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of all that a result depends on."""
        facts = [self.source, self.target, self.sources, self.references]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def parse_pair(pair: str) -> tuple[str, str]:
    """`en-fr` or `eng_Latn-fra_Latn` to its two languages; raises `LanguageError` where they are not two."""
    names = pair.split(":" if ":" in pair else "-")
    if len(names) != 2 or not all(map(is_language, names)):
        raise LanguageError(f"--pair {pair}: two languages are expected, as en-fr (or zh-Hant:en with a colon)")
    if find(names[0], [names[1]]):
        raise LanguageError(f"--pair {pair}: both are {display_name(names[0])}; name two different languages")
    return names[0], names[1]


def open_test_set(paths: Sequence[Path], source: str, target: str, sentences: int | None = None) -> TestSet:
    """The test set in `paths` for a pair of languages, its first `sentences` only where that is given.

    paths: none for the bundled sentences, a TSV (source, tab, reference), two parallel files, or a folder: FLORES-200's
    (`devtest` where it has that, else `dev`), NTREX-128's, or any with a file like `fr.txt` for each language.
    Raises `OptionError` and `LanguageError`: no such file or language, another number of lines, empty lines.
    """
    if sentences is not None and sentences < 1:
        raise OptionError(f"--sentences is {sentences}; 1 or more is expected")
    if not paths:
        name, columns = HELD_OUT, _bundled(source, target)
    elif len(paths) == 2:
        name, columns = f"{paths[0].name}, {paths[1].name}", _parallel(*paths)
    elif len(paths) > 2:
        raise OptionError(f"--data names {len(paths)} files; a TSV, two parallel files or a folder is expected")
    elif paths[0].is_dir():
        files = language_files(paths[0])
        name, columns = (
            paths[0].resolve().name,
            _parallel(*(_file_of(files, code, paths[0]) for code in (source, target))),
        )
    else:
        name, columns = paths[0].name, _two_columns(paths[0])
    sources, references = (tuple(column[:sentences]) for column in columns)
    _check(name, sources, references)
    return TestSet(name, source, target, sources, references)


def language_files(folder: Path) -> dict[str, Path]:
    """The file of each language in a corpus' folder, by the code in its name."""
    split = next((folder / name for name in SPLITS if (folder / name).is_dir()), folder)
    found: dict[str, Path] = {}
    for pattern in FILE_NAMES:
        for path in sorted(split.iterdir()):
            match = re.fullmatch(pattern, path.name)
            if match and is_language(match[1]):
                found.setdefault(match[1], path)
    return found


def _file_of(files: dict[str, Path], code: str, folder: Path) -> Path:
    if not files:
        raise OptionError(f"--data {folder}: no file for a language in it, as fra_Latn.devtest or fr.txt")
    try:
        return files[resolve(code, list(files))]
    except LanguageError:
        raise OptionError(f"--data {folder} has no {display_name(code)}; it has {', '.join(files)}") from None


def _bundled(source: str, target: str) -> tuple[list[str], list[str]]:
    text = resources.files(__package__).joinpath("heldout.tsv").read_text(encoding="utf-8")
    codes, *rows = (line.split("\t") for line in text.splitlines())
    columns = [find(code, codes) for code in (source, target)]
    if None in columns:
        names = f"{display_name(source)} and {display_name(target)}"
        raise OptionError(
            f"the sentences that come with quartet are English and French, not {names}; name some with --data"
        )
    places = [codes.index(code or "") for code in columns]
    return [row[places[0]] for row in rows], [row[places[1]] for row in rows]


def _parallel(source: Path, target: Path) -> tuple[list[str], list[str]]:
    sources, references = read_lines(source), read_lines(target)
    if len(sources) != len(references):
        counts = f"{source} has {len(sources)} lines, {target} has {len(references)}"
        raise OptionError(f"--data: {counts}; parallel files have as many lines")
    return sources, references


def _two_columns(path: Path) -> tuple[list[str], list[str]]:
    rows = [line.split("\t") for line in read_lines(path)]
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise OptionError(f"--data {path}, line {number}: {len(row)} columns; source, tab, reference are expected")
    return [row[0] for row in rows], [row[1] for row in rows]


def read_lines(path: Path, option: str = "--data") -> list[str]:
    """Lines of a UTF-8 file; what else Unicode calls a line break is part of the text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise OptionError(f"{option} {path}, line {line}: byte {error.object[error.start]:#04x} is not UTF-8") from None
    except OSError as error:
        raise OptionError(f"{option} {path}: {error.strerror or error}") from None
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _check(name: str, sources: Sequence[str], references: Sequence[str]) -> None:
    if not sources:
        raise OptionError(f"--data {name}: no sentences in it")
    for what, lines in (("source", sources), ("reference", references)):
        empty = [number for number, line in enumerate(lines, 1) if not line.strip()]
        if empty:
            more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
            raise OptionError(f"--data {name}, line {empty[0]}{more}: the {what} is empty; every line needs one")
