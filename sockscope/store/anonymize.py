"""Addresses pseudonymised on the way into a recording (``record --anonymize``).

Every address but 0.0.0.0 and :: is replaced by another of its kind, by a permutation under a key that
is made for the session and kept nowhere.  So one address is one pseudonym all through the session,
two addresses are two, and nobody can go back, the key's maker included.  Prefixes are not preserved:
neighbours do not stay neighbours, for knowing one would tell of the other.  Ports are kept.

Text may hold addresses and names too.  Of a command line only the program's name stays; addresses in
other text are replaced by their pseudonyms; the host has a pseudonym, the boot has none.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sockscope.records.batch import Batch, Health, Meta, Process, Records

_MAPPED = b"\0" * 10 + b"\xff\xff"
#: Of a Feistel network on so small a domain as 32 bits: ten, as NIST SP 800-38G takes for FF1.
_ROUNDS = 10
_REMEMBERED = 65_536
_FIELDS = (("connections", ("local", "remote")), ("listeners", ("address",)), ("queues", ("address",)))

_V4 = r"(?<!\d)(?<!\d\.)(?:\d{1,3}\.){3}\d{1,3}(?!\d|\.\d)"
_V6 = r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{0,4})(?![\w:])"
_ADDRESS = re.compile(f"{_V6}|{_V4}")
#: In a name of 15 octets an address may be cut off.
_PIECE = re.compile(r"(?:\d{1,3}\.){2,3}\d{0,3}|[0-9A-Fa-f]*(?::[0-9A-Fa-f]*){2,}")
#: Said in every view of the recording.
NOTE = "addresses and the host's name are pseudonyms, command lines are left out (--anonymize)"


class Anonymizer:
    """What replaces addresses.

    :param key: of 16 octets or more; None: a new one
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or os.urandom(32)
        self.pseudonym = lru_cache(_REMEMBERED)(self._pseudonym)

    def meta(self, meta: Meta) -> Meta:
        """What the recording is of, without host and command line."""
        host = hashlib.blake2b(meta.host.encode("utf-8", "surrogateescape"), key=self._key, digest_size=4)
        return replace(
            meta,
            host=f"host-{host.hexdigest()}",
            target=self.text(meta.target),
            command=_program(meta.command),
            boot_id="",
        )

    def batch(self, batch: Batch) -> Batch:
        """The batch with pseudonyms for addresses."""
        changed: dict[str, Any] = {}
        for name, fields in _FIELDS:
            records = getattr(batch, name)
            if len(records):
                changed[name] = records = records.copy()
                for field in fields:
                    self._veil(records, field)
        if len(batch.workers):
            changed["workers"] = self._workers(batch.workers)
        return replace(
            batch,
            **changed,
            processes=tuple(self._process(process) for process in batch.processes),
            health=self._health(batch.health),
        )

    def text(self, text: str) -> str:
        """``text`` with pseudonyms for the addresses in it."""

        def other(found: re.Match[str]) -> str:
            try:
                address = ipaddress.ip_address(found[0])
            except ValueError:
                return found[0]  # a time or a version, written alike
            octets = address.packed if address.version == 6 else _MAPPED + address.packed
            if address.version == 6 and address.ipv4_mapped:
                return f"::ffff:{ipaddress.IPv4Address(self.pseudonym(octets)[12:])}"
            veiled = self.pseudonym(octets)
            return str(ipaddress.ip_address(veiled if address.version == 6 else veiled[12:]))

        return _ADDRESS.sub(other, text)

    def _pseudonym(self, octets: bytes) -> bytes:
        """The pseudonym of a 16-octet address; an IPv4-mapped one stays one."""
        if octets[:12] == _MAPPED:
            head, tail = octets[:12], octets[12:]
        else:
            head, tail = b"", octets
        if not any(tail):
            return octets
        while True:  # on, until it is none of those that stand for something else
            tail = self._permuted(tail)
            if any(tail) and (head or tail[:12] != _MAPPED):
                return head + tail

    def _permuted(self, octets: bytes) -> bytes:
        """A Feistel network: whatever the round's function, it is a permutation."""
        half = len(octets) // 2
        left, right = octets[:half], octets[half:]
        for number in range(_ROUNDS):
            mixed = hashlib.blake2b(right, key=self._key, digest_size=half, person=bytes([half, number]))
            left, right = right, bytes(a ^ b for a, b in zip(left, mixed.digest(), strict=True))
        return left + right

    def _veil(self, records: Records, field: str) -> None:
        found, where = np.unique(_words(records[field]), return_inverse=True)
        veiled = b"".join(self.pseudonym(one.tobytes()) for one in found)
        records[field] = np.frombuffer(veiled, np.uint8).reshape(-1, 16)[where.reshape(-1)]

    def _workers(self, workers: Records) -> Records:
        """A thread may carry its client's address in its name: it is struck out."""
        workers = workers.copy()
        for index, raw in enumerate(workers["comm"]):
            name = raw.tobytes()
            struck = _PIECE.sub(_struck, name.decode("latin-1")).encode("latin-1")
            if struck != name:
                workers["comm"][index] = np.frombuffer(struck, np.uint8)
        return workers

    def _process(self, process: Process) -> Process:
        return replace(
            process,
            comm=_PIECE.sub(_struck, process.comm),
            command=self.text(_program(process.command)),
            cgroup=self.text(process.cgroup),
            container=self.text(process.container),
        )

    def _health(self, health: Health) -> Health:
        return replace(health, notes=(NOTE, *(self.text(note) for note in health.notes)))


def _program(command: str) -> str:
    """The name of the program in a command line, and a sign that there was more."""
    words = command.split(maxsplit=1)
    return Path(words[0]).name + (" …" if len(words) > 1 else "") if words else ""


def _struck(found: re.Match[str]) -> str:
    return "x" * len(found[0])


def _words(addresses: Records) -> Records:
    """Addresses as values that can be compared whole."""
    return np.ascontiguousarray(addresses).reshape(-1, 16).view("V16").reshape(-1)
