"""The options by which every tracing command is told what to trace."""

from __future__ import annotations

import argparse

from sockscope.errors import UsageError
from sockscope.target import Target


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add --port, --pid, --comm, --cgroup and --netns."""
    group = parser.add_argument_group(
        "target", "every part given must hold; nothing given is every listener of the host"
    )
    group.add_argument(
        "--port", type=int, action="append", default=[], metavar="PORT", help="a listening port (may repeat)"
    )
    group.add_argument(
        "--pid", type=int, action="append", default=[], metavar="PID",
        help="a process with its threads and children, present and future (may repeat)",
    )  # fmt: skip
    group.add_argument(
        "--comm", default="", metavar="NAME", help="processes of this name (at most 15 characters)"
    )
    group.add_argument(
        "--cgroup", default="", metavar="PATH", help="processes in this cgroup (v2) or below it"
    )
    group.add_argument(
        "--netns", default="", metavar="NAME", help="a network namespace: name, path, pid or inode"
    )
    group.add_argument(
        "--container",
        default="",
        metavar="NAME",
        help="a container by its id, the id's beginning, or its name",
    )


def target_of(args: argparse.Namespace) -> Target:
    """The target that the options name.

    :raises UsageError: for values that cannot be right
    """
    for port in args.port:
        if not 0 < port < 65536:
            raise UsageError(f"--port {port}: ports are 1 to 65535")
    return Target(tuple(args.port), tuple(args.pid), args.comm, args.cgroup, args.netns, args.container)


def add_tracing_options(parser: argparse.ArgumentParser) -> None:
    """Add --without, --signals and --limits, for who wants to choose what is traced, and how."""
    group = parser.add_argument_group("tracing")
    add_without(group)
    group.add_argument(
        "--signals", action="append", default=[], metavar="NAME=WAY",
        help="get a signal by this way, or 'off' (sockscope doctor lists them; may repeat)",
    )  # fmt: skip
    group.add_argument(
        "--limits", action="append", default=[], metavar="NAME=NUMBER",
        help="room in the kernel: connections, workers, listeners, ... (may repeat)",
    )  # fmt: skip


def add_without(group: argparse._ArgumentGroup) -> None:
    """Add --without."""
    group.add_argument(
        "--without", action="append", default=[], metavar="SIGNALS",
        help="do not trace these, and pay less: data-ready, read, write, wait, wake (with commas; may repeat); what "
        "needs them is told as not traced",
    )  # fmt: skip


def signals_of(args: argparse.Namespace) -> dict[str, str]:
    """Signal → way, from --signals, and ``off`` for those of --without.

    :raises UsageError: for a word that cannot be right, or when the two contradict each other
    """
    from sockscope.tracer.selection import OFF, is_disabled

    ways = pairs_of(getattr(args, "signals", []), "--signals")
    names = [name.strip() for text in args.without for name in text.split(",") if name.strip()]
    for name in is_disabled(dict.fromkeys(names, OFF)):
        if ways.get(name, OFF) != OFF:
            raise UsageError(
                f"--without leaves {name} out, and --signals says how to get it; take one of them"
            )
        ways[name] = OFF
    return ways


def pairs_of(given: list[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` words as a mapping.

    :raises UsageError: for a word without ``=``
    """
    pairs = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"{option} {word!r}: write NAME=VALUE")
        pairs[name] = value
    return pairs
