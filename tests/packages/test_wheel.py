"""What is installed is what was built here: the probes inside, the commit known, every byte the same."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from sockscope import __version__
from sockscope.build_info import of_checkout
from tests.packages.building import EPOCH, ROOT, build, installed


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(wheel, tmp_path_factory.mktemp("installed"))


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    """In a folder that is no checkout, with nothing of ours on the path."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        list(map(str, words)), cwd="/", env=kept, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_wheel_holds_every_probe_and_every_module_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard",
         "sockscope", "servers", "probes"],
        capture_output=True, text=True, check=True, timeout=30,
    ).stdout.split()  # fmt: skip
    wanted = {name if name.startswith("sockscope/") else f"sockscope/{name}" for name in tracked}
    page = f"sockscope-{__version__}.data/data/share/man/man1/sockscope.1"
    assert held == wanted | {"sockscope/_baked.py", page}


def test_an_installed_command_names_its_version_and_commit(command: Path) -> None:
    done = _run(command, "--version")
    assert done.returncode == 0, done.stderr
    found = re.match(rf"sockscope {re.escape(__version__)} \(commit ([0-9a-f]{{12}})", done.stdout)
    assert found, done.stdout
    assert of_checkout(ROOT).startswith(found[1])


def test_without_a_baked_commit_and_without_git_the_version_says_so(tmp_path: Path) -> None:
    (tmp_path / "sockscope").symlink_to(ROOT / "sockscope")
    code = "import sys, sockscope.build_info as b; b.of_checkout = lambda root: ''; print(b.description())"
    done = _run(sys.executable, "-c", code)
    assert done.stdout.startswith(f"{__version__} (commit unknown, not built from a git checkout), Python")
    assert of_checkout(tmp_path) == ""


def test_a_wheel_is_the_same_byte_for_byte_wherever_and_however_it_is_built(
    wheel: Path, tmp_path: Path
) -> None:
    archive = build("sdist", ROOT, tmp_path / "archive")
    with tarfile.open(archive) as held:
        held.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    for path in source.rglob("*"):
        os.utime(path, (time.time(), time.time()))
        path.chmod(0o700 if path.is_dir() else 0o600)  # as under a stricter umask
    again = build("wheel", source, tmp_path / "again", TZ="Asia/Tokyo", PYTHONHASHSEED="7", LC_ALL="C")
    assert again.name == wheel.name
    assert _hash(again) == _hash(wheel)
    dates = {entry.date_time for entry in zipfile.ZipFile(wheel).infolist()}
    assert dates == {time.gmtime(EPOCH)[:6]}
    assert _hash(build("sdist", ROOT, tmp_path / "twice")) == _hash(archive)


@pytest.mark.kernel
def test_an_installed_command_traces_with_the_probes_inside_it_and_the_systems_bcc(
    command: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run.sockscope"
    code = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(server.getsockname())\nserver.accept()[0].close()\n"
    )
    done = _run(command, "record", "-o", out, "--", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(_run(command, "report", out, "--format", "json").stdout)["connections"]) == 1
    where = _run(command.parent / "python", "-c",
                 "from sockscope.tracer.bpf_object import probe_directory as d; print(d())")  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(command.parents[1])
