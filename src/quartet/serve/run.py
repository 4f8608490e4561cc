"""Running the server until it is told to stop."""

import logging
import signal
import socket

import uvicorn

from quartet.errors import OptionError
from quartet.serve import request_log, workers
from quartet.serve.options import ServeOptions
from quartet.serve.state import Worker, folder_of_a_server

BACKLOG = 2048  # connections that wait for us, as uvicorn has it

log = logging.getLogger("quartet.serve")


def run(options: ServeOptions) -> None:
    """Answer until SIGINT or SIGTERM; what was accepted is answered then. Raises what `create_app` raises."""
    request_log.configure(options.log_format)
    try:
        _serve(options)
    except KeyboardInterrupt as told:
        if options.log_format != "json":
            raise
        number = signal.Signals(told.args[0] if told.args else signal.SIGINT)
        log.warning("stopped by %s", number.name)  # as an object too
        raise SystemExit(128 + number) from None


def _serve(options: ServeOptions) -> None:
    config = workers.config("", options)
    try:
        listening = config.bind_socket()
    except SystemExit:  # uvicorn has logged why
        raise _taken(options) from None
    if options.workers > 1:
        workers.supervise(options, listening, lambda: _tell(options, listening))
        return
    from quartet.serve.app import create_app  # noqa: PLC0415 - heavy, and who starts workers needs it not

    with folder_of_a_server() as folder:
        app = create_app(options, Worker(folder=folder))
        _tell(options, listening)
        uvicorn.Server(workers.config(app, options)).run([listening])


def _tell(options: ServeOptions, listening: socket.socket) -> None:
    try:
        listening.listen(BACKLOG)  # whoever reads the line may connect at once, though nobody answers yet
    except OSError:  # another server came between
        raise _taken(options) from None
    log.warning("serving on http://%s:%d", options.host, listening.getsockname()[1])


def _taken(options: ServeOptions) -> OptionError:
    return OptionError(f"{options.host}:{options.port} cannot be listened on; is another server there?")
