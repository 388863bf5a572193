"""Readers of /proc: true on this process, and unmoved by processes that vanish."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockscope.host import procfs
from sockscope.host import socket_owners as holders_module
from sockscope.host.processes import cgroup_of, process
from sockscope.host.socket_owners import find_socket_owners
from sockscope.records.batch import OWNER

#: An emulated machine is slow, and that is no fault.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture
def passers_by() -> Iterator[None]:
    """Processes and threads that come and go as fast as they can."""
    over = threading.Event()

    def spawn() -> None:
        while not over.is_set():
            subprocess.run(["true"], check=False)

    def flicker() -> None:
        while not over.is_set():
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()

    threads = [threading.Thread(target=target) for target in (spawn, flicker)]
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join()


def test_a_socket_held_twice_is_found_twice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, listener.dup() as again:
        inode = os.fstat(listener.fileno()).st_ino
        rows = find_socket_owners({inode: 99}).rows
        mine = rows[rows["pid"] == os.getpid()]
        assert mine["fd"].tolist() == sorted([listener.fileno(), again.fileno()])
        assert set(rows["inode"].tolist()) == {inode}
        assert set(rows["netns"].tolist()) == {99}


def test_a_child_that_inherited_it_is_a_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[listener.fileno()])
        try:
            rows = find_socket_owners({os.fstat(listener.fileno()).st_ino: 1}).rows
            assert set(rows["pid"].tolist()) == {os.getpid(), child.pid}
        finally:
            child.kill()
            child.wait()


def test_nobody_holds_nothing() -> None:
    found = find_socket_owners({})
    assert found.rows.dtype == OWNER
    assert len(found.rows) == 0


def test_descriptors_that_vanish_are_skipped_and_refusals_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in (3, 4, 5, 6):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "fd" / "8").symlink_to("socket:[77]")
        (tmp_path / str(pid) / "fd" / "9").symlink_to("socket:[78]")
    (tmp_path / "7").mkdir()  # ended before its descriptors were listed
    readlink, opener = os.readlink, os.open

    def vanishing(path: str, *, dir_fd: int) -> str:
        if path == "9":
            raise FileNotFoundError
        return readlink(path, dir_fd=dir_fd)

    def refusing(path: str, flags: int) -> int:
        if "/4/" in path:
            raise PermissionError
        if "/5/" in path:
            raise ProcessLookupError
        return opener(path, flags)

    monkeypatch.setattr(holders_module.os, "readlink", vanishing)
    monkeypatch.setattr(holders_module.os, "open", refusing)
    found = find_socket_owners({77: 1, 78: 1}, str(tmp_path))
    assert found.rows.tolist() == [(1, 77, 3, 8), (1, 77, 6, 8)]
    assert found.refused == (4,)


def test_this_process_is_told_as_it_is() -> None:
    told = process(os.getpid())
    assert told is not None
    assert (told.pid, told.parent_pid) == (os.getpid(), os.getppid())
    assert told.command.split(" ")[0] == Path("/proc/self/cmdline").read_text().split("\0")[0]


@pytest.mark.parametrize("name", ["a) R 1 (b", "((", "x\ny", "\x1b[31m", "ä" * 7])
def test_a_process_may_call_itself_anything(name: str) -> None:
    code = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(15, sys.argv[1].encode());"
        "print(flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    told = process(child.pid)
    child.communicate()
    assert told is not None
    assert told.comm == name
    assert told.parent_pid == os.getpid()
    assert told.command.endswith(name)


def test_a_process_that_is_gone_is_none_and_a_zombie_has_no_command() -> None:
    child = subprocess.Popen(["true"])
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    told = process(child.pid)
    assert told is not None
    assert told.command == ""
    child.wait()
    assert process(child.pid) is None


@patient
@given(st.binary(max_size=80))
def test_a_stat_of_any_bytes_gives_a_process_or_none(raw: bytes) -> None:
    files = {"stat": raw, "cmdline": raw, "cgroup": raw}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(procfs, "read", lambda path, largest=0: files[path.rpartition("/")[2]])
        assert process(5) is None or raw.count(b"(")


@patient
@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=15), st.integers(0, 2**22))
def test_name_and_parent_survive_every_name(name: str, parent: int) -> None:
    files = {"stat": f"5 ({name}) S {parent} 5 5".encode(), "cmdline": b"a\0b c\0\0", "cgroup": b"0::/x\n"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(procfs, "read", lambda path, largest=0: files[path.rpartition("/")[2]])
        told = process(5)
    assert told is not None
    assert (told.comm, told.parent_pid, told.command, told.cgroup) == (name, parent, "a b c", "/x")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("0::/system.slice/nginx.service\n", "/system.slice/nginx.service"),
        ("0::/\n", "/"),
        ("", ""),
        ("12:pids:/docker/1\n1:name=systemd:/docker/2\n0::/\n", "/docker/2"),
        ("12:pids:/docker/1\n0::/unified\n", "/unified"),
        ("12:pids:/docker/1\n0::/\n", "/docker/1"),
        ("4:memory:/\n0::/a:b:c\n", "/a:b:c"),
        ("nonsense\n", ""),
    ],
)
def test_the_cgroup_that_says_most_is_taken(raw: str, path: str) -> None:
    assert cgroup_of(raw.encode()) == path


def test_everything_is_read_while_processes_come_and_go(passers_by: None) -> None:
    from sockscope.host import netns
    from sockscope.host.threads import ThreadClocks, blocked_in, threads

    with ThreadClocks() as clocks:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            everyone = procfs.pids()
            find_socket_owners({1: 1})
            netns.census()
            for pid in everyone:
                process(pid)
            for thread in threads(os.getpid()):
                blocked_in(os.getpid(), thread.tid)
            assert len(clocks.sample([os.getpid(), *everyone])) > 0


def test_reading_stops_where_it_was_told_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    assert procfs.read(str(tmp_path / "file"), 70_000) == b"x" * 70_000
    assert procfs.read(str(tmp_path / "file")) == b"x" * 100_000
    assert procfs.read(str(tmp_path / "none")) is None
    assert procfs.read(str(tmp_path / "file" / "below")) is None


def test_a_file_that_comes_in_pieces_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"0123456789" * 10)
    once = os.read
    monkeypatch.setattr(procfs.os, "read", lambda descriptor, most: once(descriptor, min(most, 7)))
    assert procfs.read(str(tmp_path / "file")) == b"0123456789" * 10
    assert procfs.read(str(tmp_path / "file"), 9) == b"012345678"


def test_hidden_processes_are_owned_up_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "self" / "ns").mkdir(parents=True)
    mountinfo = tmp_path / "self" / "mountinfo"
    mountinfo.write_text(
        "22 1 0:4 / /proc rw - proc proc rw\n23 22 0:4 / /proc rw - proc proc rw,hidepid=invisible\n"
    )
    (tmp_path / "self" / "ns" / "pid").write_text("")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    hidden, outside = procfs.hidepid_reasons(str(tmp_path))
    assert "hidepid" in hidden
    assert "outside" in outside
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert len(procfs.hidepid_reasons(str(tmp_path))) == 1
    mountinfo.write_text(
        "22 1 0:4 / /proc rw - proc proc rw,hidepid=2\n23 22 0:4 / /proc rw - proc proc rw\n"
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert len(procfs.hidepid_reasons(str(tmp_path))) == 1
