"""`dispatch`, as in RAMCloud: one thread accepts, reads and parses, and dispatches requests to workers."""

from argparse import Namespace
from collections.abc import Callable
from functools import partial

from .dispatcher import Dispatcher
from .linux import set_thread_name
from .listening import listen
from .model import Announce, Context, Model, Option
from .service import Service
from .worker_pool import WorkerPool


def serve(context: Context, options: Namespace, announce: Announce) -> int:
    """Dispatch in the main thread; process requests in the workers."""
    set_thread_name("ss-dispatch")
    settings = context.settings
    listener = listen(settings.host, settings.port, settings.backlog)
    dispatcher = Dispatcher(context, listener, workers_reply=options.reply == "worker")
    pool = WorkerPool(context, processes=False)
    pool.start(partial(_work, context, dispatcher))
    announce(listener.getsockname()[1])
    dispatcher.run()
    listener.close()
    dispatcher.dismiss(settings.workers)
    well = pool.end()
    dispatcher.close()
    return 0 if well else 1


def _work(context: Context, dispatcher: Dispatcher, index: int, ready: Callable[[], None]) -> None:
    service = Service(context, index)
    ready()
    while (job := dispatcher.next_job()) is not None:
        service.work()
        dispatcher.finish(job, service)


MODEL = Model(
    "dispatch",
    "one thread reads and gives requests to N workers (RAMCloud)",
    serve,
    (Option("--reply", "who sends the reply", ("worker", "dispatcher"), "worker"),),
)
