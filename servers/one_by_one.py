"""A worker that blocks in accept() and then serves that one connection until it is closed."""

import select
import time

from .connection import Acceptor, Connection
from .model import Context
from .service import CLOSE, Service

PATIENCE_S = 2.0
"""Seconds that an idle client is waited for while others queue, or before it has closed its half."""


def serve_one_by_one(context: Context, service: Service, acceptor: Acceptor) -> None:
    """Serve until the listener is shut."""
    while True:
        try:
            connection = acceptor.take()
        except OSError:
            return
        if connection is not None:
            _serve(context, service, acceptor, connection)
            connection.close(context.ledger)
            if context.stop.is_set():
                return


def _serve(context: Context, service: Service, acceptor: Acceptor, connection: Connection) -> None:
    waiting = select.poll()
    waiting.register(context.stop.fd, select.POLLIN)
    waiting.register(connection.sock, select.POLLIN)
    last_s = time.monotonic()
    while True:
        ready = dict(waiting.poll(PATIENCE_S * 1000))
        if context.stop.fd in ready:
            return
        events = ready.get(connection.sock.fileno(), 0)
        if events:
            wanted = service.advance(connection, events)
            if wanted == CLOSE:
                return
            waiting.modify(connection.sock, wanted)
            if not connection.lingering:
                last_s = time.monotonic()
        elif time.monotonic() - last_s >= PATIENCE_S and (connection.lingering or _others_wait(acceptor)):
            return


def _others_wait(acceptor: Acceptor) -> bool:
    """Whether a client that keeps its connection open for nothing keeps others out."""
    waiting = select.poll()
    waiting.register(acceptor.listener, select.POLLIN)
    return bool(waiting.poll(0))
