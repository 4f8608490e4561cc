"""The commands that only show something: `languages`, `models`, `cache`, `inspect`."""

import argparse
import dataclasses
import json
import sys
from typing import Any

from rich.console import Console

from quartet import catalog, store
from quartet.cli.output import aligned
from quartet.errors import OptionError
from quartet.provision import ready
from quartet.spec import Language, Manifest
from quartet.text.languages import display_name


def languages(args: argparse.Namespace) -> None:
    """Codes and English names of the model's languages."""
    manifest = Manifest.load(ready(args.model, args.precision, args.revision))
    if args.json:
        _print_json([{"name": display_name(x.code), **dataclasses.asdict(x)} for x in manifest.languages])
        return
    _print_columns(
        ("code", "language", ""), *((x.code, display_name(x.code), _directions(x)) for x in manifest.languages)
    )


def _directions(language: Language) -> str:
    if language.source and language.target:
        return ""
    return "source only" if language.source else "target only"


def models(args: argparse.Namespace) -> None:
    """The aliases, and what is converted."""
    cached = store.list_cached()
    if args.json:
        aliases = [dataclasses.asdict(alias) for alias in catalog.aliases().values()]
        converted = [dataclasses.asdict(model) | {"folder": str(model.folder)} for model in cached]
        _print_json({"aliases": aliases, "converted": converted, "cache": str(store.cache_folder())})
        return
    print("Known by name (any org/name on the hub works too)\n")
    _print_columns(("name", "params", "licence", ""), *map(_alias_row, catalog.aliases().values()))
    print(f"\nConverted, in {store.cache_folder()}\n")
    if cached:
        _print_columns(("name", "precision", "size", "licence"), *map(_cached_row, cached))
    else:
        print("nothing yet")


def _alias_row(alias: catalog.Alias) -> tuple[str, ...]:
    return alias.name, f"{alias.parameters:,} M" if alias.parameters else "", alias.license or "", alias.about


def _cached_row(model: store.CachedModel) -> tuple[str, ...]:
    return model.name, model.precision, f"{model.bytes / 1e6:,.0f} MB", model.license or "not stated"


def cache_clear(args: argparse.Namespace) -> None:
    """Delete converted models and say how much came free."""
    print(f"{store.clear_cache(args.name) / 1e6:,.1f} MB freed")


def cache_path(args: argparse.Namespace) -> None:  # noqa: ARG001 - every command gets them
    """Print the cache folder."""
    print(store.cache_folder())


def inspect(args: argparse.Namespace) -> None:
    """Explain a folder of ONNX files, or two of them side by side."""
    from quartet.inspection import inspect_folder, render, render_both  # noqa: PLC0415  onnx_ir is slow to import

    if len(args.folders) > 2:
        raise OptionError(f"{len(args.folders)} folders; one or two can be looked at")
    found = [inspect_folder(folder) for folder in args.folders]
    if args.json:
        shown = [dataclasses.asdict(inspection) for inspection in found]
        _print_json(shown[0] if len(shown) == 1 else shown)
    else:
        _print(render(*found) if len(found) == 1 else render_both(*found))


def _print_columns(*rows: tuple[str, ...]) -> None:
    print("\n".join(aligned(rows)))


def _print(what: Any) -> None:
    Console(file=sys.stdout, highlight=False).print(what)


def _print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=1, default=str))
