"""Every mistake on the command line gets one clear line on stderr and its exit status, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sockscope.cli import COMMANDS, run

ROOT = Path(__file__).resolve().parents[3]


def _sockscope(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sockscope", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ((), 2, "COMMAND"),
        (("nonsense",), 2, "invalid choice: 'nonsense'"),
        (("report",), 2, "FILE"),
        (("report", "/no/such/file"), 1, "/no/such/file"),
        (("report", "/etc/passwd"), 1, "/etc/passwd"),
        (("report", "/"), 1, "/"),
        (("record",), 2, "-o"),
        (
            ("record", "-o", "x.sockscope", "-d", "soon"),
            2,
            "'soon' is not a duration; write 10s, 200ms or 3m",
        ),
        (("record", "-o", "x.sockscope", "--port", "70000"), 2, "ports are 1 to 65535"),
        (("record", "-o", "x.sockscope", "--port", "http"), 2, "invalid int value: 'http'"),
        (("record", "-o", "x.sockscope", "--map-size", "connections"), 2, "not NAME=VALUE"),
        (
            ("record", "-o", "x.sockscope", "--map-size", "conections=5"),
            2,
            "maps: accept_errors, closed_pages, connections",
        ),
        (("record", "-o", "x.sockscope", "--map-size", "connections=-5"), 2, "give a number from 1"),
        (("record", "-o", "x.sockscope", "--map-size", "closed_pages=3"), 2, "power of two"),
        (("record", "-o", "x.sockscope", "--pid", "1", "--", "true"), 2, "mutually exclusive"),
        (
            ("record", "-o", "x.sockscope", "--", "no-such-command-anywhere"),
            2,
            "command not found: 'no-such-command-anywhere'",
        ),
        (("record", "-o", "/etc/passwd"), 1, "/etc/passwd exists; choose another name, or use --overwrite"),
        (
            ("demo", "ramcloud"),
            2,
            "unknown model 'ramcloud'; models: single, handoff, dispatch, shared, reuseport",
        ),
        (("demo", "--workers", "0"), 2, "--workers must be at least 1"),
        (("serve", "ramcloud"), 2, "ramcloud"),
        (("live", "--port", "80"), 2, "sockscope report"),
        (("replay", "/no/such/file"), 2, "sockscope report"),
    ],
)
def test_an_invalid_command_line_gets_one_line(words: tuple[str, ...], status: int, says: str) -> None:
    done = _sockscope(*words)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("usage:", " "))]
    assert len(lines) == 1, done.stderr
    assert not (ROOT / "x.sockscope").exists()


@pytest.mark.parametrize("name", [name for name, *_ in COMMANDS if name != "serve"])
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run([name, "--help"])
    assert left.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 3


@pytest.mark.parametrize("name", [name for name, *_ in COMMANDS])
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_is_as_wide_as_the_terminal(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        run([name, "--help"])
    usage, _, text = capsys.readouterr().out.partition("\n\n")
    words = [line for line in text.splitlines() if not line.startswith("  ")]
    assert max(map(len, words)) <= columns
    assert "``" not in usage + text


def test_help_imports_no_heavy_library() -> None:
    heavy = ("numpy", "duckdb", "textual", "pyroute2", "psutil", "bcc", "rich")
    code = (
        "import sys\nfrom sockscope.cli import run\n"
        "try:\n  run(['--help'])\nexcept SystemExit:\n  pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=True
    )
    assert done.stderr.strip() == "[]"


def test_version_is_printed() -> None:
    done = _sockscope("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("sockscope 0.")


def test_a_closed_pipe_is_not_a_failure() -> None:
    done = subprocess.run(
        f"{sys.executable} -m sockscope listeners | true",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_background_command_ends_on_a_signal_although_sigint_was_ignored(number: signal.Signals) -> None:
    """A shell starts background jobs with SIGINT ignored; a script that sends it wants them to end."""
    words = f"trap '' INT; exec {sys.executable} -m sockscope listeners --watch 1"
    with subprocess.Popen(["sh", "-c", words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline()
        watching.send_signal(number)
        _, said = watching.communicate(timeout=20)
    assert watching.returncode == 0  # watching has no other end
    assert said == b""
