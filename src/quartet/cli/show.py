"""The commands that only show something: `languages`, `models`, `cache`, `inspect`."""

import argparse
import dataclasses
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from quartet import models as known_models
from quartet.cli.convert import ready_model
from quartet.runtime.languages import display_name
from quartet.spec import Language, Manifest


def languages(args: argparse.Namespace) -> None:
    """Codes and English names of the model's languages."""
    manifest = Manifest.load(ready_model(args))
    if args.json:
        _print_json([{"name": display_name(x.code), **dataclasses.asdict(x)} for x in manifest.languages])
        return
    table = _table("code", "language", "")
    for language in manifest.languages:
        table.add_row(language.code, display_name(language.code), _directions(language))
    _print(table)


def _directions(language: Language) -> str:
    if language.source and language.target:
        return ""
    return "source only" if language.source else "target only"


def models(args: argparse.Namespace) -> None:
    """The aliases, and what is converted."""
    cached = known_models.list_cached()
    if args.json:
        aliases = [dataclasses.asdict(alias) for alias in known_models.aliases().values()]
        converted = [dataclasses.asdict(model) | {"folder": str(model.folder)} for model in cached]
        _print_json({"aliases": aliases, "converted": converted, "cache": str(known_models.cache_folder())})
        return
    names = _table("name", "parameters", "licence", "", title="Known by name (any org/name on the hub works too)")
    for alias in known_models.aliases().values():
        size = f"{alias.parameters:,} M" if alias.parameters else ""
        names.add_row(alias.name, size, alias.license or "", alias.about)
    done = _table("name", "precision", "size", "licence", title=f"Converted, in {known_models.cache_folder()}")
    for model in cached:
        done.add_row(model.name, model.precision, f"{model.bytes / 1e6:,.0f} MB", model.license or "not stated")
    _print(names)
    _print(done) if cached else print("\nNothing is converted yet.")


def cache_clear(args: argparse.Namespace) -> None:
    """Delete converted models and say how much came free."""
    print(f"{known_models.clear_cache(args.name) / 1e6:,.1f} MB freed")


def cache_path(args: argparse.Namespace) -> None:  # noqa: ARG001 - every command gets them
    """Print the cache folder."""
    print(known_models.cache_folder())


def inspect(args: argparse.Namespace) -> None:
    """Explain a folder of ONNX files."""
    from quartet.inspection import inspect_folder, render  # noqa: PLC0415  onnx_ir is slow to import

    found = inspect_folder(args.folder)
    if args.json:
        _print_json(dataclasses.asdict(found))
    else:
        _print(render(found))


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(box=None, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(what: Any) -> None:
    Console(file=sys.stdout, highlight=False).print(what)


def _print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=1, default=str))
