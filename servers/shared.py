"""`shared`, the way of Nginx: N acceptor-readers on one listening socket."""

import select
import socket
from argparse import Namespace
from collections.abc import Callable
from functools import partial

from .accept_lock import AcceptLock
from .connection import Acceptor
from .linux import set_thread_name
from .listening import listen
from .loop import Loop
from .model import Announce, Context, Model, Option
from .one_by_one import serve_one_by_one
from .service import Service
from .worker_pool import WorkerPool

_RETRY_S = 0.005


def serve(context: Context, options: Namespace, announce: Announce) -> int:
    """Listen, start the workers and wait for the end."""
    settings = context.settings
    listener = listen(settings.host, settings.port, settings.backlog)
    wait = {"accept": _blocked, "epoll": _herd, "exclusive": _exclusive, "lock": _locked}[options.wait]
    lock = AcceptLock()

    def work(index: int, ready: Callable[[], None]) -> None:
        wait(context, Service(context, index), listener, lock, ready)

    listener.setblocking(options.wait == "accept")
    pool = WorkerPool(context, processes=not options.threads)
    pool.start(work)
    set_thread_name("ss-main")
    announce(listener.getsockname()[1])
    pool.watch()
    if options.wait == "accept":
        # Closing would not wake a worker that is blocked in accept(); this does, in every process.
        listener.shutdown(socket.SHUT_RDWR)
    well = pool.end()
    listener.close()
    return 0 if well else 1


Ready = Callable[[], None]


def _blocked(
    context: Context, service: Service, listener: socket.socket, _: AcceptLock, ready: Ready
) -> None:
    ready()
    serve_one_by_one(context, service, Acceptor(listener))


def _herd(context: Context, service: Service, listener: socket.socket, _: AcceptLock, ready: Ready) -> None:
    _serve_together(context, service, listener, select.EPOLLIN, ready)


def _exclusive(
    context: Context, service: Service, listener: socket.socket, _: AcceptLock, ready: Ready
) -> None:
    _serve_together(context, service, listener, select.EPOLLIN | select.EPOLLEXCLUSIVE, ready)


def _serve_together(
    context: Context, service: Service, listener: socket.socket, events: int, ready: Ready
) -> None:
    loop = Loop(context.ledger, service.advance)
    loop.watch(listener.fileno(), partial(loop.accept_from, Acceptor(listener)), events)
    loop.watch(context.stop.fd, loop.stop)
    ready()
    loop.run()
    loop.close()


def _locked(
    context: Context, service: Service, listener: socket.socket, lock: AcceptLock, ready: Ready
) -> None:
    loop = Loop(context.ledger, service.advance)
    loop.watch(context.stop.fd, loop.stop)
    acceptor = Acceptor(listener)
    mine = lock.share()
    watched = False
    ready()
    while loop.running:
        held = mine.try_take()
        if held and not watched:
            loop.watch(listener.fileno(), lambda: None)
        elif watched and not held:
            loop.unwatch(listener.fileno())
        watched = held
        found = loop.wait(None if held else _RETRY_S)
        if held:
            # As Nginx: accept first, then let go of the lock, and only then serve.
            if any(descriptor == listener.fileno() for descriptor, _ in found):
                loop.accept_from(acceptor)
            mine.release()
        loop.handle(found)
    loop.close()


MODEL = Model(
    "shared",
    "N acceptor-readers on one listening socket (Nginx)",
    serve,
    (
        Option(
            "--wait",
            "how a worker waits for connections",
            ("accept", "epoll", "exclusive", "lock"),
            "exclusive",
        ),
        Option("--threads", "workers are threads, not processes"),
    ),
)
