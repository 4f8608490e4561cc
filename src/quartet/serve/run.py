"""Running the server until it is told to stop."""

import logging

import uvicorn
from fastapi import FastAPI

from quartet.errors import OptionError
from quartet.runtime.machine import packing
from quartet.serve.app import create_app
from quartet.serve.connections import connection
from quartet.serve.options import ServeOptions

log = logging.getLogger("quartet.serve")
KEEP_ALIVE = 75  # seconds that a connection may be idle


def run(options: ServeOptions) -> None:
    """Answer until SIGINT or SIGTERM; what was accepted is answered then. Raises what `create_app` raises."""
    packing.share_freed()
    server = uvicorn.Server(config_of(create_app(options), options))
    try:
        socket = server.config.bind_socket()
    except SystemExit:  # uvicorn has logged why
        raise OptionError(f"{options.host}:{options.port} cannot be listened on; is another server there?") from None
    socket.listen(server.config.backlog)  # whoever reads the next line may connect at once
    log.warning("serving on http://%s:%d", options.host, socket.getsockname()[1])
    server.run([socket])


def config_of(app: FastAPI, options: ServeOptions) -> uvicorn.Config:
    """How connections are served."""
    return uvicorn.Config(
        app,
        http=connection(options.body_timeout),
        host=options.host,
        port=options.port,
        access_log=False,  # addresses carry texts
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(options.grace),
        server_header=False,
        proxy_headers=False,  # `Forwarded` reads them
    )
