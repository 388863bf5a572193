"""The servers as tests see them: every model with every variant, and honest waiting."""

import json
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import servers

Options = dict[str, str | int | bool]
Start = Callable[..., servers.RunningServer]


class Served(NamedTuple):
    """A running server and what it is."""

    server: servers.RunningServer
    model: str
    options: Options
    descriptors: dict[int, int]  # how many each of its processes had open before the first client


VARIANTS: tuple[tuple[str, Options], ...] = (
    ("single", {}),
    ("handoff", {}),
    ("handoff", {"pick": "least"}),
    ("handoff", {"processes": True}),
    ("handoff", {"pick": "least", "processes": True}),
    ("dispatch", {}),
    ("dispatch", {"reply": "dispatcher"}),
    ("shared", {"wait": "accept"}),
    ("shared", {"wait": "accept", "threads": True}),
    ("shared", {"wait": "epoll"}),
    ("shared", {"wait": "epoll", "threads": True}),
    ("shared", {"wait": "exclusive"}),
    ("shared", {"wait": "exclusive", "threads": True}),
    ("shared", {"wait": "lock"}),
    ("shared", {"wait": "lock", "threads": True}),
    ("reuseport", {}),
    ("reuseport", {"threads": True}),
    ("reuseport", {"steer": "cpu"}),
    ("reuseport", {"steer": "cpu", "threads": True}),
)


def _name(variant: tuple[str, Options]) -> str:
    model, options = variant
    words = (name if value is True else str(value) for name, value in options.items())
    return "-".join((model, *words))


@pytest.fixture
def variants() -> tuple[tuple[str, Options], ...]:
    return VARIANTS


@pytest.fixture(params=VARIANTS, ids=_name)
def variant(request: pytest.FixtureRequest) -> tuple[str, Options]:
    """Each model with each variant in turn."""
    model, options = request.param
    return model, dict(options)


@pytest.fixture(scope="module", params=VARIANTS, ids=_name)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Each variant once for all tests of a module that leave it as they found it; it must keep silent."""
    model, options = request.param
    with servers.start(model, **({} if model == "single" else {"workers": 3}), **options) as server:
        yield Served(server, model, dict(options), count_descriptors(server.pid))
        assert server.stop() == 0, server.said()
        assert server.said() == ""


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that are stopped at the end and must have kept silent, unless the test stopped them."""
    running: list[servers.RunningServer] = []

    def start_one(model: str, **options: Any) -> servers.RunningServer:
        if model != "single":
            options.setdefault("workers", 3)
        server = servers.start(model, **options)
        running.append(server)
        return server

    yield start_one
    for server in running:
        with server:
            if server.process.poll() is None:
                assert server.stop() == 0, server.said()
                assert server.said() == ""


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Wait until something is so; fail when it is not within `seconds`."""

    def wait(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"still not so after {seconds} s: {what}"
            time.sleep(0.005)

    return wait


@pytest.fixture
def read_lines() -> Callable[[Path], list[dict[str, Any]]]:
    """The JSON lines of a ledger or of a client's truth."""
    return lambda path: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def ask() -> Callable[[HTTPConnection], HTTPResponse]:
    """One request on a connection that stays open; the body is read."""

    def ask_once(connection: HTTPConnection) -> HTTPResponse:
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.status == 200
        assert response.read().startswith(b"pid=")
        return response

    return ask_once


def processes_of(pid: int) -> list[int]:
    """A server's process and its children."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def count_descriptors(pid: int) -> dict[int, int]:
    """How many descriptors each process of a server has open."""
    return {member: len(list(Path(f"/proc/{member}/fd").iterdir())) for member in processes_of(pid)}


@pytest.fixture
def family() -> Callable[[int], list[int]]:
    return processes_of


@pytest.fixture
def descriptors() -> Callable[[int], dict[int, int]]:
    return count_descriptors
