"""What a model's name stands for, in this order: a folder, `demo`, an alias from `models.toml`, `org/name` on the hub.

Nothing here looks at the network.
"""

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from quartet.checkpoint import foreign, foreign_in, is_checkpoint, is_openai_file
from quartet.checkpoint.ctranslate2 import argos
from quartet.checkpoint.shards import brief
from quartet.checkpoint.special_tokens import CONFIG
from quartet.errors import ModelNotFoundError, OptionError, did_you_mean
from quartet.spec import MANIFEST_NAME

DEMO = "demo"
DEMO_FOLDER = Path(__file__).parent / "demo"

REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*")
OPUS_MT = re.compile(r"opus-mt-[A-Za-z_]{2,}-[A-Za-z_]{2,}")


@dataclass(frozen=True)
class Alias:
    """A short name for a repository on the hub."""

    name: str
    repo: str
    license: str | None
    parameters: int | None  # millions
    about: str


@dataclass(frozen=True)
class Source:
    """What a name stands for: a folder with a quartet, a folder with a checkpoint, or a repository on the hub."""

    kind: Literal["quartet", "checkpoint", "hub"]
    name: str  # to display, and for the manifest: the repository, `demo`, or the folder's name
    folder: Path | None = None  # None for the hub
    revision: str | None = None
    license: str | None = None  # as far as the table of aliases knows


def aliases() -> dict[str, Alias]:
    """The table of aliases, by name."""
    return {
        name: Alias(name, f"{group['organisation']}/{name}", group["license"], entry.get("parameters"), entry["about"])
        for group in _table()["group"]
        for name, entry in group["models"].items()
    }


def safe_length_of(repo: str) -> int | None:
    """Tokens up to which a repository's model was measured to translate whole; None: nobody has measured it."""
    length: int | None = _table().get("safe_length", {}).get(repo)
    return length


def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("models.toml").read_text(encoding="utf-8"))


def resolve(name: str, revision: str | None = None) -> Source:
    """What a model's name stands for; looks at the file system, not at the network.

    Raises `ModelNotFoundError` where it stands for nothing, and `OptionError` for a revision of something that
    has none.
    """
    source = _local(name) or _on_the_hub(name, revision)
    if source.folder and revision is not None:
        raise OptionError(f"{name} has no revision {brief(revision)}: only models on the hub have revisions")
    return source


def _local(name: str) -> Source | None:
    folder = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises for an unknown user
    is_folder = bool(name.strip()) and os.path.isdir(folder)  # noqa: PTH112 - Path.is_dir raises on overlong names
    if is_folder and (folder / MANIFEST_NAME).is_file():
        return Source("quartet", folder.resolve().name, folder)
    if is_folder and is_checkpoint(folder):
        return Source("checkpoint", folder.resolve().name, folder)
    if is_openai_file(folder):
        return Source("checkpoint", folder.stem, folder)
    if folder.suffix == argos.SUFFIX and os.path.isfile(folder):  # noqa: PTH113 - as above
        return Source("checkpoint", folder.resolve().stem, folder)
    if name == DEMO:
        return Source("checkpoint", DEMO, DEMO_FOLDER)
    if is_folder and alias_of(name) is None:
        found = foreign_in(folder)
        but = f", but {found}" if found else ""
        raise ModelNotFoundError(f"{name} is no model: it has neither {MANIFEST_NAME} nor {CONFIG}{but}")
    return None


def _on_the_hub(name: str, revision: str | None) -> Source:
    alias = alias_of(name)
    if alias:
        return Source("hub", alias.repo, revision=revision, license=alias.license)
    if _looks_like_path(name):
        is_file = os.path.isfile(name)  # noqa: PTH113 - as above
        hint = foreign.named([name]) or "it is a file; name the folder that holds it" if is_file else "no such folder"
        raise ModelNotFoundError(f"no model {name!r}: {hint}")
    if REPO_ID.fullmatch(name):
        known = {a.repo: a for a in aliases().values()}
        return Source("hub", name, revision=revision, license=known[name].license if name in known else None)
    hint = did_you_mean(name, [DEMO, *aliases()])
    raise ModelNotFoundError(
        f"no model {name!r}{hint}; a model is a folder, `{DEMO}`, "
        "an alias (`quartet models` lists them) or org/name on the hub"
    )


def alias_of(name: str) -> Alias | None:
    """The alias that a name is; any model of opus-mt is one."""
    if OPUS_MT.fullmatch(name):
        return aliases().get(name) or Alias(name, f"Helsinki-NLP/{name}", None, None, "")
    return aliases().get(name)


def _looks_like_path(name: str) -> bool:
    return (
        name.startswith((".", "/", "~"))
        or name.endswith(("/", os.sep))
        or "\\" in name
        or name.count("/") > 1
        or os.path.isfile(name)  # noqa: PTH113 - as above
    )
