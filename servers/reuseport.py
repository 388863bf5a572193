"""`reuseport`: one listening socket a worker; the kernel shares the connections out."""

import socket
from argparse import Namespace
from collections.abc import Callable
from functools import partial

from .connection import Acceptor
from .linux import set_thread_name
from .listening import listen_group, steer_by_cpu
from .loop import Loop
from .model import Announce, Context, Model, Option
from .service import Service
from .worker_pool import WorkerPool


def serve(context: Context, options: Namespace, announce: Announce) -> int:
    """Make the whole group first, so that worker i has member i; then start the workers."""
    settings = context.settings
    group = listen_group(settings.host, settings.port, settings.backlog, settings.workers)
    if options.steer == "cpu":
        steer_by_cpu(group)
    port = group[0].getsockname()[1]
    processes = not options.threads

    def work(index: int, ready: Callable[[], None]) -> None:
        if processes:
            _close_all_but(group, index)
        _serve_one(context, index, group[index], ready)

    pool = WorkerPool(context, processes)
    pool.start(work)
    if processes:
        # A member that outlives its worker would go on taking connections that nobody accepts.
        _close_all_but(group, None)
    set_thread_name("ss-main")
    announce(port)
    pool.watch()
    return 0 if pool.end() else 1


def _serve_one(context: Context, index: int, listener: socket.socket, ready: Callable[[], None]) -> None:
    loop = Loop(context.ledger, Service(context, index).advance)
    loop.watch(listener.fileno(), partial(loop.accept_from, Acceptor(listener)))
    loop.watch(context.stop.fd, loop.stop)
    ready()
    loop.run()
    listener.close()
    loop.close()


def _close_all_but(group: list[socket.socket], kept: int | None) -> None:
    for index, listener in enumerate(group):
        if index != kept:
            listener.close()


MODEL = Model(
    "reuseport",
    "one listening socket a worker, SO_REUSEPORT",
    serve,
    (
        Option(
            "--steer", "what picks the worker: a hash of the addresses, or the CPU", ("hash", "cpu"), "hash"
        ),
        Option("--threads", "workers are threads, not processes"),
    ),
)
