"""Listening sockets of the target that speak something other than TCP: named, since they are not traced."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sockscope import formatting

#: Protocols of AF_INET and AF_INET6 sockets that listen and are not followed (include/uapi/linux/in.h).
_PROTOCOLS = {33: "DCCP", 132: "SCTP"}
#: Address families of sockets that listen and are not followed (include/linux/socket.h).
_FAMILIES = {30: "TIPC", 31: "Bluetooth", 39: "NFC", 40: "vsock", 43: "SMC"}
_FOLLOWED = (socket.IPPROTO_TCP, 262)  # 262: IPPROTO_MPTCP
_INET = (int(socket.AF_INET), int(socket.AF_INET6))


def notes(found: Any, pids: Collection[int], ports: Collection[int]) -> tuple[str, ...]:
    """Return one sentence per process and kind of socket.

    :param found: SOCKET_OWNER records of all listening sockets
    :param pids: processes of the target
    :param ports: ports of the target
    """
    said: dict[str, None] = {}
    for row in found:
        family, protocol, pid = int(row["family"]), int(row["protocol"]), int(row["pid"])
        if row["socket"] or family == socket.AF_UNIX or protocol in _FOLLOWED:
            continue
        port = int(row["port"]) if family in _INET else 0
        if pid not in pids and port not in ports:
            continue
        kind = _PROTOCOLS.get(protocol) if family in _INET else _FAMILIES.get(family)
        kind = kind or f"family {family}, protocol {protocol}"
        where = f" on port {port}" if port else ""
        said[
            formatting.printable(
                f"{_comm(pid)} ({pid}) has a listening {kind} socket{where}, which is not traced: "
                "sockscope follows TCP and MPTCP"
            )
        ] = None
    return tuple(said)


def _comm(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
    return "a process"
