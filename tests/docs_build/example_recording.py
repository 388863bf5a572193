"""Make the recording that README and docs show: ``make recording``, as root.

Four reuseport workers, one of which needs 20 ms longer per request.  The pictures and the examples are generated
from it.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORDING = ROOT / "docs" / "recordings" / "straggler.sockscope"
PORT = 8140
SECONDS = 14

SERVER = ("servers", "reuseport", "--workers=4", f"--port={PORT}", "--work=400", "--slow=2:20000")
LOAD = ("servers.load", f"--connect=127.0.0.1:{PORT}", f"--duration={SECONDS + 2}", "--rate=65", "--concurrency=100",
        "--requests=2", "--think=5")  # fmt: skip
RECORD = ("sockscope", "record", "-f", f"-o={RECORDING.name}", f"--port={PORT}", f"-d={SECONDS}s")


def main() -> int:
    with ExitStack() as stack:
        server = _begin(stack, SERVER, stdout=subprocess.PIPE)
        assert server.stdout is not None
        server.stdout.readline()  # wait until it listens
        _begin(stack, LOAD, stdout=subprocess.DEVNULL)
        # hide the name of this host
        words = [sys.executable, "-m", *RECORD]
        named = ["unshare", "-u", "sh", "-c", 'hostname demo && exec "$@"', "sh", *words]
        return subprocess.run(named, cwd=RECORDING.parent, env=_environment(), check=False).returncode


def _begin(stack: ExitStack, words: tuple[str, ...], stdout: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stdout=stdout)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def _environment() -> dict[str, str]:
    """Return a minimal environment, so that nothing of the caller is recorded."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    sys.exit(main())
