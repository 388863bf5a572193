"""Whose SYN queue a half-open connection waits in."""

from __future__ import annotations

import numpy as np

from sockscope.host.inet_diag_wire import AF_INET
from sockscope.records.batch import Records

_NOWHERE = {True: bytes(10) + b"\xff\xff" + bytes(4), False: bytes(16)}  # the wildcard, by "is IPv4"
_KEY = np.dtype([("address", "u1", 16), ("interface", "<u4"), ("port", "<u2"), ("family", "u1")])


def syn_queue_lengths(listeners: Records, handshakes: Records) -> Records:
    """How many handshakes wait at each listener's address and port: a number for each of ``listeners``.

    The members of a group share theirs: the kernel tells the address of a handshake, not which
    member it belongs to.  A handshake belongs to the listener on its very address, else to that on
    the wildcard, of the same family (a dual-stack listener's are all IPv6) and interface.

    :param listeners: SOCKET records
    :param handshakes: SOCKET records in SYN_RECV; one with an inode is a client's (a simultaneous
        open) and waits nowhere
    """
    handshakes = handshakes[handshakes["inode"] == 0]
    if not len(handshakes) or not len(listeners):
        return np.zeros(len(listeners), np.uint32)
    places, place_of = np.unique(_keys(listeners), return_inverse=True)
    index = {place: at for at, place in enumerate(places.tolist())}
    waiting = np.zeros(len(places), np.uint32)
    for key, count in zip(
        *(part.tolist() for part in np.unique(_keys(handshakes), return_counts=True)), strict=True
    ):
        for candidate in _candidates(key):
            if candidate in index:
                waiting[index[candidate]] += count
                break
    return waiting[place_of]


def _keys(sockets: Records) -> Records:
    """One byte string a socket (its last byte is never NUL, which numpy would drop)."""
    keys = np.zeros(len(sockets), _KEY)
    for name in _KEY.names or ():
        keys[name] = sockets[name]
    return keys.view(f"S{_KEY.itemsize}")


def _candidates(key: bytes) -> list[bytes]:
    """The places a handshake may belong to, the closest first."""
    address, interface, rest = key[:16], key[16:20], key[20:]
    everywhere = _NOWHERE[key[-1] == AF_INET]
    return [place + device + rest for place in (address, everywhere) for device in (interface, bytes(4))]
