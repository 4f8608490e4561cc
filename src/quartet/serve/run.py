"""Running the server until it is told to stop."""

import logging
import signal
import socket

import uvicorn

from quartet.runtime.machine import packing
from quartet.serve import request_log, workers
from quartet.serve.options import ServeOptions
from quartet.serve.sockets import address, listening_socket, refused
from quartet.serve.state import Worker, folder_of_a_server

BACKLOG = 2048  # connections that wait for us, as uvicorn has it

log = logging.getLogger("quartet.serve")


def run(options: ServeOptions) -> None:
    """Answer until SIGINT or SIGTERM; what was accepted is answered then. Raises what `create_app` raises."""
    packing.share_freed()
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
    listening = listening_socket(options.host, options.port)
    if options.wyoming_port:  # it is listened on later, where an error would come too late for a plain word
        listening_socket(options.host, options.wyoming_port, "wyoming-port").close()
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
    except OSError as error:  # another server came between
        raise refused(error, options.host, options.port) from None
    log.warning("serving on http://%s", address(options.host, listening.getsockname()[1]))
