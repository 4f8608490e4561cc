"""Tokens that a checkpoint adds to its vocabulary: control tokens, languages, and words of a fine-tune.

They are in `tokenizer.json`, in `added_tokens_decoder` of `tokenizer_config.json` and in `added_tokens.json`: where
they disagree, the first of these counts, as in transformers.
"""

import json
import logging
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from quartet.errors import CheckpointError
from quartet.spec import AddedWord

CONTROL_KEYS = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))

_SENTINEL = re.compile(r"<extra_id_\d+>")  # of T5
_ADDED = re.compile(r'"added_tokens"\s*:\s*(?=\[)')

log = logging.getLogger("quartet")


class AddedToken(NamedTuple):
    """A token, and how it is found in text."""

    text: str
    id: int
    special: bool  # left out of text that comes out
    normalized: bool  # looked for in normalised text
    lstrip: bool = False  # takes the white space before it along
    single_word: bool = False


class Spacing(NamedTuple):
    """What a tokeniser makes of white space before added words, by the library that made it."""

    before_normalized: bool  # it becomes a piece of its own, before words that are looked for in normalised text
    before_typed: bool  # likewise, before the others
    words_apart: bool  # text that comes out has spaces around words


LOST = Spacing(before_normalized=False, before_typed=False, words_apart=True)  # of tokenisers written in Python, which
# know nothing of normalised text either


def added_tokens(folder: Path, *, with_tokenizer_json: bool = False) -> dict[str, AddedToken]:
    """The added tokens by their text. Raises `CheckpointError` where a file is damaged.

    with_tokenizer_json: of families whose `tokenizer.json` is transformers' own.
    """
    listed = set(listed_tokens(folder))
    path = folder / "added_tokens.json"
    found = {
        text: AddedToken(text, _id(i, path), text in listed, text not in listed)
        for text, i in read_json(path).items()
        if text
    }
    path = folder / "tokenizer_config.json"
    decoder = read_json(path).get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict):
        raise _damaged(path, f"added_tokens_decoder is a {type(decoder).__name__}, not an object")
    found |= _by_text(_token(entry, i, path) for i, entry in decoder.items())
    path = folder / "tokenizer.json"
    if with_tokenizer_json and path.is_file():
        found |= tokenizer_json_tokens(path)
    return found


def tokenizer_json_tokens(path: Path) -> dict[str, AddedToken]:
    """The added tokens of a `tokenizer.json` alone; raises `CheckpointError` where they are damaged."""
    return _by_text(_token(entry, None, path) for entry in _entries(path))


def _entries(path: Path) -> list[Any]:
    """The list of added tokens as it stands in the file: the rest is large, and slow to read."""
    text = read_text(path)
    match = _ADDED.search(text)
    if match is None:
        return []
    try:
        entries: list[Any] = json.JSONDecoder().raw_decode(text, match.end())[0]
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    return entries


def _by_text(tokens: Iterable[AddedToken]) -> dict[str, AddedToken]:
    return {token.text: token for token in tokens if token.text}


def _token(entry: Any, i: Any, path: Path) -> AddedToken:
    """An entry of either file; only `tokenizer.json` has the id (i) inside."""
    if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
        raise _damaged(path, f"{str(entry)[:60]!r} is no added token")
    special = bool(entry.get("special"))
    return AddedToken(
        entry["content"],
        _id(entry.get("id") if i is None else i, path),
        special,
        bool(entry.get("normalized", not special)),
        bool(entry.get("lstrip")),
        bool(entry.get("single_word")),
    )


def _id(value: Any, path: Path) -> int:
    """An id, which is a name in some files."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise _damaged(path, f"{str(value)[:60]!r} is no id of a token")
    return value


def listed_tokens(folder: Path) -> list[str]:
    """`additional_special_tokens`, in order; transformers 5 calls them `extra_special_tokens`."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        content = read_json(folder / name)
        for key in ("additional_special_tokens", "extra_special_tokens"):
            tokens = content.get(key)
            if tokens and isinstance(tokens, list):
                return [token for entry in tokens if (token := content_of(entry))]
    return []


def content_of(entry: Any) -> str | None:
    """The text of a token, which is named so, or described."""
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else None


def control_texts(folder: Path) -> set[str]:
    """The tokens for begin, end, padding and the like."""
    names = ("tokenizer_config.json", "special_tokens_map.json")
    entries = (read_json(folder / name).get(key) for name in names for key in CONTROL_KEYS)
    return {text for entry in entries if (text := content_of(entry))}


def words_among(
    folder: Path, added: Mapping[str, AddedToken], config: Mapping[str, Any], known: Collection[str]
) -> list[AddedToken]:
    """The words among added tokens: what is neither `known` (languages, pieces) nor a control token, in order.

    Those whose ids have no row in the embedding are left out, with a warning, as the model has nothing for them.
    """
    control = control_texts(folder) | set(known)
    found = [token for text, token in added.items() if text not in control and not _SENTINEL.fullmatch(text)]
    words = sorted(found, key=lambda token: token.id)
    rows = config.get("vocab_size")
    lost = [token.text for token in words if isinstance(rows, int) and token.id >= rows]
    if lost:
        names = ", ".join(map(repr, lost[:5])) + (" ..." if len(lost) > 5 else "")
        log.warning("added words have no row in the embedding of %d rows and are text like any other: %s", rows, names)
    return [token for token in words if token.text not in lost]


def spaced(token: AddedToken, spacing: Spacing) -> AddedWord:
    """A word as the manifest has it, with what the tokeniser makes of white space before it."""
    return AddedWord(
        token.text,
        token.id,
        special=token.special,
        normalized=token.normalized and spacing is not LOST,
        single_word=token.single_word,
        space_before=(spacing.before_normalized if token.normalized else spacing.before_typed) and not token.lstrip,
    )


# ---- files --------------------------------------------------------------------------------------------------------


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file. Raises `CheckpointError`."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    if not isinstance(content, dict):
        raise _damaged(path, f"it holds a {type(content).__name__}, not an object")
    return content


def read_vocabulary(path: Path) -> dict[str, int]:
    """Token to id; raises `CheckpointError` where the file is no such table."""
    entries = read_json(path)
    wrong = next((text for text, i in entries.items() if type(i) is not int or not 0 <= i < 2**31), None)
    if wrong is not None:
        raise _damaged(path, f"the id of {wrong[:60]!r} is {str(entries[wrong])[:60]!r}; a whole number is expected")
    return entries


def read_text(path: Path) -> str:
    """A file in UTF-8; raises `CheckpointError`."""
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise _damaged(path, error) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None


def _damaged(path: Path, reason: object) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: {reason}")
