"""`single`, the way of Node.js: one thread accepts, reads and answers everything."""

from argparse import Namespace
from functools import partial

from .connection import Acceptor
from .linux import set_thread_name
from .listening import listen
from .loop import Loop
from .model import Announce, Context, Model
from .service import Service

_BURST = 64


def serve(context: Context, _: Namespace, announce: Announce) -> int:
    """Serve in the main thread, which is the only one."""
    set_thread_name("ss-worker-0")
    settings = context.settings
    listener = listen(settings.host, settings.port, settings.backlog)
    loop = Loop(context.ledger, Service(context, worker=0).advance)
    # As libuv does: accept until there is nothing left, which ends each burst with one empty accept.
    loop.watch(listener.fileno(), partial(loop.accept_from, Acceptor(listener), _BURST))
    loop.watch(context.stop.fd, loop.stop)
    announce(listener.getsockname()[1])
    loop.run()
    loop.close()
    listener.close()
    return 0


MODEL = Model("single", "one thread does it all (Node)", serve, one_worker=True)
