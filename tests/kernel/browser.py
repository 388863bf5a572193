"""A headless browser of our own, driven through its debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.conftest import wait_until


class Page:
    """One page: what its web sockets brought, and keys into it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.brought = b""
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = message.json()
            if said.get("method") == "Network.webSocketFrameReceived":
                frame = said["params"]["response"]
                data = frame["payloadData"]
                self.brought += base64.b64decode(data) if frame["opcode"] == 2 else data.encode()
            elif said.get("id") in self._answers:
                self._answers.pop(said["id"]).set_result(said)

    async def ask(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        said = await asyncio.wait_for(answer, 30)
        assert "error" not in said, said
        return said["result"]

    async def open(self, url: str) -> None:
        for method in ("Network.enable", "Page.enable"):
            await self.ask(method)
        await self.ask("Emulation.setFocusEmulationEnabled", enabled=True)
        await self.ask("Page.navigate", url=url)

    async def click(self, x: int, y: int) -> None:
        for what in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", type=what, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str) -> None:
        """As a person's keyboard would; what came before is forgotten."""
        self.brought = b""
        await self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self) -> bytes:
        return base64.b64decode((await self.ask("Page.captureScreenshot"))["data"])

    async def until(self, true: Callable[[], bool], what: str, within_s: float = 40) -> None:
        end = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < end, f"{what} did not come within {within_s} s"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def page(folder: Path) -> AsyncIterator[Page]:
    """A browser that keeps what it needs in ``folder`` and is gone afterwards."""
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,800",
               "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]  # fmt: skip
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told = folder / "DevToolsActivePort"
    try:
        wait_until(lambda: told.exists() and told.read_text().strip(), 60, "the browser")
        port = told.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as listed:
                (target,) = [each for each in await listed.json() if each["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        browser.terminate()
        browser.wait(20)
