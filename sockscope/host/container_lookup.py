"""Find a container by its name or id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sockscope.errors import SockscopeError
from sockscope.host import procfs
from sockscope.host.containers import parse_container_id
from sockscope.host.processes import process

#: Where Docker keeps the names of containers: one directory per container.
DOCKER = Path("/var/lib/docker/containers")
#: Where Podman and CRI-O keep theirs: one file per storage driver, and one that a reboot removes.
STORAGE = Path("/var/lib/containers/storage")
_SHORTEST_ID = 4


def cgroup_of_container(
    name: str, proc: str = procfs.PROC, docker: Path = DOCKER, storage: Path = STORAGE
) -> str:
    """Return the cgroup (v2 path) of the processes of a running container.

    :param name: a whole id, its beginning (four characters at least), a name that Docker, Podman or
        CRI-O gave, or the name of an lxc or systemd-nspawn container
    :raises SockscopeError: when no process runs in such a container, or several containers fit
    """
    number = _id_by_docker(name, docker) or _id_in_storage(name, storage) or name
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
            f"no process runs in a container {name!r}", hint="give the id that docker ps shows, or use --pid"
        )
    if len(found) > 1:
        raise SockscopeError(f"{len(found)} container ids begin with {name!r}", hint="give more of the id")
    return next(iter(found.values()))


def _id_by_docker(name: str, docker: Path) -> str:
    for path in sorted(docker.glob("*/config.v2.json")):
        held = _read(path)
        if isinstance(held, dict) and held.get("Name") in (f"/{name}", name):
            return str(held.get("ID") or path.parent.name)
    return ""


def _id_in_storage(name: str, storage: Path) -> str:
    for path in sorted(storage.glob("*-containers/*containers.json")):
        held = _read(path)
        for one in held if isinstance(held, list) else ():
            if isinstance(one, dict) and isinstance(one.get("names"), list) and name in one["names"]:
                return str(one.get("id", ""))
    return ""


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # removed meanwhile, not ours to read, or not what it should be
        return None


def _outermost(cgroup: str, container: str) -> str:
    """Return the cgroup of the container itself, if the process is in one below it."""
    parts = cgroup.split("/")
    for length in range(1, len(parts) + 1):
        path = "/".join(parts[:length])
        if parse_container_id(path) == container:
            return path
    return cgroup
