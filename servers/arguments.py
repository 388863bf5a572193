"""The command line of `python -m servers`."""

import argparse
import ipaddress
from pathlib import Path

from .commandline import Parser, WholeNumber
from .errors import UsageError
from .model import Model, Settings
from .models import MODELS

MAX_WORKERS = 256
MAX_WORK_US = 1_000_000


def parse(arguments: list[str] | None) -> tuple[Model, Settings, argparse.Namespace]:
    """Parse the model, the common settings, and the options of the model.

    :raises UsageError: when the command line is invalid
    """
    parser = Parser("servers", description="Reference TCP servers (HTTP/1.1).", allow_abbrev=False)
    choices = parser.add_subparsers(dest="model", metavar="MODEL", required=True)
    for model in MODELS:
        own = choices.add_parser(
            model.name, help=model.summary, description=model.summary, allow_abbrev=False
        )
        _add_common(own)
        for option in model.options:
            own.add_argument(option.flag, **option.parser_arguments())
    options, unknown = parser.parse_known_args(arguments)
    model = next(model for model in MODELS if model.name == options.model)
    if unknown:
        raise UsageError(_refusal(model, unknown[0]))
    return model, _settings(model, options), options


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", type=_address, default="127.0.0.1", help="IPv4 or IPv6 address; :: takes both"
    )
    parser.add_argument(
        "--port", type=WholeNumber(0, 65535), default=0, help="0 lets the kernel choose (default)"
    )
    parser.add_argument(
        "--workers", type=WholeNumber(1, MAX_WORKERS), help="default: 2, or what the model allows"
    )
    parser.add_argument(
        "--backlog", type=WholeNumber(0, 2**31 - 1), default=511, help="accept queue asked for (511)"
    )
    parser.add_argument(
        "--work",
        type=WholeNumber(0, MAX_WORK_US),
        default=0,
        metavar="MICROSECONDS",
        help="CPU burnt a request",
    )
    parser.add_argument(
        "--slow", type=_straggler, metavar="WORKER:MICROSECONDS", help="more CPU a request for one worker"
    )
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="append one JSON line a connection")


def _settings(model: Model, options: argparse.Namespace) -> Settings:
    workers = options.workers or (1 if model.one_worker else 2)
    if model.one_worker and workers != 1:
        raise UsageError(f"{model.name} has one worker, --workers {workers} is not possible")
    slow: dict[int, int] = dict([options.slow]) if options.slow else {}
    for worker in slow:
        if worker >= workers:
            raise UsageError(f"--slow names worker {worker}, but the workers are 0 to {workers - 1}")
    return Settings(options.host, options.port, workers, options.backlog, options.work, slow, options.ledger)


def _refusal(model: Model, argument: str) -> str:
    flag = argument.partition("=")[0]
    having = [other.name for other in MODELS if any(option.flag == flag for option in other.options)]
    if having:
        verb = "has" if len(having) == 1 else "have"
        return f"{model.name} has no option {flag} ({' and '.join(having)} {verb})"
    return f"{model.name} does not know {argument}"


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IPv4 or IPv6 address") from None


def _straggler(text: str) -> tuple[int, int]:
    worker, colon, microseconds = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not WORKER:MICROSECONDS")
    return WholeNumber(0, MAX_WORKERS - 1)(worker), WholeNumber(0, MAX_WORK_US)(microseconds)
