"""`python -m servers MODEL`: serve until SIGTERM or SIGINT."""

import os
import sys

from .arguments import parse
from .burn import Burner
from .errors import EXHAUSTED, ServerError, UsageError, complain
from .ledger import Ledger
from .linux import allow_many_descriptors
from .listening import text_address
from .model import Context
from .stop import Stop


def main(arguments: list[str] | None = None) -> int:
    """Run one server; return exit status 2 for a usage error and 1 if it cannot serve."""
    try:
        return _serve(arguments)
    except UsageError as error:
        complain(f"servers: {error}")
        return 2
    except ServerError as error:
        complain(f"servers: {error}")
        return 1
    except OSError as error:
        if error.errno not in EXHAUSTED:
            raise
        complain(f"servers: {error.strerror}")
        return 1


def _serve(arguments: list[str] | None) -> int:
    model, settings, options = parse(arguments)
    stop = Stop()
    stop.on_signals()
    allow_many_descriptors()
    burner = Burner()
    if settings.work_us or settings.slow:
        burner.calibrate()
    context = Context(settings, os.getpid(), stop, Ledger(settings.ledger), burner)

    unsaid: list[OSError] = []

    def announce(port: int) -> None:
        if stop.is_set():
            return
        try:
            print(f"listening on {text_address((settings.host, port))}", flush=True)
        except OSError as error:
            unsaid.append(error)
            stop.set()  # and not an exception here: the model has to end its workers

    status = model.serve(context, options, announce)
    context.ledger.flush()
    stop.reached()
    if unsaid:
        raise ServerError(f"cannot say where the server listens: {unsaid[0].strerror}")
    return status


if __name__ == "__main__":
    sys.exit(main())
