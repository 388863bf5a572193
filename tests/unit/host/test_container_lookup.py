"""A container is found by what people call it: its id, the beginning of it, or Docker's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sockscope.errors import SockscopeError
from sockscope.host.container_lookup import cgroup_of_container

ONE, OTHER = "a1" * 32, "a2" * 32


@pytest.fixture
def proc(tmp_path: Path) -> str:
    """A /proc of three processes: two containers, one with a cgroup of its own inside, and the host's."""
    groups = {
        10: f"/system.slice/docker-{ONE}.scope/inner",
        11: f"/system.slice/docker-{OTHER}.scope",
        12: "/user.slice",
    }
    for pid, group in groups.items():
        place = tmp_path / "proc" / str(pid)
        place.mkdir(parents=True)
        (place / "stat").write_text(f"{pid} (server) S 1 " + "0 " * 50)
        (place / "cmdline").write_bytes(b"server\0")
        (place / "cgroup").write_text(f"0::{group}\n")
    return str(tmp_path / "proc")


def test_by_its_id_or_the_beginning_of_it(proc: str, tmp_path: Path) -> None:
    for name in (ONE, ONE[:12], "a1a1"):
        assert cgroup_of_container(name, proc, tmp_path) == f"/system.slice/docker-{ONE}.scope"


def test_by_the_name_that_docker_gave_it(proc: str, tmp_path: Path) -> None:
    (tmp_path / "docker" / OTHER).mkdir(parents=True)
    (tmp_path / "docker" / OTHER / "config.v2.json").write_text(json.dumps({"ID": OTHER, "Name": "/web"}))
    (tmp_path / "docker" / "broken").mkdir()
    (tmp_path / "docker" / "broken" / "config.v2.json").write_text("{")
    assert cgroup_of_container("web", proc, tmp_path / "docker") == f"/system.slice/docker-{OTHER}.scope"


@pytest.mark.parametrize(
    "file", ["overlay-containers/containers.json", "vfs-containers/volatile-containers.json"]
)
def test_by_the_name_that_podman_gave_it(file: str, proc: str, tmp_path: Path) -> None:
    path = tmp_path / "storage" / file
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps([{"id": ONE, "names": ["db"]}, {"id": OTHER, "names": ["web"]}, 7, {"names": 1}])
    )
    (tmp_path / "storage" / "btrfs-containers").mkdir()
    (tmp_path / "storage" / "btrfs-containers" / "containers.json").write_text("[{")
    found = cgroup_of_container("web", proc, tmp_path / "none", tmp_path / "storage")
    assert found == f"/system.slice/docker-{OTHER}.scope"


def test_one_that_does_not_run_is_said(proc: str, tmp_path: Path) -> None:
    with pytest.raises(SockscopeError, match="no process runs in a container 'web'"):
        cgroup_of_container("web", proc, tmp_path)
    with pytest.raises(SockscopeError, match="no process runs in a container 'a1'"):
        cgroup_of_container("a1", proc, tmp_path)  # too short to mean one


def test_several_that_fit_are_said(proc: str, tmp_path: Path) -> None:
    place = Path(proc) / "13"
    place.mkdir()
    (place / "stat").write_text("13 (server) S 1 " + "0 " * 50)
    (place / "cmdline").write_bytes(b"")
    (place / "cgroup").write_text(f"0::/docker-{'a1a1' + '9' * 60}.scope\n")
    with pytest.raises(SockscopeError, match="2 container ids begin with 'a1a1'"):
        cgroup_of_container("a1a1", proc, tmp_path)
