"""Options that select what is traced and how, shared by all tracing commands."""

from __future__ import annotations

import argparse

from sockscope.errors import UsageError
from sockscope.target import Target


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add --port, --pid, --comm, --cgroup, --netns and --container."""
    group = parser.add_argument_group(
        "target", "filters are ANDed (values of one option are ORed); default: every listener on this host"
    )
    group.add_argument(
        "--port", type=int, action="append", default=[], metavar="PORT", help="listening port (repeatable)"
    )
    group.add_argument(
        "--pid",
        type=int,
        action="append",
        default=[],
        metavar="PID",
        help="process with its threads and children, present and future (repeatable)",
    )
    group.add_argument("--comm", default="", metavar="NAME", help="process name (at most 15 characters)")
    group.add_argument("--cgroup", default="", metavar="PATH", help="processes in this cgroup v2 or below it")
    group.add_argument(
        "--netns", default="", metavar="NAME", help="network namespace: name, path, pid or inode"
    )
    group.add_argument(
        "--container", default="", metavar="NAME", help="container: id, prefix of the id, or name"
    )


def get_target(args: argparse.Namespace) -> Target:
    """Return the target that the options select.

    :raises UsageError: for a port out of range
    """
    for port in args.port:
        if not 0 < port < 65536:
            raise UsageError(f"--port {port}: out of range", hint="ports are 1 to 65535")
    return Target(tuple(args.port), tuple(args.pid), args.comm, args.cgroup, args.netns, args.container)


def add_tracing_options(parser: argparse.ArgumentParser) -> None:
    """Add --disable, --attach and --map-size."""
    group = parser.add_argument_group("tracing")
    add_disable_option(group)
    group.add_argument(
        "--attach",
        action="append",
        default=[],
        metavar="SIGNAL=METHOD",
        help="use this attach method for a signal, or 'off'; sockscope doctor lists them (repeatable)",
    )
    group.add_argument(
        "--map-size",
        action="append",
        default=[],
        metavar="NAME=N",
        help="maximum entries of a BPF map: connections, workers, listeners, ... (repeatable)",
    )


def add_disable_option(group: argparse._ArgumentGroup) -> None:
    """Add --disable."""
    group.add_argument(
        "--disable",
        action="append",
        default=[],
        metavar="SIGNALS",
        help="disable these signals to reduce overhead: data-ready, read, write, wait, wake "
        "(comma-separated, repeatable); metrics that need them are shown as 'not traced'",
    )


def get_attach_methods(args: argparse.Namespace) -> dict[str, str]:
    """Return signal → attach method from --attach, and ``off`` for the signals of --disable.

    :raises UsageError: for a malformed word, or when both options name a signal
    """
    from sockscope.tracer.selection import OFF, is_disabled

    methods = parse_pairs(getattr(args, "attach", []), "--attach")
    names = [name.strip() for text in args.disable for name in text.split(",") if name.strip()]
    for name in is_disabled(dict.fromkeys(names, OFF)):
        if methods.get(name, OFF) != OFF:
            raise UsageError(f"--disable and --attach both name {name}", hint="use one of them")
        methods[name] = OFF
    return methods


def parse_pairs(given: list[str], option: str) -> dict[str, str]:
    """Return ``NAME=VALUE`` words as a mapping.

    :raises UsageError: for a word without ``=``
    """
    pairs = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"{option} {word!r}: not NAME=VALUE")
        pairs[name] = value
    return pairs
