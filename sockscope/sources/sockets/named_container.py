"""Find a container by the name or id that people know it by."""

from __future__ import annotations

import json
from pathlib import Path

from sockscope.errors import SockscopeError
from sockscope.sources.sockets import procfs
from sockscope.sources.sockets.containers import container_of
from sockscope.sources.sockets.processes import process

#: Where Docker keeps each container's name: one directory a container.
DOCKER = Path("/var/lib/docker/containers")
_SHORTEST_ID = 4


def cgroup_of_container(name: str, proc: str = procfs.PROC, docker: Path = DOCKER) -> str:
    """The cgroup (v2 path) in which a running container's processes are.

    :param name: a whole id, its beginning (four characters at least), a name that Docker gave, or
        the name of an lxc or systemd-nspawn container
    :raises SockscopeError: when no process runs in such a container, or several containers fit
    """
    number = _id_by_name(name, docker) or name
    found: dict[str, str] = {}
    for pid in procfs.pids(proc):
        known = process(pid, proc)
        if known is None or not known.container:
            continue
        begins = len(number) >= _SHORTEST_ID and known.container.startswith(number)
        if known.container == number or begins:
            found[known.container] = _outermost(known.cgroup, known.container)
    if not found:
        raise SockscopeError(
            f"no process runs in a container {name!r}; give its id, as docker ps shows it, or use --pid"
        )
    if len(found) > 1:
        raise SockscopeError(f"{len(found)} containers begin with {name!r}; give more of the id")
    return next(iter(found.values()))


def _id_by_name(name: str, docker: Path) -> str:
    for path in sorted(docker.glob("*/config.v2.json")):
        try:
            held = json.loads(path.read_text())
        except (OSError, ValueError):  # removed meanwhile, or not ours to read
            continue
        if isinstance(held, dict) and held.get("Name") in (f"/{name}", name):
            return str(held.get("ID") or path.parent.name)
    return ""


def _outermost(cgroup: str, container: str) -> str:
    """The container's own cgroup, when the process is in one below it."""
    parts = cgroup.split("/")
    for length in range(1, len(parts) + 1):
        path = "/".join(parts[:length])
        if container_of(path) == container:
            return path
    return cgroup
