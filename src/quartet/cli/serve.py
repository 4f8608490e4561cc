"""`quartet serve`."""

import argparse
import logging
import os
from dataclasses import fields
from importlib.util import find_spec

from quartet.errors import OptionError
from quartet.options.declared import SERVE, SERVE_VARIABLES
from quartet.options.environment import unknown
from quartet.serve.options import ServeOptions

NEEDED = ("uvicorn", "fastapi", "multipart", "prometheus_client")

log = logging.getLogger("quartet.serve")


def serve(args: argparse.Namespace) -> None:
    """Answer requests until told to stop. Raises `OptionError` where the packages for it are missing."""
    if args.new_key:
        _print_new_key()
        return
    for name in NEEDED:
        if find_spec(name) is None:
            raise OptionError(f"serving needs {name}: pip install 'quartet-onnx[serve]'")
    from quartet.serve.run import run  # noqa: PLC0415 - an extra

    for name in unknown(SERVE_VARIABLES, SERVE, os.environ):
        log.warning("%s in the environment is no option of `quartet serve`", name)
    given = {field.name: getattr(args, field.name) for field in fields(ServeOptions) if hasattr(args, field.name)}
    given["models"] = tuple(dict.fromkeys(args.model or given.get("models", ServeOptions.models)))
    run(ServeOptions(**given))


def _print_new_key() -> None:
    from quartet.serve.limits import new_key  # noqa: PLC0415

    key, line = new_key()
    print(f"{key}  # for whoever asks; it is not kept anywhere\n{line}  # for the file of keys")
