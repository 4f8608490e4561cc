"""Read licence and languages from a model card: the front matter of a checkpoint's `README.md`."""

import re
from pathlib import Path

CARD = "README.md"
MAX_CHARACTERS = 1 << 18  # of a card that are read; the front matter is at its beginning


def license_of(folder: Path) -> str | None:
    """The licence that a checkpoint's model card (`README.md`) names in its front matter, or None.

    The hub's identifiers become SPDX's spelling where the two differ only in case. Several licences are joined
    with commas.
    """
    head = _front_matter(folder)
    names = _yaml_values(head, "license")
    if names == ["other"]:
        names = _yaml_values(head, "license_name") or names
    return ", ".join(map(_spdx, names)) or None


def languages_of(folder: Path) -> list[str]:
    """The languages that the model card names, in its own spelling; empty where it names none."""
    return _yaml_values(_front_matter(folder), "language")


def _front_matter(folder: Path) -> str:
    try:
        with (folder / CARD).open(encoding="utf-8", errors="replace") as file:
            card = file.read(MAX_CHARACTERS)
    except OSError:
        return ""
    head = re.match(r"\ufeff?\s*---[ \t]*\n(.*?)\n---[ \t]*(\n|$)", card.replace("\r\n", "\n"), re.DOTALL)
    return head[1] if head else ""


def _yaml_values(text: str, key: str) -> list[str]:
    """Values of a top-level key: `key: a`, `key: [a, b]` or a list with one `- a` per line."""
    found = re.search(rf"^{key}:[ \t]*(.*)\n?((?:[ \t]*-[ \t]+.*\n?)*)", text, re.MULTILINE)
    if not found:
        return []
    values = found[1].strip("[] \t").split(",") + re.findall(r"-[ \t]+(.*)", found[2])
    return [value for value in (v.split(" #")[0].strip("\"' \t") for v in values) if value]


def _spdx(name: str) -> str:
    lower = name.lower()
    if lower.startswith(("cc-by", "cc0-", "mit", "gpl-", "lgpl-", "agpl-")):
        return name.upper()
    return {"apache-2.0": "Apache-2.0"}.get(lower, name)
