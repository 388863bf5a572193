"""Create listening sockets and format addresses."""

import ctypes
import ipaddress
import os
import socket
import struct
from typing import Any

from .errors import ServerError

_SO_ATTACH_REUSEPORT_CBPF = 51
_LOAD_ABSOLUTE, _MODULO, _RETURN_ACCUMULATOR = 0x20, 0x94, 0x16
_CURRENT_CPU = 0xFFFFF000 + 36  # SKF_AD_OFF + SKF_AD_CPU: ancillary data, not a packet offset


def text_address(address: tuple[Any, ...]) -> str:
    """Format `address:port` or `[v6]:port`; IPv4-mapped addresses as IPv4."""
    host, port = str(address[0]), address[1]
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host: str, port: int, backlog: int, reuseport: bool = False) -> socket.socket:
    """Create a listening, non-blocking socket; `::` accepts IPv4 as well."""
    listener = _bound(host, port, reuseport)
    try:
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from error
    listener.setblocking(False)
    return listener


def listen_group(host: str, port: int, backlog: int, count: int) -> list[socket.socket]:
    """Create `count` listeners on one port; the kernel numbers members in the order of listen()."""
    if port:
        # With SO_REUSEPORT this server would silently join another one of the same user.
        _bound(host, port, reuseport=False).close()
    group = [listen(host, port, backlog, reuseport=True)]
    chosen = group[0].getsockname()[1]
    group += [listen(host, chosen, backlog, reuseport=True) for _ in range(count - 1)]
    return group


def steer_by_cpu(group: list[socket.socket]) -> None:
    """Steer each connection to the member with the number of the CPU that received its SYN, modulo N."""
    program = b"".join(
        struct.pack("HBBI", code, 0, 0, operand)
        for code, operand in (
            (_LOAD_ABSOLUTE, _CURRENT_CPU),
            (_MODULO, len(group)),
            (_RETURN_ACCUMULATOR, 0),
        )
    )
    filters = ctypes.create_string_buffer(program, len(program))
    argument = struct.pack("HP", 3, ctypes.addressof(filters))
    try:
        group[0].setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, argument)
    except OSError as error:
        raise ServerError(f"the kernel refuses to steer by CPU: {error.strerror}") from error


def _bound(host: str, port: int, reuseport: bool) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it: no reply may wait for the acknowledgement of the one before.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if reuseport:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _refused(host, port, error) from error
    return sock


def _refused(host: str, port: int, error: OSError) -> ServerError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ServerError(f"cannot listen on {text_address((host, port))}: {reason}")
