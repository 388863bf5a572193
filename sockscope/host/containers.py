"""Parse the id of a container from the path of its cgroup."""

from __future__ import annotations

import re

_ID = "[0-9a-f]{64}"

#: How runtimes name the cgroup of a container; a path's last component that fits counts, so that
#: of a container inside a container the inner one is found.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # docker, podman, containerd, cri-o, nerdctl as systemd scopes; monitors beside the container
        # (libpod-conmon-ID, crio-conmon-ID) are no part of it
        rf"(?:docker|libpod|cri-containerd|containerd|crio|nerdctl|buildkit)[-:](?P<id>{_ID})(?:\.scope)?",
        rf"[^/]*:cri-containerd:(?P<id>{_ID})",
        # the same and kubernetes with plain cgroups: /docker/ID, /kubepods/burstable/podUID/ID
        rf"(?P<id>{_ID})",
        # Amazon ECS: /ecs/TASK/TASK-NUMBER
        r"(?P<id>[0-9a-f]{32}-\d+)",
        r"lxc\.payload\.(?P<id>.+)",
        # systemd-nspawn; libvirt's virtual machines are called machine-qemu-…
        r"machine-(?!qemu(?:-|\\x2d))(?P<id>.+)\.scope",
        r"systemd-nspawn@(?P<id>.+)\.service",
    )
)
_UNDER_LXC = re.compile(r"/lxc(?:\.payload)?/(?P<id>[^/]+)")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def parse_container_id(cgroup: str) -> str:
    """Return the id (docker, podman, containerd, kubernetes) or name (lxc, systemd-nspawn) of a container.

    Empty for a process of the host.

    :param cgroup: the path of a cgroup
    """
    for part in reversed(cgroup.removesuffix(" (deleted)").split("/")):
        for pattern in _PATTERNS:
            if found := pattern.fullmatch(part):
                raw = _ESCAPED.sub(lambda escape: bytes([int(escape[1], 16)]), found["id"].encode())
                return raw.decode("utf-8", "replace")
    under = _UNDER_LXC.search(cgroup)
    return under["id"] if under else ""
