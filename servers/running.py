"""A reference server as a child process, for tests and demonstrations."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from .errors import ServerError

_READY_WITHIN_S = 30.0
_STOP_WITHIN_S = 10.0
_PREFIX = "listening on "


class RunningServer:
    """A server that is ready. Stops at the end of a `with` block.

    `address` is `HOST:PORT` as printed; `ledger` is complete once the server is stopped.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", said: IO[bytes], address: str, ledger: Path | None
    ) -> None:
        self.process = process
        self._said = said
        self.address = address
        self.host, _, port = address.rpartition(":")
        self.host = self.host.strip("[]")
        self.port = int(port)
        self.pid = process.pid
        self.ledger = ledger

    def stop(self) -> int:
        """Send SIGTERM and wait, at most 10 seconds before SIGKILL; the exit status. May be repeated."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return _reap(self.process)

    def said(self) -> str:
        """What the server has written to stderr so far; nothing when all is well."""
        return _text(self._said)

    def __enter__(self) -> "RunningServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._said.close()


def start(model: str, *, ledger: Path | str | None = None, **options: str | int | bool) -> RunningServer:
    """Start `python -m servers MODEL` and wait until it listens. Raises ServerError with what it said.

    Options are named as on the command line: `start("shared", workers=4, wait="lock", threads=True)`.
    """
    command = [sys.executable, "-m", __package__, model, *_flags({"ledger": ledger, **options})]
    package_home = str(Path(__file__).resolve().parents[__package__.count(".") + 1])
    search = os.pathsep.join(filter(None, [package_home, os.environ.get("PYTHONPATH")]))
    said = open(os.memfd_create("stderr"), "rb")  # noqa: SIM115 (the running server keeps it)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=said,
        env={**os.environ, "PYTHONPATH": search},
    )
    line = _first_line(process)
    if line.startswith(_PREFIX):
        return RunningServer(process, said, line.removeprefix(_PREFIX), Path(ledger) if ledger else None)
    process.kill()
    status = _reap(process)
    with said:
        text = _text(said)
    raise ServerError(text or f"the server ended with status {status} and said nothing")


def _text(said: IO[bytes]) -> str:
    size = os.fstat(said.fileno()).st_size  # not seek(): the server's own position is the same one
    return os.pread(said.fileno(), size, 0).decode(errors="replace").strip()


def _flags(options: dict[str, Path | str | int | bool | None]) -> list[str]:
    flags = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            flags.append(flag)
        elif value is not None and value is not False:
            flags.append(f"{flag}={value}")
    return flags


def _first_line(process: "subprocess.Popen[bytes]") -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + _READY_WITHIN_S
    line = b""
    waiting = select.poll()
    waiting.register(process.stdout, select.POLLIN)
    while not line.endswith(b"\n") and waiting.poll(max(deadline - time.monotonic(), 0) * 1000):
        byte = os.read(process.stdout.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode().strip()


def _reap(process: "subprocess.Popen[bytes]") -> int:
    try:
        status = process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return status
