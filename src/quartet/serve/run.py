"""Running the server until it is told to stop."""

import logging

import uvicorn

from quartet.errors import OptionError
from quartet.serve.app import create_app
from quartet.serve.options import ServeOptions

log = logging.getLogger("quartet.serve")
KEEP_ALIVE = 75  # seconds that a connection may be idle
PONG = (
    300.0  # seconds until a WebSocket's client has to answer: behind sound that waits to be taken, its answer waits too
)


def run(options: ServeOptions) -> None:
    """Answer until SIGINT or SIGTERM; what was accepted is answered then. Raises what `create_app` raises."""
    config = uvicorn.Config(
        create_app(options),
        host=options.host,
        port=options.port,
        access_log=False,  # addresses carry texts
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(options.grace),
        server_header=False,
        ws_ping_timeout=PONG,
        ws_per_message_deflate=False,  # sound in Base64 does not get smaller, and it takes memory for each connection
    )
    server = uvicorn.Server(config)
    try:
        socket = config.bind_socket()
    except SystemExit:  # uvicorn has logged why
        raise OptionError(f"{options.host}:{options.port} cannot be listened on; is another server there?") from None
    log.warning("serving on http://%s:%d", options.host, socket.getsockname()[1])
    server.run([socket])
