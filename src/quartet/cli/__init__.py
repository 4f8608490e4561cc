"""The command line: `parser` says what can be typed, one module per group of commands does it.

Results go to stdout and nothing else does; notices, bars and errors go to stderr. Exit codes: 0 done, 1 it failed,
2 what was asked for makes no sense, 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from quartet.cli import console
from quartet.cli.parser import parser
from quartet.errors import QuartetError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = argparse.Namespace()
    try:
        args = parser().parse_args((sys.argv[1:] if argv is None else argv) or ["--help"])
        console.show_notices()
        for stream in (sys.stdout, sys.stderr):  # a letter that a terminal cannot show must not end a long run
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        run: Callable[[argparse.Namespace], None] = args.run
        run(args)
        sys.stdout.flush()
    except QuartetError as error:
        return _fail(_as_typed(error, args), error.exit_code, error)
    except KeyboardInterrupt as interrupt:
        return _fail("interrupted", 130, interrupt)
    except BrokenPipeError:  # whoever read our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"{error.filename or 'standard output'}: {error.strerror or error}", 1, error)
    return 0


def _as_typed(error: QuartetError, args: argparse.Namespace) -> str:
    """What an error says, with the name of an option as it is typed: `--batch-size` for `max_batch_size`."""
    option = getattr(error, "option", None) or ""
    typed = getattr(args, "typed", {}).get(option)
    return f"{typed}{str(error).removeprefix(option)}" if typed else str(error)


def _fail(message: str, code: int, error: BaseException) -> int:
    """Say it in one line, with what others have noted about the error on its way."""
    message = "; ".join([message, *getattr(error, "__notes__", ())])
    line = " ".join(message.split())  # names that hold line breaks must not make two lines of one
    print(f"quartet: {line}", file=sys.stderr)
    return code
