"""A `tokenizer.json`, opened by the library that it is written for."""

from typing import Any


def json_tokenizer(content: str) -> Any:
    """The tokeniser in a `tokenizer.json`. Raises `ValueError` for one that the library cannot read.

    For some damage it panics, and a panic of Rust is no `Exception` in Python.
    """
    from tokenizers import Tokenizer  # noqa: PLC0415 - slow to import

    try:
        return Tokenizer.from_str(content)
    except Exception as error:  # a bare one
        raise ValueError(str(error)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(str(error)) from None
