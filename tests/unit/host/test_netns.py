"""Naming, listing and entering network namespaces, as far as that needs no root."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from sockscope.errors import SockscopeError, UsageError
from sockscope.host import netns, procfs


def test_our_own_is_found_by_each_of_its_names() -> None:
    here = netns.own()
    for text in (str(os.getpid()), str(here.inode), f"net:[{here.inode}]", "/proc/self/ns/net"):
        assert netns.resolve(text).inode == here.inode, text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no-such-name", "no network namespace 'no-such-name'"),
        ("", "no network namespace ''"),
        (".", "no network namespace '.'"),
        ("0", "no network namespace '0'"),
        ("-1", "no network namespace '-1'"),
        ("net:[x]", "no network namespace"),
        ("²", "no network namespace"),
        ("4194304", "no process 4194304"),
        ("4294967295", "inode 4294967295"),
        ("/no/such/file", "no network namespace at '/no/such/file'"),
        ("/proc/self/ns/mnt", "is not a network namespace"),
        ("/proc/self/stat", "is not a network namespace"),
        ("/dev/null", "is not a network namespace"),
        ("/tmp", "is not a network namespace"),
    ],
)
def test_what_is_no_namespace_is_a_usage_error_with_a_remedy(text: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        netns.resolve(text)
    assert says in str(raised.value)
    assert ";" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_namespace_we_may_not_look_at_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(netns.os, "open", refuse)
    with pytest.raises(SockscopeError, match="run as root") as raised:
        netns.resolve("1")
    assert not isinstance(raised.value, UsageError)


def test_the_census_has_us_in_it() -> None:
    census = netns.census()
    assert netns.own().inode in census.pids
    assert census.refused >= 0


def test_the_census_names_the_lowest_pid_and_skips_what_vanished(tmp_path: Path) -> None:
    for pid, target in (
        (9, "net:[4026531840]"),
        (3, "net:[4026531840]"),
        (5, "net:[4026532000]"),
        (7, "odd"),
    ):
        (tmp_path / str(pid) / "ns").mkdir(parents=True)
        (tmp_path / str(pid) / "ns" / "net").symlink_to(target)
    (tmp_path / "11").mkdir()
    (tmp_path / "self").mkdir()
    assert netns.census(str(tmp_path)) == netns.Census({4026531840: 3, 4026532000: 5}, 0)


def test_the_census_counts_who_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> Path:
        raise PermissionError

    (tmp_path / "3").mkdir()
    (tmp_path / "4").mkdir()
    monkeypatch.setattr(Path, "readlink", refuse)
    assert netns.census(str(tmp_path)) == netns.Census({}, 2)


def test_names_come_from_mounts_with_odd_signs_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = (
        b"22 1 0:4 net:[4026532001] /run/docker/netns/1a2b rw shared:5 - nsfs nsfs rw\n"
        b"23 1 0:4 net:[4026532001] /run/netns/two\\040words rw - nsfs nsfs rw\n"
        b"24 1 0:4 mnt:[4026532002] /run/other rw - nsfs nsfs rw\n"
        b"25 1 8:1 / / rw - ext4 /dev/root rw\n"
        b"26 1 0:4 net:[4026532003] /run/netns/\xc3\xa4 rw - nsfs nsfs rw\n"
        b"short line\n"
    )
    monkeypatch.setattr(procfs, "read", lambda path: mounts)
    assert netns.named() == {4026532001: "/run/netns/two words", 4026532003: "/run/netns/ä"}


def test_an_action_inside_our_own_namespace_returns_its_result_from_another_thread() -> None:
    for place in (None, netns.own()):
        assert netns.inside(place, threading.get_ident) != threading.get_ident()


def test_an_error_inside_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        netns.inside(None, lambda: 1 // 0)


def test_a_namespace_that_is_not_the_one_meant_any_more_is_gone() -> None:
    with pytest.raises(netns.NamespaceGoneError, match="no longer exists"):
        netns.inside(netns.Namespace(4026530000, "/proc/self/ns/net"), os.getpid)
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(netns.NamespaceGoneError):
        netns.inside(netns.Namespace(4026530000, f"/proc/{child.pid}/ns/net"), os.getpid)
