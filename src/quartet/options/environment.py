"""Options from variables of the environment, for containers: `QUARTET_SERVE_PORT` for `--port` of `quartet serve`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quartet.options.kinds import Option, Table, checked


def variable(prefix: str, option: Option) -> str:
    """The variable of an option: what is typed, in capitals."""
    return prefix + option.typed.removeprefix("--").replace("-", "_").upper()


def from_environment(prefix: str, options: Table, environment: Mapping[str, str]) -> dict[str, Any]:
    """Values by the names of their options. A variable that is empty is none; several values have commas between them.

    Raises `OptionError`, which names the variable.
    """
    found = {}
    for option in options.values():
        name = variable(prefix, option)
        if text := environment.get(name, "").strip():
            found[option.name] = checked(replace(option, name=name), option.kind.read(text))
    return found


def unknown(prefix: str, options: Table, environment: Mapping[str, str]) -> list[str]:
    """Variables with the prefix that belong to no option: perhaps one is misspelled."""
    known = {variable(prefix, option) for option in options.values()}
    return sorted(name for name in environment if name.startswith(prefix) and name not in known)
