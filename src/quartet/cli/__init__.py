"""The command line: `parser` says what can be typed, one module per group of commands does it.

Results go to stdout and nothing else does; notices, bars and errors go to stderr. Exit codes: 0 done, 1 it failed,
2 what was asked for makes no sense, 130 interrupted, 143 terminated (129 where the terminal went away).
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from quartet.cli import console
from quartet.cli.parser import parser
from quartet.errors import QuartetError

ENDINGS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal was closed"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = argparse.Namespace()
    try:
        with _signals_as_interrupts():
            args = parser().parse_args((sys.argv[1:] if argv is None else argv) or ["--help"])
            console.show_notices()
            for stream in (sys.stdout, sys.stderr):  # a letter that a terminal cannot show must not end a long run
                if hasattr(stream, "reconfigure"):
                    stream.reconfigure(errors="replace")
            run: Callable[[argparse.Namespace], None] = args.run
            run(args)
            if sys.stdout is not None:  # it was closed before we began
                sys.stdout.flush()
    except QuartetError as error:
        return _fail(_as_typed(error, args), error.exit_code, error)
    except KeyboardInterrupt as interrupt:
        number = interrupt.args[0] if interrupt.args and isinstance(interrupt.args[0], int) else signal.SIGINT
        return _fail(ENDINGS[signal.Signals(number).name], 128 + number, interrupt)
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


@contextlib.contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does, so that nothing half done is left; what `nohup` ignores stays so."""
    if threading.current_thread() is not threading.main_thread():  # elsewhere no signals can be handled
        yield
        return
    names = [name for name in ENDINGS if name != "SIGINT" and hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    ours = [name for name in names if before[name] == signal.SIG_DFL]
    for name in ours:
        signal.signal(getattr(signal, name), _interrupt)
    try:
        yield
    finally:
        for name in ours:
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(number)


def _fail(message: str, code: int, error: BaseException) -> int:
    """Say it in one line, with what others have noted about the error on its way."""
    message = "; ".join([message, *getattr(error, "__notes__", ())])
    line = " ".join(message.split())  # names that hold line breaks must not make two lines of one
    print(f"quartet: {line}", file=sys.stderr)
    return code
