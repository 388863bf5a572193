"""Sample the queues of TCP listeners through inet_diag, without root or BPF."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection
from typing import Self

import numpy as np

from sockscope.errors import SockscopeError
from sockscope.host import inet_diag_wire, netns, syn_queue
from sockscope.records.batch import QUEUE, Records

_LARGEST_CHUNK = 1 << 16  # the kernel fills at most 32 KiB at a time
_PATIENCE_S = 5.0
_FAMILIES = (inet_diag_wire.AF_INET, inet_diag_wire.AF_INET6)


class InetDiag:
    """Sample all TCP listeners of one network namespace, IPv4 and IPv6.

    A netlink socket stays open between samples and keeps the namespace alive, so use this as a
    context manager or close it. Root is only needed to enter another namespace. Not thread-safe.

    :param namespace: None for the caller's own
    :param ports: only listeners on these; none means all
    :raises SockscopeError: when the kernel has no inet_diag, or the namespace cannot be entered
    """

    def __init__(self, namespace: netns.Namespace | None = None, ports: Collection[int] = ()) -> None:
        self.namespace = namespace or netns.own()
        self._ports = tuple(ports)
        self._sequence = 0
        self._answering = False
        self._listening = np.empty(0, inet_diag_wire.SOCKET)
        self._socket = netns.inside(namespace, _open)

    def sample(self, inodes: Collection[int] | None = None, handshakes: bool = True) -> Records:
        """Return QUEUE records of all listeners, or of those with these socket inodes, unordered.

        ``queue`` (connections that wait) can be one more than ``backlog`` (the limit in force):
        the kernel refuses when the queue is longer than its limit.  ``drops`` is sk_drops,
        counted since the socket was created: all kinds of drops of a listener.

        A listener that is created or closed meanwhile may be missing; none is returned twice.

        :param handshakes: False leaves ``syn_queue`` 0, and the kernel does not walk over all
            connections of the host to find those half open (0.3 µs each)
        :raises SockscopeError: when the kernel refuses
        """
        listening = np.concatenate([self._ask(family, inet_diag_wire.LISTEN) for family in _FAMILIES])
        listening = listening[np.unique(listening["cookie"], return_index=True)[1]]
        self._listening = listening
        queues = np.zeros(len(listening), QUEUE)
        for name in ("inode", "address", "port", "family", "queue", "backlog", "drops"):
            queues[name] = listening[name]
        queues["netns"] = self.namespace.inode
        if handshakes:
            for family in np.unique(listening["family"]).tolist():  # a handshake's is its listener's
                queues["syn_queue"] += syn_queue.syn_queue_lengths(
                    listening, self._ask(family, inet_diag_wire.SYN_RECV)
                )
        if inodes is not None:
            queues = queues[np.isin(queues["inode"], np.fromiter(inodes, np.uint64))]
        return queues

    def owners(self) -> dict[int, int]:
        """Return ``{socket inode: uid}`` of the listeners of the last sample: the creators of the sockets.

        The kernel reports these even if the owning processes are hidden from us.
        """
        return dict(zip(self._listening["inode"].tolist(), self._listening["uid"].tolist(), strict=True))

    def close(self) -> None:
        """Close the netlink socket, which also releases the namespace."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, family: int, state: int) -> Records:
        """Return SOCKET records of the sockets of one family in one state."""
        try:
            self._drain_interrupted()
            self._sequence = self._sequence % 0xFFFF_FFFF + 1
            self._answering = True
            self._socket.send(inet_diag_wire.question(family, 1 << state, self._sequence, self._ports))
            answer = self._answer()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EPROTONOSUPPORT):
                why = "has no inet_diag; load the modules inet_diag and tcp_diag"
            else:
                why = f"does not tell its listeners ({error.strerror or 'no answer'}); is netlink forbidden?"
            raise SockscopeError(f"this kernel {why}") from error
        by_length: dict[int, list[Records]] = {}
        for rows in answer:
            by_length.setdefault(rows.shape[1], []).append(rows)
        parts = [inet_diag_wire.sockets(np.concatenate(same)) for same in by_length.values()]
        return np.concatenate(parts) if parts else np.empty(0, inet_diag_wire.SOCKET)

    def _answer(self) -> list[Records]:
        """Yield the messages of the current dump until its end."""
        answer: list[Records] = []
        while True:
            for rows in inet_diag_wire.runs(self._socket.recv(_LARGEST_CHUNK)):
                kind, sequence, status = inet_diag_wire.heading(rows)
                if sequence != self._sequence:
                    continue
                if kind == inet_diag_wire.SOCK_DIAG_BY_FAMILY:
                    answer.append(rows)
                elif kind in (inet_diag_wire.NLMSG_DONE, inet_diag_wire.NLMSG_ERROR):
                    self._answering = False
                    if status:
                        raise OSError(-status, os.strerror(-status))
                    return answer

    def _drain_interrupted(self) -> None:
        """Read the rest of a dump that an exception interrupted: until then the kernel returns EBUSY."""
        if self._answering:
            self._socket.setblocking(False)
            try:
                while self._socket.recv(_LARGEST_CHUNK):
                    pass
            except BlockingIOError:
                self._answering = False
            finally:
                self._socket.settimeout(_PATIENCE_S)


def _open() -> socket.socket:
    """Open an inet_diag socket in the namespace of the calling thread.

    pyroute2 opens it, in a thread that has no event loop running; its decoding takes 140 µs per
    listener, so only its socket is used.
    """
    from pyroute2.netlink.diag import DiagSocket

    try:
        with DiagSocket() as diag:
            plain = socket.socket(fileno=os.dup(diag.fileno()))
    except OSError as error:
        raise SockscopeError(
            f"cannot open a netlink socket for inet_diag ({error.strerror})",
            hint="check whether netlink is blocked here (seccomp, container)",
        ) from error
    plain.settimeout(_PATIENCE_S)
    return plain
