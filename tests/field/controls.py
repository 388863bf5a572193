"""Healthy controls: every server of docs/servers.md at light load, at saturation, and beside two busy loops."""

from __future__ import annotations

import contextlib

from tests.diagnosis.stage import Place, python, run_beside
from tests.field.servers import packaged
from tests.field.stage import FieldCase, Start
from tests.servers.real_servers import REAL, Real

#: What a client sends to servers that do not speak HTTP; None: the server speaks first, or not in one line.
_SAY = {"memcached": "version\\r\\n", "redis": "PING\\r\\n", "polling-dispatch": "hello", "postgresql": None}
#: Servers with a process for each connection, or a protocol of several steps, are driven by fewer clients.
_WITHOUT = frozenset({"sshd", "dnsmasq", "postgresql"})


def _beside(start: Start) -> Start:
    def begin(stack: contextlib.ExitStack) -> Place:
        place = start(stack)
        for _ in range(2):
            run_beside(stack, [*python("tests.diagnosis.burn"), "30"])
        return place

    return begin


def _controls(real: Real) -> list[FieldCase]:
    send = _SAY.get(real.name)
    words = () if send is None else (f"--send={send}",)
    light = ("--connections=200", "--parallel=4", "--gap=0.1", *words)
    # what saturates the clients' own CPU is enough here: replies are small
    full = ("--connections=100000", "--parallel=8", *words)
    start = packaged(real.name)
    source = "docs/servers.md"

    def control(how: str, start: Start, clients: tuple[str, ...]) -> FieldCase:
        return FieldCase(f"{real.name}, {how}", source, real.software, start, (clients,), seconds=3.0)

    return [
        control("light load", start, light),
        control("full rate", start, full),
        control("beside two busy loops", _beside(start), light),
    ]


CONTROLS: tuple[FieldCase, ...] = tuple(
    case for real in REAL if real.name not in _WITHOUT for case in _controls(real)
)
