"""Logs without what users send.

An exception's message may name a text, so its type and its place are all that is left. What the library says of a text
or a recording, as the command line shows it, is left out. This is a filter of the loggers: it holds for whatever
handlers and formats they have.
"""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOGGERS = ("asyncio", "quartet", "quartet.serve", "uvicorn.error")
ABOUT_INPUT = ("audio", "transcription", "translation")  # folders whose messages name texts and files of users


@contextmanager
def discreet() -> Iterator[None]:
    """Keep messages of exceptions out of the logs, as long as the `with` statement lasts."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(_is_told)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_is_told)


def _is_told(record: logging.LogRecord) -> bool:
    if record.name == "quartet" and Path(record.pathname).parent.name in ABOUT_INPUT:
        return False
    if record.exc_info and record.exc_info[1] is not None:
        record.exc_text = "".join(_lines(record.exc_info[1]))
        record.exc_info = None
    if record.name == "asyncio":  # whose further lines show futures, with their exceptions
        record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True


def _lines(error: BaseException) -> Iterator[str]:
    """Where an exception was raised, and of which type it is, those before it first."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _lines(before)
        yield "\nwhich led to:\n\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}\n"
