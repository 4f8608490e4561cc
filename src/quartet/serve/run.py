"""Running the server until it is told to stop."""

import logging
import socket

import uvicorn

from quartet.errors import OptionError
from quartet.runtime.machine import packing
from quartet.serve import logs, workers
from quartet.serve.options import ServeOptions
from quartet.serve.state import Worker, folder_of_a_server

BACKLOG = 2048  # connections that wait for us, as uvicorn has it

log = logging.getLogger("quartet.serve")


def run(options: ServeOptions) -> None:
    """Answer until SIGINT or SIGTERM; what was accepted is answered then. Raises what `create_app` raises."""
    packing.share_freed()
    logs.configure(options.log_format)
    config = workers.config("", options)
    try:
        listening = config.bind_socket()
    except SystemExit:  # uvicorn has logged why
        raise OptionError(f"{options.host}:{options.port} cannot be listened on; is another server there?") from None
    if options.workers > 1:
        workers.supervise(options, listening, lambda: _tell(options, listening))
        return
    from quartet.serve.app import create_app  # noqa: PLC0415 - heavy, and who starts workers needs it not

    with folder_of_a_server() as folder:
        app = create_app(options, Worker(folder=folder))
        _tell(options, listening)
        uvicorn.Server(workers.config(app, options)).run([listening])


def _tell(options: ServeOptions, listening: socket.socket) -> None:
    listening.listen(BACKLOG)  # whoever reads the line may connect at once, though nobody answers yet
    log.warning("serving on http://%s:%d", options.host, listening.getsockname()[1])
