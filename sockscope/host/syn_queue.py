"""Assign half-open connections to the SYN queues of listeners."""

from __future__ import annotations

import numpy as np

from sockscope.host.inet_diag_wire import AF_INET
from sockscope.records.batch import Records

_NOWHERE = {True: bytes(10) + b"\xff\xff" + bytes(4), False: bytes(16)}  # the wildcard, by "is IPv4"
_KEY = np.dtype([("address", "u1", 16), ("interface", "<u4"), ("port", "<u2"), ("family", "u1")])


def syn_queue_lengths(listeners: Records, handshakes: Records) -> Records:
    """Return the number of half-open handshakes at the address and port of each of ``listeners``.

    Members of a group share it: the kernel reports the address of a handshake, not its member. A
    handshake belongs to the listener on its exact address, else on the wildcard address, of the same
    family (all IPv6 for a dual-stack listener) and interface.

    :param listeners: SOCKET records
    :param handshakes: SOCKET records in SYN_RECV; one with an inode belongs to a client (a simultaneous
        open) and is in no queue
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
    """Return one byte string per socket; the last byte is never NUL, which numpy would drop."""
    keys = np.zeros(len(sockets), _KEY)
    for name in _KEY.names or ():
        keys[name] = sockets[name]
    return keys.view(f"S{_KEY.itemsize}")


def _candidates(key: bytes) -> list[bytes]:
    """Return the keys of the listeners that a handshake may belong to, most specific first."""
    address, interface, rest = key[:16], key[16:20], key[20:]
    everywhere = _NOWHERE[key[-1] == AF_INET]
    return [place + device + rest for place in (address, everywhere) for device in (interface, bytes(4))]
