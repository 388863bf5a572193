"""`handoff`, as in Memcached: one acceptor hands connections to N readers."""

import select
from argparse import Namespace
from collections.abc import Callable

from .channel import Channel, ProcessChannel, ThreadChannel
from .connection import Acceptor
from .errors import ServerError, complain
from .linux import set_thread_name
from .listening import listen
from .loop import Loop
from .model import Announce, Context, Model, Option
from .service import Service
from .tally import Tally
from .worker_pool import WorkerPool

Pick = Callable[[], int]


def serve(context: Context, options: Namespace, announce: Announce) -> int:
    """Accept in the main thread; read and reply in the workers."""
    settings = context.settings
    kind = ProcessChannel if options.processes else ThreadChannel
    channels: list[Channel] = [kind() for _ in range(settings.workers)]
    tally = Tally(settings.workers)
    listener = listen(settings.host, settings.port, settings.backlog)

    def work(index: int, ready: Callable[[], None]) -> None:
        if options.processes:
            listener.close()
            for other in channels:
                other.keep_taking_end(other is channels[index])
        _read(context, channels[index], tally, index, ready)

    pool = WorkerPool(context, options.processes)
    pool.start(work)
    set_thread_name("ss-acceptor")
    for channel in channels:
        channel.keep_giving_end()
    acceptor = Acceptor(listener)
    pick = tally.least if options.pick == "least" else tally.next
    try:
        with select.epoll() as waiting:
            waiting.register(listener.fileno(), select.EPOLLIN)
            waiting.register(context.stop.fd, select.EPOLLIN)
            announce(listener.getsockname()[1])
            while not any(descriptor == context.stop.fd for descriptor, _ in waiting.poll()):
                _hand_over(context, acceptor, channels, tally, pick)
    finally:
        context.stop.set()
        listener.close()
        for channel in channels:
            channel.end()  # a reader serves until it has taken all that it was given
        well = pool.end()
    return 0 if well else 1


def _hand_over(
    context: Context, acceptor: Acceptor, channels: list[Channel], tally: Tally, pick: Pick
) -> None:
    connection = acceptor.take()
    while connection is not None:
        worker = pick()
        if channels[worker].give(connection, context.stop):
            tally.given(worker)
            return
        if context.stop.is_set():
            connection.close(context.ledger)
            return
        complain(f"servers: ss-worker-{worker} is gone")
        tally.retire(worker)
        if tally.empty:
            connection.close(context.ledger)
            raise ServerError("no worker is left")


def _read(context: Context, channel: Channel, tally: Tally, index: int, ready: Callable[[], None]) -> None:
    # As Memcached does: read until there is nothing left, which ends each burst with one empty read.
    service = Service(context, index, drain=True)
    loop = Loop(context.ledger, service.advance, closed=lambda _: tally.closed(index))

    def take() -> None:
        for connection in channel.take():
            loop.adopt(connection)
        if channel.ended:
            loop.stop()

    loop.watch(channel.fileno(), take)
    ready()
    loop.run()
    loop.close()


MODEL = Model(
    "handoff",
    "one acceptor gives connections to N readers (Memcached)",
    serve,
    (
        Option("--pick", "which reader gets a connection", ("round-robin", "least"), "round-robin"),
        Option("--processes", "readers are processes, which get the descriptor over a Unix socket"),
    ),
)
