"""Read name, command line, parent, cgroup and container of a process from /proc."""

from __future__ import annotations

from sockscope.host import procfs
from sockscope.host.containers import parse_container_id
from sockscope.records.batch import Process

_LONGEST_COMMAND = 4096


def process(pid: int, proc: str = procfs.PROC) -> Process | None:
    """Return a Process record, or None if the process does not exist.

    Names are unfiltered and may have control characters: print them through
    :func:`sockscope.formatting.printable`. The command line is joined by spaces, at most 4096 bytes,
    and empty for kernel threads. What cannot be read is empty.
    """
    told = _read(f"{proc}/{pid}/stat")
    opening, closing = told.find(b"("), told.rfind(b")")  # the name itself may have any of these
    fields = told[closing + 1 :].split()
    if opening < 0 or closing < opening or len(fields) < 2 or not fields[1].isdigit():
        return None
    command = _read(f"{proc}/{pid}/cmdline", _LONGEST_COMMAND).rstrip(b"\0 ").replace(b"\0", b" ")
    cgroup = cgroup_of(_read(f"{proc}/{pid}/cgroup"))
    return Process(
        pid=pid,
        parent_pid=int(fields[1]),
        comm=procfs.text(told[opening + 1 : closing]),
        command=procfs.text(command),
        cgroup=cgroup,
        container=parse_container_id(cgroup),
    )


def cgroup_of(raw: bytes) -> str:
    """Return the path from /proc/PID/cgroup (lines of ``hierarchy:controllers:path``).

    That of cgroup v2 if it is not "/", else of the hierarchy of systemd, else the first of cgroup v1.
    """
    paths: dict[str, str] = {}
    for line in procfs.text(raw).split("\n"):
        parts = line.split(":", 2)
        if len(parts) == 3:
            paths.setdefault(parts[1], parts[2])
    told = [paths.pop("", ""), paths.pop("name=systemd", ""), *paths.values()]
    return next((path for path in told if path not in ("", "/")), next(filter(None, told), ""))


def _read(path: str, largest: int = procfs.LARGEST) -> bytes:
    try:
        return procfs.read(path, largest) or b""
    except PermissionError:
        return b""
