"""The options by which every tracing command is told what to trace."""

from __future__ import annotations

import argparse

from sockscope.errors import UsageError
from sockscope.sources.target import Target


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
    """Add --signals and --limits, for who wants to choose how it is traced."""
    group = parser.add_argument_group("tracing")
    group.add_argument(
        "--signals", action="append", default=[], metavar="NAME=WAY",
        help="get a signal by this way, or 'off' (sockscope doctor lists them; may repeat)",
    )  # fmt: skip
    group.add_argument(
        "--limits", action="append", default=[], metavar="NAME=NUMBER",
        help="room in the kernel: connections, workers, listeners, ... (may repeat)",
    )  # fmt: skip


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
