"""Several processes that answer on one port: started, started again when they die, and told to stop together.

This is ours and not uvicorn's, whose supervisor differs from version to version, kills a worker that is silent for
five seconds, and starts one that cannot start for ever.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from socket import socket
from typing import Any

import uvicorn

from quartet.errors import QuartetError
from quartet.runtime.machine import packing
from quartet.serve import request_log
from quartet.serve.connections import connection
from quartet.serve.options import ServeOptions
from quartet.serve.state import SHARED_FIGURES, State, Worker, folder_of_a_server

KEEP_ALIVE = 75  # seconds that a connection may be idle
PONG = 300.0  # seconds for the answer to a WebSocket's ping: it comes behind sound that waits to be taken
STARTUP_FAILURE = 3  # uvicorn's status, which it keeps in one place in this version and in another in the next
PAUSE = 1.0  # seconds at least from one start of a worker to its next

log = logging.getLogger("quartet.serve")
_spawn = multiprocessing.get_context("spawn")  # threads of ONNX Runtime do not live through a fork


def config(app: Any, options: ServeOptions) -> uvicorn.Config:
    """How an application is served."""
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
        ws_ping_timeout=PONG,
        ws_per_message_deflate=False,  # sound in Base64 does not get smaller, and it takes memory for each connection
    )


def supervise(options: ServeOptions, listening: socket, tell: Callable[[], None]) -> None:
    """Have workers answer on a socket until `KeyboardInterrupt`; what they have accepted they answer then.

    tell: called when the first of them is there. One that dies is started again. Raises what the first one raises
    while it starts, which is before the others are started.
    """
    with folder_of_a_server() as folder:
        State(folder).close()
        workers = [Worker(number, options.workers, folder) for number in range(options.workers)]
        with _ended_together(listening):
            first = _start(options, workers[0], listening, wait_for=True)
            tell()
            _keep([first, *(_start(options, worker, listening) for worker in workers[1:])], options, listening)


@dataclass(frozen=True)
class _Running:
    worker: Worker
    process: BaseProcess
    since: float  # on the monotonic clock


def _start(options: ServeOptions, worker: Worker, listening: socket, *, wait_for: bool = False) -> _Running:
    """Start a worker. wait_for: until it can serve; raises what it raises instead."""
    ours, theirs = _spawn.Pipe(duplex=False)
    told = theirs if wait_for else None
    process = _spawn.Process(target=_work, args=(options, worker, listening, told), name=f"worker {worker.number}")
    process.start()
    theirs.close()
    with ours:
        try:
            error = ours.recv() if wait_for else None
        except EOFError:
            process.join()
            error = QuartetError(f"a worker ended while it started, with status {process.exitcode}")
    if error is not None:
        raise error
    return _Running(worker, process, time.monotonic())


def _keep(running: list[_Running], options: ServeOptions, listening: socket) -> None:
    """Start each worker again that dies, without end."""
    while True:
        died = wait([one.process.sentinel for one in running])
        for place, one in enumerate(running):
            if one.process.sentinel in died:
                one.process.join()
                if one.process.exitcode == STARTUP_FAILURE and one.worker.instead_of is None:  # it never served
                    raise QuartetError(f"worker {place} could not start; the log says why")
                log.warning("worker %d died with status %s; it is started again", place, one.process.exitcode)
                time.sleep(max(0.0, one.since + PAUSE - time.monotonic()))
                again = Worker(one.worker.number, one.worker.count, one.worker.folder, one.process.pid)
                running[place] = _start(options, again, listening)


@contextlib.contextmanager
def _ended_together(listening: socket) -> Iterator[None]:
    """However the `with` statement ends: nobody connects any more, and each worker ends when it has answered."""
    try:
        yield
    finally:
        listening.close()
        processes = multiprocessing.active_children()  # one that was being started is there too
        try:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()
        except KeyboardInterrupt:  # told twice
            for process in processes:
                process.kill()
            raise


# ---- in a worker ----------------------------------------------------------------------------------------------------


def _work(options: ServeOptions, worker: Worker, listening: socket, told: Connection | None) -> None:
    """Be a worker until SIGTERM. told: gets None when it can serve, or what went wrong; else that is in the log."""
    for name in ("SIGINT", "SIGHUP"):  # a terminal's, to all processes at once; the one that started us tells us
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_the_parent, name="quartet-parent", daemon=True).start()
    packing.share_freed()
    request_log.configure(options.log_format, worker.number)
    if options.metrics and worker.folder:
        figures = worker.folder / "figures"
        figures.mkdir(exist_ok=True)
        os.environ[SHARED_FIGURES] = str(figures)
    from quartet.serve.app import create_app  # noqa: PLC0415 - reads the variable

    try:
        app = create_app(options.share(), worker)
    except QuartetError as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it comes when this is told, and would end the ending
        if told is None:
            log.error("worker %d cannot start: %s", worker.number, error)
        else:
            told.send(error)
        raise SystemExit(1) from None
    if told is not None:
        told.send(None)
        told.close()
    uvicorn.Server(config(app, options)).run([listening])


def _leave(_number: int, _frame: object) -> None:
    sys.exit(0)


def _end_with_the_parent() -> None:
    """Stop, as when told to, when the process is gone that would tell us."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
