"""Exactly the capabilities that docs/privileges.md names are needed, and most are given up at once."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import servers
from sockscope.host.privileges import AT_MOMENTS, KEPT, NEEDS, Capability
from tests.conftest import wait_until
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel

NOBODY = pwd.getpwnam("nobody")
NEEDED = tuple(need.capability for need in NEEDS if need.needed)
#: Kept where Python's own modules are in a folder that only root may enter.
FOR_MODULES = {Capability.DAC_READ_SEARCH}
SOCKSCOPE = [sys.executable, "-m", "sockscope"]
UNDER_SUDO = {**os.environ, "SUDO_UID": str(NOBODY.pw_uid), "SUDO_GID": str(NOBODY.pw_gid)}


def as_nobody(*capabilities: Capability) -> list[str]:
    """The beginning of a command line that is run by nobody, with just these capabilities."""
    words = ",".join(f"+{capability.name.lower()}" for capability in capabilities)
    return [
        *("setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"),
        *(f"--inh-caps={words}", f"--ambient-caps={words}"),
    ]


def masks_of(status: Path) -> tuple[int, set[Capability], set[Capability]]:
    """(user, capabilities in force, capabilities it may raise) of a thread."""
    fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
    held = [
        {capability for capability in Capability if int(fields[name], 16) >> capability & 1}
        for name in ("CapEff", "CapPrm")
    ]
    return int(fields["Uid"].split()[0]), held[0], held[1]


@contextlib.contextmanager
def recording(before: list[str], output: Path, port: int, env: dict[str, str]) -> Iterator[int]:
    """A recorder at work, given its pid; ended by SIGINT."""
    command = [*before, *SOCKSCOPE, "record", "-o", str(output), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as child:
        assert child.stderr is not None
        assert "tracing port" in child.stderr.readline()
        try:
            wait_until(output.exists, what="the recording")
            yield child.pid
        finally:
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=30)
    assert child.returncode == 0


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of nobody's own, which nobody can get at."""
    made = Path(f"/tmp/sockscope-nobody-{os.getpid()}")
    made.mkdir(mode=0o700)
    os.chown(made, NOBODY.pw_uid, NOBODY.pw_gid)
    yield made
    shutil.rmtree(made)


def test_with_the_needed_capabilities_alone_nobody_traces_exactly(folder: Path) -> None:
    output = folder / "r"
    with servers.start("handoff", workers=2) as server:
        with recording(as_nobody(*NEEDED), output, server.port, {**os.environ, "HOME": str(folder)}) as pid:
            load(server.port, "--connections", 200, "--concurrency", 8)
            user, held, permitted = masks_of(Path(f"/proc/{pid}/status"))
    assert (user, held) == (NOBODY.pw_uid, permitted)
    assert KEPT & set(NEEDED) <= held <= KEPT & set(NEEDED) | FOR_MODULES
    report = subprocess.run(
        [*SOCKSCOPE, "report", "--format", "json", output], capture_output=True, text=True, check=True
    )
    seen = json.loads(report.stdout)
    assert seen["health"]["lost"] == []
    assert len(seen["connections"]) == 200
    assert all(row["exact"] for row in seen["connections"])
    assert seen["servers"][0]["model"] == "handoff"


@pytest.mark.parametrize("lacking", NEEDED, ids=str)
def test_without_one_of_them_it_says_which(lacking: Capability, tmp_path: Path) -> None:
    rest = [capability for capability in NEEDED if capability is not lacking]
    # a Python in a folder of root's cannot even be started without that one: then as root without it
    away = f"--bounding-set=-{lacking.name.lower()},-dac_override,-sys_admin"
    before = as_nobody(*rest) if lacking is not Capability.DAC_READ_SEARCH else ["setpriv", away]
    command = [*before, *SOCKSCOPE, "record", "-o", tmp_path / "r", "-d", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if lacking is Capability.DAC_READ_SEARCH:  # tracefs is root's own, so root reads it all the same
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1
    assert done.stderr == (
        f"sockscope: tracing needs root or {lacking}; run with sudo, or see docs/privileges.md\n"
    )


def test_root_keeps_only_what_tracing_goes_on_with(tmp_path: Path) -> None:
    with servers.start("single") as server:
        with recording([], tmp_path / "r", server.port, {**os.environ, "SUDO_UID": ""}) as pid:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                user, held, permitted = masks_of(thread / "status")
                if thread.name == str(pid) or held != set(Capability):  # numpy's own began before
                    assert (user, held, permitted) == (0, set(KEPT), set(KEPT | AT_MOMENTS))


def test_under_sudo_the_recorder_and_its_file_are_the_callers(folder: Path) -> None:
    output = folder / "r"
    with servers.start("single") as server:
        with recording([], output, server.port, UNDER_SUDO) as pid:
            load(server.port, "--connections", 50)
            threads = [masks_of(path / "status") for path in Path(f"/proc/{pid}/task").iterdir()]
    assert {user for user, _, _ in threads} == {NOBODY.pw_uid}
    assert set().union(*(permitted for _, _, permitted in threads)) <= KEPT | AT_MOMENTS | FOR_MODULES
    assert (output.stat().st_uid, output.stat().st_mode & 0o777) == (NOBODY.pw_uid, 0o600)


def test_the_doctor_names_what_is_missing() -> None:
    rest = [capability for capability in NEEDED if capability is not Capability.PERFMON]
    done = subprocess.run(
        [*as_nobody(*rest), *SOCKSCOPE, "doctor"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if "privileges" in line)
    assert "MISSING" in line
    assert "CAP_PERFMON (attach them, and let them read kernel memory)" in line
