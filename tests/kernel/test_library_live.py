"""The library's recorder: the example of the docs as it stands there, and what a frame says at the end."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import servers
import sockscope
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()


@contextlib.contextmanager
def _busy(port: int) -> Iterator[None]:
    """Clients come all the time, however long tracing takes to begin."""
    command = [sys.executable, "-m", "servers.load", "--connect", f"127.0.0.1:{port}"]
    options = ["--connections", "50000", "--rate", "300", "--concurrency", "4", "--requests", "1"]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as clients:
        try:
            yield
        finally:
            clients.terminate()


def test_the_example_of_the_docs_traces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = (one for one in re.findall(r"```python\n(.*?)```", DOCS, re.S) if "# as root" in one)
    monkeypatch.chdir(tmp_path)
    with servers.start("single") as server, _busy(server.port):
        text = example.replace("8080", str(server.port))
        exec(compile(text, "docs/api.md", "exec"), {})
    printed = capsys.readouterr().out
    assert re.search(r"^single [1-9]\d*$", printed, re.M)
    assert printed.rstrip().endswith("nothing lost")
    with sockscope.Recording(tmp_path / "now.sockscope") as recording:
        assert recording.frame().servers[0].model == "single"


def test_leaving_the_context_takes_in_the_last_moments(tmp_path: Path) -> None:
    path = tmp_path / "run.sockscope"
    with servers.start("shared", workers=2) as server:
        with sockscope.Recorder(sockscope.Target(ports=(server.port,)), path) as recorder:
            load(server.port, "--connections", 300, "--concurrency", 8, "--requests", 1)
        with pytest.raises(sockscope.UsageError, match="can be used only once"):
            recorder.__enter__()
    frame = recorder.frame()
    assert frame.servers[0].connections == 300
    assert "300" in recorder.report()
    with sockscope.Recording(path) as recording:
        (replayed,) = recording.frame().servers
    (seen,) = frame.servers
    assert replayed.evidence == seen.evidence
    assert replayed.group.accepts == seen.group.accepts
    assert replayed.group.listeners == seen.group.listeners
