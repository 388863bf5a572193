"""The command ``listeners``."""

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

_HEADINGS = ("LISTENER", "QUEUE", "LIMIT", "ASKED", "SYN", "DROPS", "HELD BY")
_ROOM_FOR_HOLDERS = 18
_WIDE = 72  # columns; in fewer, the gaps between columns are narrow
_Row = tuple[str, ...]


class Listeners:
    """Print every listening TCP socket, its queues and who holds it.

    Needs neither BPF nor root, and says what root would have seen more.

    QUEUE connections wait to be accepted; LIMIT is the backlog in force; ASKED is
    what listen() was given, as far as that can be known (128+: 128 or more); SYN
    handshakes are under way; DROPS connections were refused.  A reuseport group
    has a line with its sums before those of its members.

    JSON is one object (with --watch one a line):
      time_ns    nanoseconds since 1970
      own        our network namespace (its inode); names: {inode: name} of all seen
      listeners  [netns, netns_name, inode, address, port, family (ipv4, ipv6),
                 group (how many listen there), queue, backlog (in force),
                 requested_backlog {least, clamped (maybe it was more), short, words},
                 syn_queue (of the whole group), drops, uid (who made it),
                 owners [pid, comm, command, container, fds]]
      hosts      [netns, listen_overflows, listen_drops, syn_cookies_sent, somaxconn]
      unseen     descriptors, namespaces_of (how many processes hide these from us),
                 namespaces (known, but closed to us), outside (why processes are
                 hidden), without_owner (listeners whose holder we do not see)
    """

    name = "listeners"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""
        parser.add_argument(
            "--port", type=int, action="append", default=[], help="only this port (may repeat)"
        )
        parser.add_argument(
            "--netns", default="", help="only this network namespace: name, path, pid or inode"
        )
        parser.add_argument(
            "--format", choices=("text", "json"), default="text", help="text (default) or json"
        )
        parser.add_argument("--watch", metavar="SECONDS", help="look again and again, until Ctrl-C")

    def run(self, args: argparse.Namespace) -> int:
        """Print what there is; the status is 0 also when nobody listens."""
        from sockscope.host.overview import overview

        for port in args.port:
            if not 0 < port < 1 << 16:
                raise UsageError(f"there is no port {port}; give one from 1 to 65535")
        pause_ns = 0 if args.watch is None else formatting.parse_duration(args.watch)
        if args.watch is not None and not pause_ns:
            raise UsageError("--watch 0 would never rest; give 1 or 500ms")
        try:
            while True:
                seen = overview(args.port, args.netns)
                if args.format == "json":
                    print(json.dumps(asdict(seen), indent=None if pause_ns else 2))
                else:
                    print(text(seen, _width()))
                if not pause_ns:
                    return 0
                sys.stdout.flush()
                time.sleep(pause_ns / 1e9)
                if args.format == "text":
                    print()
        except KeyboardInterrupt:
            if not pause_ns:
                raise
            return 0  # how a watch ends


def text(seen: Overview, width: int) -> str:
    """The listeners as a table no wider than ``width``, then counters, and what we could not see."""
    by_netns = {netns: [it for it in seen.listeners if it.netns == netns] for netns in seen.names}
    tables = {netns: list(_rows(listeners)) for netns, listeners in by_netns.items()}
    rows = [_HEADINGS, *(row for table in tables.values() for row in table)]
    ends = [max(len(row[column]) for row in rows) for column in range(1, 6)]
    gap = 2 if width >= _WIDE else 1
    room = width - sum(ends) - gap * (len(ends) + 1) - _ROOM_FOR_HOLDERS
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
            "Nobody listens."
        ]
        lines += _wrapped(
            f"ListenOverflows {host.listen_overflows}, ListenDrops {host.listen_drops}, "
            f"SyncookiesSent {host.syn_cookies_sent}, somaxconn {host.somaxconn}",
            width,
        )
    lines.append("")
    if any(listening.requested_backlog.clamped for listening in seen.listeners):
        lines += _wrapped("ASKED 128+ is 128 or more: net.core.somaxconn may have cut it.", width)
    return "\n".join([*lines, *_wrapped(_not_seen(seen.unseen), width)])


def _rows(listeners: list[Listening]) -> Iterator[_Row]:
    """The cells of one namespace's table: a row a listener, and one before the members of a group."""
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
        _held_by(it),
    )


def _held_by(it: Listening) -> str:
    """``nginx 812 (x5), sh 7``: each name with its first process, and how many processes have it."""
    names = Counter(holder.comm for holder in it.owners)
    first = {holder.comm: holder.pid for holder in reversed(it.owners)}
    parts = [
        f"{formatting.printable(comm)} {first[comm]}" + (f" (x{count})" if count > 1 else "")
        for comm, count in names.most_common()
    ]
    return ", ".join(parts) or f"? of {_user(it.uid)}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _lines(row: _Row, sizes: list[int], gap: int, width: int) -> list[str]:
    """A row as a line, and before or behind it what is too long for its column."""
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
    """One sentence on what is hidden from us."""
    parts = [
        f"who holds {unseen.without_owner} of these" if unseen.without_owner else "",
        f"the descriptors of {_processes(unseen.descriptors)}" if unseen.descriptors else "",
        f"the network namespaces of {_processes(unseen.namespaces_of)}" if unseen.namespaces_of else "",
        "network namespace " + ", ".join(map(formatting.printable, unseen.namespaces))
        if unseen.namespaces
        else "",
    ]
    parts = [part for part in parts if part]
    hint = " (root sees more)" if os.geteuid() else ""
    hidden = [f"Not seen: {'; '.join(parts)}{hint}."] if parts else []
    hidden += [f"{reason[:1].upper()}{reason[1:]}." for reason in unseen.outside]
    return " ".join(hidden) or "Nothing was hidden: all processes and network namespaces were looked at."


def _wrapped(sentence: str, width: int) -> list[str]:
    return textwrap.wrap(sentence, width) or [""]


def _width() -> int:
    """Columns of the terminal; no limit when the output is none and COLUMNS does not say."""
    return shutil.get_terminal_size((80 if sys.stdout.isatty() else 1 << 16, 24)).columns
