"""``sockscope`` without a command: what is possible on this machine, and which commands to run first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope import formatting
from sockscope.errors import SockscopeError

if TYPE_CHECKING:
    from sockscope.cli.doctor import Check
    from sockscope.host.overview import Listening

#: Listeners that the page shows at most; ``sockscope listeners`` shows all.
_MAX_LISTENERS = 5
#: Columns of the longest suggested command, if a recording's name is not longer.
_MIN_COMMAND_WIDTH = 44


@dataclass(frozen=True)
class ListeningPort:
    """All listeners of one port in one network namespace.

    ``namespace`` is empty for the own one; ``processes`` is the number of processes that own a listener.
    """

    port: int
    namespace: str
    queue: int
    drops: int
    processes: int
    names: tuple[str, ...]

    def describe(self) -> str:
        """Return one line without the port: ``nginx (5 processes), 12 drops``."""
        name = ", ".join(self.names[:2]) or "owner not visible"
        parts = [f"{name} ({self.processes} processes)" if self.processes > 1 else name]
        if self.namespace:
            parts.append(f"network namespace {self.namespace}")
        if self.queue:
            parts.append(f"{formatting.count(self.queue)} in the accept queue")
        if self.drops:
            parts.append(f"{formatting.count(self.drops)} drops")
        return ", ".join(parts)


@dataclass(frozen=True)
class Suggestion:
    """A command to run, and its purpose."""

    command: str
    purpose: str


def show_start_page() -> int:
    """Print the start page and return the exit status."""
    from sockscope.cli.doctor import check_prerequisites
    from sockscope.host.overview import overview

    checks = check_prerequisites()
    try:
        seen = overview()
        ports = group_by_port(seen.listeners, seen.own)
    except SockscopeError:
        ports = ()
    print(start_page(checks, ports, _newest_recording(Path.cwd()), _root_prefix()))
    return 0


def group_by_port(listeners: Iterable[Listening], own: int) -> tuple[ListeningPort, ...]:
    """Return the listening ports: those with drops first, then those with queues, then by processes.

    :param own: inode of the own network namespace
    """
    groups: dict[tuple[int, int], list[Listening]] = {}
    for listener in listeners:
        groups.setdefault((listener.netns, listener.port), []).append(listener)
    ports = [
        ListeningPort(
            port=port,
            namespace="" if netns == own else formatting.printable(members[0].netns_name),
            queue=sum(member.queue for member in members),
            drops=sum(member.drops for member in members),
            processes=len({owner.pid for member in members for owner in member.owners}),
            names=tuple(
                sorted({formatting.printable(owner.comm) for member in members for owner in member.owners})
            ),
        )
        for (netns, port), members in groups.items()
    ]
    return tuple(sorted(ports, key=lambda it: (-it.drops, -it.queue, -it.processes, it.port)))


def start_page(
    checks: Sequence[Check], ports: Sequence[ListeningPort], recording: Path | None, root_prefix: str
) -> str:
    """Format the start page.

    :param checks: prerequisites of tracing, in the order in which they are to be fixed
    :param ports: listening ports, in the order of :func:`group_by_port`
    :param recording: a recording to open, if there is one
    :param root_prefix: how to run a command as root, for example ``sudo ``
    """
    missing = next((check for check in checks if check.state == "missing"), None)
    lines = ["sockscope shows which thread accepted, read and answered each TCP connection.", ""]
    if missing is None:
        lines.append("Tracing: possible on this machine")
    else:
        lines.append(f"Tracing: not possible yet: {formatting.printable(missing.says)}")
        if missing.remedy:
            lines.append(f"         → {formatting.printable(missing.remedy)}")
    lines += ["", *_listening_lines(ports), "", "Commands to start with:"]
    needs_root = root_prefix if missing is not None and missing.what == "privileges" else ""
    can_trace = missing is None or bool(needs_root)
    suggestions = _suggestions(ports[0].port if ports else None, can_trace, needs_root, recording)
    width = max(_MIN_COMMAND_WIDTH, *(len(it.command) for it in suggestions))
    lines += [f"  {it.command:<{width}}  {it.purpose}" for it in suggestions]
    return "\n".join(lines)


def _listening_lines(ports: Sequence[ListeningPort]) -> list[str]:
    if not ports:
        return ["Listening TCP ports: none"]
    shown = ports[:_MAX_LISTENERS]
    count = f"{len(shown)} of {len(ports)}" if len(shown) < len(ports) else str(len(ports))
    return [f"Listening TCP ports ({count}):", *(f"  {it.port:>5}  {it.describe()}" for it in shown)]


def _suggestions(
    port: int | None, can_trace: bool, prefix: str, recording: Path | None
) -> tuple[Suggestion, ...]:
    found = []
    if can_trace and port is not None:
        found += [
            Suggestion(f"{prefix}sockscope live --port {port}", "watch this port in a dashboard"),
            Suggestion(f"{prefix}sockscope check --port {port} -d 10s", "check it for faults"),
            Suggestion(
                f"{prefix}sockscope record -o {port}.sockscope --port {port}", "record it until Ctrl-C"
            ),
        ]
    elif can_trace:
        found.append(Suggestion(f"{prefix}sockscope demo", "trace reference servers under load"))
    else:
        found.append(Suggestion("sockscope doctor", "check what tracing needs, and how to fix it"))
    if recording is not None:
        name = formatting.printable(recording.name)
        found.append(Suggestion(f"sockscope report {name}", "report on the newest recording here"))
    found += [
        Suggestion("sockscope listeners", "list all listeners (needs no root)"),
        Suggestion("sockscope --help", "list all commands"),
    ]
    return tuple(found)


def _newest_recording(directory: Path) -> Path | None:
    """Return the newest recording in ``directory`` that can be read, if any."""
    try:
        found = [path for path in directory.glob("*.sockscope") if os.access(path, os.R_OK)]
        return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    except OSError:
        return None


def _root_prefix() -> str:
    """Return how to run a command as root: empty for root itself, or without sudo."""
    return "sudo " if os.geteuid() and shutil.which("sudo") else ""
