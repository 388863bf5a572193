"""``sockscope listeners``: list listening sockets and their queues, without BPF."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from sockscope import formatting
from sockscope.errors import UsageError

if TYPE_CHECKING:
    from sockscope.host.overview import Listening, NotVisible, Overview
    from sockscope.steer.groups import Group

_HEADINGS = ("LISTENER", "QUEUE", "LIMIT", "ASKED", "SYN", "DROPS", "OWNERS")
_ROOM_FOR_OWNERS = 18
_WIDE = 72  # columns; in fewer, the gaps between columns are narrow
_Row = tuple[str, ...]


class Listeners:
    """List listening TCP sockets with their queues and owners

    Needs neither BPF nor root (but --steering does); the last line says what root would see in addition.

    QUEUE is the length of the accept queue, LIMIT the backlog in force, ASKED
    the backlog given to listen() as far as it can be known (128+: 128 or more), SYN
    the length of the SYN queue, DROPS the connections that were dropped. A line with
    the sums of a reuseport group precedes its members.

    Examples:

      sockscope listeners
      sockscope listeners --port 443 --watch 1
      sudo sockscope listeners --port 443 --steering
      sockscope listeners --format json | jq '.listeners[] | select(.queue > 0)'

    JSON is one object (with --watch, one per line):
      time_ns    nanoseconds since 1970
      own        inode of the own network namespace; names: {inode: name} of all
      listeners  [netns, netns_name, inode, address, port, family (ipv4, ipv6),
                 group (number of listeners), queue, backlog (in force),
                 requested_backlog {least, clamped (may have been more), short, words},
                 syn_queue (of the whole group), drops, uid (of its creator),
                 owners [pid, comm, command, container, fds]]
      hosts      [netns, listen_overflows, listen_drops, syn_cookies_sent, somaxconn]
      unseen     descriptors, namespaces_of (number of processes that hide these),
                 namespaces (known, but not accessible), outside (why processes are
                 hidden), without_owner (listeners whose owner is not visible)
      steering   with --steering: [netns, address, port, members, program (cBPF, eBPF
                 or empty), program_id, program_name, incoming_cpus]
    """

    name = "listeners"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""
        parser.add_argument(
            "--port", type=int, action="append", default=[], help="only this port (repeatable)"
        )
        parser.add_argument(
            "--netns", default="", help="only this network namespace: name, path, pid or inode"
        )
        parser.add_argument(
            "--format", choices=("text", "json"), default="text", help="text (default) or json"
        )
        parser.add_argument(
            "--steering",
            action="store_true",
            help="also show what selects among the members of SO_REUSEPORT groups (root, BPF)",
        )
        parser.add_argument("--watch", metavar="DURATION", help="repeat every DURATION until Ctrl-C")

    def run(self, args: argparse.Namespace) -> int:
        """Print the listeners; the status is 0 even if there are none."""
        from sockscope.host.overview import overview

        for port in args.port:
            if not 0 < port < 1 << 16:
                raise UsageError(f"--port {port}: out of range", hint="ports are 1 to 65535")
        pause_ns = 0 if args.watch is None else formatting.parse_duration(args.watch)
        if args.watch is not None and not pause_ns:
            raise UsageError("--watch must be greater than 0", hint="for example --watch 1 or --watch 500ms")
        try:
            while True:
                seen = overview(args.port, args.netns)
                groups = _find_groups(seen, args.port) if args.steering else None
                if args.format == "json":
                    document = asdict(seen)
                    if groups is not None:
                        document["steering"] = [_group_document(group) for group in groups]
                    print(json.dumps(document, indent=None if pause_ns else 2))
                else:
                    print(text(seen, _width()))
                    for group in groups or ():
                        print(_group_line(group))
                if not pause_ns:
                    return 0
                sys.stdout.flush()
                time.sleep(pause_ns / 1e9)
                if args.format == "text":
                    print()
        except KeyboardInterrupt:
            if not pause_ns:
                raise
            return 0  # Ctrl-C is the normal end of --watch


def _find_groups(seen: Overview, ports: list[int]) -> list[Group]:
    """Return the SO_REUSEPORT groups of the listed namespaces and ports.

    :raises SockscopeError: without the capabilities, or when the kernel does not allow it
    """
    from sockscope.bpf.btf import Btf
    from sockscope.host import privileges
    from sockscope.steer.groups import GroupFinder

    privileges.require()
    with GroupFinder(Btf.of_running_kernel()) as finder:
        found = finder.find().groups
    return [group for group in found if group.netns in seen.names and (not ports or group.port in ports)]


def _group_line(group: Group) -> str:
    selection = formatting.printable(group.selection) or "the kernel's hash"
    return f"{group.name} (namespace {group.netns}, {group.size} members): selected by {selection}"


def _group_document(group: Group) -> dict[str, object]:
    return {
        "netns": group.netns,
        "address": group.address,
        "port": group.port,
        "members": group.size,
        "program": group.program,
        "program_id": group.program_id,
        "program_name": group.program_name,
        "incoming_cpus": [member.incoming_cpu for member in group.members if member.incoming_cpu >= 0],
    }


def text(seen: Overview, width: int) -> str:
    """Format the listeners as a table no wider than ``width``, then counters and what was not visible."""
    by_netns = {netns: [it for it in seen.listeners if it.netns == netns] for netns in seen.names}
    tables = {netns: list(_rows(listeners)) for netns, listeners in by_netns.items()}
    rows = [_HEADINGS, *(row for table in tables.values() for row in table)]
    ends = [max(len(row[column]) for row in rows) for column in range(1, 6)]
    gap = 2 if width >= _WIDE else 1
    room = width - sum(ends) - gap * (len(ends) + 1) - _ROOM_FOR_OWNERS
    begin = max(len(row[0]) for row in rows if len(row[0]) <= max(room, len("  inode 4294967295")))
    lines: list[str] = []
    for host in sorted(seen.hosts, key=lambda host: (host.netns != seen.own, seen.names[host.netns])):
        if host.netns != seen.own and not tables[host.netns] and lines:
            continue
        if host.netns != seen.own:
            lines += [""] * bool(lines)
            lines.append(f"network namespace {formatting.printable(seen.names[host.netns])} ({host.netns}):")
        table = [_HEADINGS, *tables[host.netns]] if tables[host.netns] else []
        lines += [line for row in table for line in _lines(row, [begin, *ends], gap, width)] or [
            "No listening sockets."
        ]
        lines += _wrapped(
            f"ListenOverflows {host.listen_overflows}, ListenDrops {host.listen_drops}, "
            f"SyncookiesSent {host.syn_cookies_sent}, somaxconn {host.somaxconn}",
            width,
        )
    lines.append("")
    if any(listening.requested_backlog.clamped for listening in seen.listeners):
        lines += _wrapped("ASKED 128+ means 128 or more: net.core.somaxconn may have limited it.", width)
    return "\n".join([*lines, *_wrapped(_not_seen(seen.unseen), width)])


def _rows(listeners: list[Listening]) -> Iterator[_Row]:
    """Yield the rows of one namespace: one per listener, and one with the sums before a group."""
    for (port, address), same in groupby(listeners, key=lambda it: (it.port, it.address)):
        members = list(same)
        place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        if len(members) == 1:
            yield _row(place, members[0], str(members[0].syn_queue))
            continue
        queue, drops = sum(it.queue for it in members), sum(it.drops for it in members)
        yield (
            f"{place} reuseport x{len(members)}",
            str(queue),
            "",
            "",
            str(members[0].syn_queue),
            str(drops),
            "",
        )
        for it in members:
            yield _row(f"  inode {it.inode}", it, "")


def _row(label: str, it: Listening, syn_queue: str) -> _Row:
    return (
        label,
        str(it.queue),
        str(it.backlog),
        it.requested_backlog.short,
        syn_queue,
        str(it.drops),
        _format_owners(it),
    )


def _format_owners(it: Listening) -> str:
    """Format owners as ``nginx 812 (x5), sh 7``: each name, its first process, the number of processes."""
    names = Counter(holder.comm for holder in it.owners)
    first = {holder.comm: holder.pid for holder in reversed(it.owners)}
    parts = [
        f"{formatting.printable(comm)} {first[comm]}" + (f" (x{count})" if count > 1 else "")
        for comm, count in names.most_common()
    ]
    return ", ".join(parts) or f"(user {_user(it.uid)})"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _lines(row: _Row, sizes: list[int], gap: int, width: int) -> list[str]:
    """Format a row as one line; a cell that is too long for its column gets a line of its own."""
    label, *numbers, owners = row
    above = [label] if len(label) > sizes[0] else []
    cells = ["" if above else label, *numbers]
    line = cells[0].ljust(sizes[0])
    for cell, size in zip(cells[1:], sizes[1:], strict=True):
        line += " " * gap + cell.rjust(size)
    below = []
    if len(line) + gap + len(owners) <= width:
        line += " " * gap + owners
    elif row is not _HEADINGS:
        below = [" " * 4 + owners]
    return [shortened.rstrip() for shortened in (_cut(text, width) for text in (*above, line, *below))]


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"


def _processes(count: int) -> str:
    return f"{count} process{'es' * (count != 1)}"


def _not_seen(unseen: NotVisible) -> str:
    """Describe in one sentence what was not visible."""
    parts = [
        f"the owners of {unseen.without_owner} listeners" if unseen.without_owner else "",
        f"the descriptors of {_processes(unseen.descriptors)}" if unseen.descriptors else "",
        f"the network namespaces of {_processes(unseen.namespaces_of)}" if unseen.namespaces_of else "",
        "network namespace " + ", ".join(map(formatting.printable, unseen.namespaces))
        if unseen.namespaces
        else "",
    ]
    parts = [part for part in parts if part]
    hint = " (root sees more)" if os.geteuid() else ""
    hidden = [f"Not visible: {'; '.join(parts)}{hint}."] if parts else []
    hidden += [f"{reason[:1].upper()}{reason[1:]}." for reason in unseen.outside]
    return " ".join(hidden) or "All processes and network namespaces were visible."


def _wrapped(sentence: str, width: int) -> list[str]:
    return textwrap.wrap(sentence, width) or [""]


def _width() -> int:
    """Columns of the terminal; no limit when the output is none and COLUMNS does not say."""
    return shutil.get_terminal_size((80 if sys.stdout.isatty() else 1 << 16, 24)).columns
