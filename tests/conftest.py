"""What all tests share: when a test that needs the kernel may be skipped, who has the machine, and how to wait."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Property tests give everybody the same examples, however slow the machine, so that what fails here fails
# there; `make fuzz` looks for new ones.
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("new", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")


def pytest_configure() -> None:
    """A shell that starts pytest in the background has it ignore Ctrl-C, and what it starts too: then no
    test could end a recorder as its user does."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the kernel come first: the others then share the CPUs until the end.  Without root they are
    skipped, except in CI: there they fail."""
    items.sort(key=lambda item: not item.get_closest_marker("kernel"))
    if os.geteuid() == 0 or os.environ.get("CI"):
        return
    for item in items:
        if item.get_closest_marker("kernel"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test of the kernel has the machine to itself, though there are as many processes of pytest as CPUs
    (pytest-xdist): servers, clients and probes measure one another's waiting."""
    alone = item.get_closest_marker("kernel") is not None
    with (
        _locked("__init__.py", fcntl.LOCK_EX) as turnstile,
        _locked("conftest.py", fcntl.LOCK_EX if alone else fcntl.LOCK_SH),
    ):
        # whoever waits for the machine holds up those behind: nobody waits for ever
        fcntl.flock(turnstile, fcntl.LOCK_UN)
        return (yield)


@contextmanager
def _locked(name: str, how: int) -> Iterator[int]:
    descriptor = os.open(Path(__file__).with_name(name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked has the descriptor, too
        os.close(descriptor)


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    """A test that fails half-way leaves no server and no tracer behind, which would disturb all others."""
    before = _children()
    yield
    for pid in _children() - before:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _children() -> set[int]:
    """Our direct children, those of all threads (proc(5), /proc/PID/task/TID/children)."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found.update(map(int, (task / "children").read_text().split()))
    return found


def wait_until(condition: Callable[[], object], within_s: float = 10.0, what: str = "the condition") -> None:
    """Return as soon as ``condition()`` holds; fail the test when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not hold within {within_s} s")
        time.sleep(0.01)
