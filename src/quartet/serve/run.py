"""Running the server until it is told to stop."""

import logging

import uvicorn

from quartet.serve.app import create_app
from quartet.serve.options import ServeOptions
from quartet.serve.sockets import address, listening_socket

log = logging.getLogger("quartet.serve")
KEEP_ALIVE = 75  # seconds that a connection may be idle


def run(options: ServeOptions) -> None:
    """Answer until SIGINT or SIGTERM; what was accepted is answered then. Raises what `create_app` raises."""
    socket = listening_socket(options.host, options.port)
    if options.wyoming_port:  # it is listened on later, where an error would come too late for a plain word
        listening_socket(options.host, options.wyoming_port, "wyoming-port").close()
    config = uvicorn.Config(
        create_app(options),
        host=options.host,
        port=options.port,
        access_log=False,  # addresses carry texts
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(options.grace),
        server_header=False,
    )
    log.warning("serving on http://%s", address(options.host, socket.getsockname()[1]))
    uvicorn.Server(config).run([socket])
