"""``sockscope live --web``: the dashboard of a real traced server, in a real browser."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import servers
from tests.conftest import wait_until
from tests.kernel.browser import page
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def serving(*words: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """``live --web`` on a free port of loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sockscope", "live", *words, "--web", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        wait_until(lambda: _answers(port), 30, "the page")
        yield port, process
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_the_dashboard_in_a_browser_shows_a_traced_server_and_answers_keys(tmp_path: Path) -> None:
    async def visit(port: int, server: int) -> None:
        async with page(tmp_path / "browser") as shown:
            await shown.open(f"http://127.0.0.1:{port}/")
            await shown.until(lambda: b"listen: 2 queues" in shown.brought, "the first frame", 60)
            done = await asyncio.to_thread(load, server, "--connections", 300, "--concurrency", 8)
            assert done.returncode == 0
            await shown.until(lambda: b"300 connections" in shown.brought, "the verdict")
            await shown.click(640, 400)
            for key, words in (("3", b"Max stall"), ("4", b"127.0.0.1:"), ("2", b"expected")):
                await shown.press(key)
                await shown.until(lambda: words in shown.brought, f"screen {key}")  # noqa: B023
            picture = await shown.picture()
            (tmp_path / "picture.png").write_bytes(picture)
            assert picture.startswith(b"\x89PNG")
            assert len(picture) > 20_000  # a page with nothing on it is a fifth of that
            await shown.press("q")
            await shown.until(lambda: not _children(process.pid), "the end of the visitor's session")

    with (
        servers.start("reuseport", workers=2) as server,
        serving("--port", str(server.port)) as (port, process),
    ):
        bound = [
            item.laddr.ip for item in psutil.Process(process.pid).net_connections() if item.status == "LISTEN"
        ]
        assert bound == ["127.0.0.1"]
        asyncio.run(visit(port, server.port))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, -signal.SIGINT, 130)


def _children(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE]
