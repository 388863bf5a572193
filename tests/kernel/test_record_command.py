"""``sockscope record`` as a user runs it: from the first second to every way that it can end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import servers
from tests.conftest import wait_until
from tests.kernel.command import ROOT, begin, one_line, report, run, until_tracing
from tests.kernel.programs import held_by, loaded
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel


def test_a_recording_holds_every_connection_and_the_report_tells_them(tmp_path: Path) -> None:
    out = tmp_path / "run.sockscope"
    with servers.start("reuseport", workers=3) as server:
        recorder = begin("record", "-o", out, "--port", server.port)
        until_tracing(recorder)
        load(server.port, "--connections", 1000, "--concurrency", 16, "--requests", 2)
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(20) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    found = report(out)
    assert len(found["connections"]) == 1000
    assert found["health"]["lost"] == []
    assert found["health"]["overhead"]["resident_bytes"] < 200_000_000
    assert found["servers"][0]["model"] == "reuseport"
    keys = {"meta", "health", "listeners", "groups", "workers", "connections", "servers", "findings"}
    assert found.keys() == keys
    text = run("report", out)
    assert text.returncode == 0
    assert "model        reuseport" in text.stdout
    assert "lost: nothing" in text.stdout


def test_a_command_is_traced_from_its_first_listen_and_its_status_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "run.sockscope"
    code = (
        "import socket, sys\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(server.getsockname())\naccepted, _ = server.accept()\n"
        "client.sendall(b'hello')\naccepted.recv(10)\naccepted.sendall(b'bye')\nclient.recv(10)\n"
        "client.close()\naccepted.close()\nsys.exit(7)\n"
    )
    done = run("record", "-o", out, "--", sys.executable, "-c", code)
    assert done.returncode == 7, done.stderr
    found = report(out)
    (connection,) = found["connections"]
    assert connection["exact"]
    assert [reader["bytes"] for reader in connection["readers"]] == [5]
    assert [writer["bytes"] for writer in connection["writers"]] == [3]
    assert found["listeners"][0]["listened_by"]["pid"] == connection["acceptor"]["pid"]
    assert found["listeners"][0]["drops"] == 0


def test_nobody_listens_yet_is_said_and_waited_for(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    out = tmp_path / "run.sockscope"
    recorder = begin("record", "-o", out, "--port", port)
    until_tracing(recorder)
    assert recorder.stderr is not None
    assert "no listening socket matches the target yet" in recorder.stderr.readline()
    with servers.start("single", port=port):
        load(port, "--connections", 50)
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(20) == 0
    assert len(report(out)["connections"]) == 50


def test_a_target_that_ends_ends_the_recording_with_a_word(tmp_path: Path) -> None:
    out = tmp_path / "run.sockscope"
    with servers.start("shared", workers=2) as server:
        recorder = begin("record", "-o", out, "--pid", server.pid)
        until_tracing(recorder)
        load(server.port, "--connections", 100)
        server.stop()
        assert recorder.wait(20) == 0
    assert recorder.stderr is not None
    said = recorder.stderr.read()
    assert f"the target has ended: pid {server.pid}" in said
    found = report(out)
    assert len(found["connections"]) == 100
    assert all(worker["ended_ns"] for worker in found["workers"])


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_at_any_moment_leaves_a_readable_file_or_none(
    after_s: float, number: signal.Signals, tmp_path: Path
) -> None:
    out = tmp_path / "run.sockscope"
    recorder = begin("record", "-o", out, "--port", 9)
    time.sleep(after_s)  # the moment is what is varied, not a condition
    recorder.send_signal(number)
    _, said = recorder.communicate(timeout=20)
    if not _python_was_starting(said):
        # interrupted amid what a module in C evaluates, Python ends itself by SIGINT: 130 to a shell as well
        assert recorder.returncode in (0, 130, -signal.SIGINT, -number), said
        assert "Traceback" not in said, said
    if out.exists():
        done = run("report", out)
        assert done.returncode in (0, 1)
        assert "Traceback" not in done.stderr


def _python_was_starting(said: str) -> bool:
    """Whether the interrupt met the interpreter before anything of ours could see to it."""
    begun = {str(ROOT / "sockscope" / name) for name in ("__init__.py", "__main__.py", "version.py")}
    frames = set(re.findall(r'File "([^"]+)"', said))
    ours = {frame for frame in frames if frame.startswith(str(ROOT / "sockscope"))}
    return said.rstrip().endswith("KeyboardInterrupt") and ours <= begun


def test_what_does_not_exist_is_said_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "run.sockscope"
    one_line(run("record", "-o", out, "--pid", 999999), 1, "no process 999999")
    one_line(run("record", "-o", out, "--cgroup", "no/such"), 1, "no cgroup at")
    one_line(
        run("record", "-o", out, "--container", "no-such"), 1, "no process runs in a container 'no-such'"
    )
    one_line(run("record", "-o", out, "--netns", "no-such"), 2, "no network namespace 'no-such'")
    one_line(run("record", "-o", out, "--comm", "a-name-far-too-long"), 2, "the kernel keeps 15 bytes")
    one_line(
        run("record", "-o", out, "--attach", "read=magic"), 2, "signal read has no attach method 'magic'"
    )
    one_line(run("record", "-o", tmp_path / "no" / "dir" / "x", "-d", "1"), 1, str(tmp_path / "no" / "dir"))
    assert not out.exists()


def test_without_root_it_says_so(tmp_path: Path) -> None:
    # a user namespace without any mapping: the user is nobody there, and has no capability here
    done = run("record", "-o", tmp_path / "x", "-d", "1", prefix=("unshare", "-U"))
    one_line(done, 1, "tracing needs root or CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH; run with sudo")


def test_without_btf_it_says_what_the_kernel_lacks(tmp_path: Path) -> None:
    hidden = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh")
    done = run("record", "-o", tmp_path / "x", "-d", "1", prefix=hidden)
    one_line(done, 1, "cannot read the kernel's BTF")


def test_without_bcc_it_says_how_to_install_it_and_names_pypis(tmp_path: Path) -> None:
    place = Path("/usr/lib/python3/dist-packages/bcc")
    assert place.is_dir()
    hidden = ("unshare", "-m", "sh", "-c", f'mount -t tmpfs none {place} && exec "$@"', "sh")
    done = run("record", "-o", tmp_path / "x", "-d", "1", prefix=hidden)
    one_line(done, 1, "bcc, the BPF Compiler Collection, is not installed; apt install python3-bpfcc")
    (tmp_path / "pypi" / "bcc").mkdir(parents=True)
    (tmp_path / "pypi" / "bcc" / "__init__.py").write_text("def lattice(): pass\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "pypi")}
    done = run("record", "-o", tmp_path / "x", "-d", "1", prefix=hidden, env=environment)
    one_line(
        done, 1, "is the unrelated bcc package from PyPI, not the BPF Compiler Collection; pip uninstall bcc"
    )


def _modified(directory: Path) -> int:
    return max(path.stat().st_mtime_ns for path in directory.iterdir())


def test_a_full_disk_is_said_and_what_was_written_stays_readable(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(small)], check=True)
    try:
        with servers.start("shared", workers=2) as server:
            recorder = begin("record", "-o", small / "run.sockscope", "--port", server.port)
            until_tracing(recorder)
            made = _modified(small)
            load(server.port, "--connections", 500)
            wait_until(
                lambda: _modified(small) > made or recorder.poll() is not None,
                what="the first batch on the disk",
            )
            with contextlib.suppress(OSError), open(small / "filler", "wb", buffering=0) as filler:
                while True:  # until nothing more fits
                    filler.write(b"x" * 4096)
            deadline = time.monotonic() + 40
            while recorder.poll() is None and time.monotonic() < deadline:
                load(server.port, "--connections", 2000, "--concurrency", 32)
            _, said = recorder.communicate(timeout=20)
        assert recorder.returncode == 1, said
        assert "Traceback" not in said
        assert "space" in said or "full" in said
        (small / "filler").unlink(missing_ok=True)
        done = run("report", small / "run.sockscope")
        assert done.returncode == 0, done.stderr
    finally:
        recorder.kill()
        recorder.wait()
        subprocess.run(["umount", str(small)], check=True)


def test_a_port_in_use_is_said_by_serve() -> None:
    with servers.start("single") as server:
        done = run("serve", "single", "--port", server.port)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(server.port) in done.stderr


def test_nothing_of_ours_is_left_in_the_kernel_when_it_is_killed(tmp_path: Path) -> None:
    recorder = begin("record", "-o", tmp_path / "run.sockscope", "--port", 9)
    until_tracing(recorder)
    ours = held_by(recorder.pid)
    assert "on_recv" in ours.values()
    recorder.kill()
    recorder.communicate(timeout=20)
    wait_until(lambda: ours.keys().isdisjoint(loaded()), what="the kernel's giving up of the programs")


def test_the_doctor_says_that_all_is_well_and_names_each_signals_way() -> None:
    done = run("doctor", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["what"]: check for check in json.loads(done.stdout)["checks"]}
    assert all(check["state"] == "ok" for check in checks.values()), checks
    assert {name for name in checks if name.startswith("signal ")} == {
        f"signal {name}"
        for name in ("life", "data-ready", "accept", "read", "write", "wait", "wake", "tasks")
    }


def test_the_demo_tells_all_five_models_apart_and_sets_them_side_by_side(tmp_path: Path) -> None:
    page = tmp_path / "models.html"
    done = run("demo", "--connections", 300, "--html", page)
    assert done.returncode == 0, done.stdout + done.stderr
    models = ("single", "handoff", "dispatch", "shared", "reuseport")
    for model in models:
        assert f"── {model} ─" in done.stdout
        assert f"  model        {model}" in done.stdout
    assert f"lost: nothing\ncomparison of the models: {page}" in done.stdout
    told = page.read_text()
    assert re.findall(r"<h4>(\w+)</h4>\s*<div class=\"scroll\"", told) == list(models)
    assert told.count("<span>300 connections, ") == 5
