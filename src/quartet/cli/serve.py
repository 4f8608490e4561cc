"""`quartet serve`."""

import argparse
from dataclasses import fields

from quartet.errors import OptionError
from quartet.serve.options import ServeOptions


def serve(args: argparse.Namespace) -> None:
    """Answer requests until told to stop. Raises `OptionError` where the packages for it are missing."""
    try:
        from quartet.serve.run import run  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise OptionError(f"serving needs {error.name}: pip install 'quartet-onnx[serve]'") from None
    given = {field.name: getattr(args, field.name) for field in fields(ServeOptions) if hasattr(args, field.name)}
    given["models"] = tuple(dict.fromkeys(args.model or ServeOptions.models))
    run(ServeOptions(**given))
