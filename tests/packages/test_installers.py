"""The wheel as people install it: pipx and uv here, and in whole trees of other distributions.

``make test-packages`` runs these; they download.  A tree of a distribution comes from the archive
that this machine's apt uses; Ubuntu's is asked for only where SOCKSCOPE_UBUNTU_ARCHIVE names one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages.building import ROOT, build

pytestmark = [pytest.mark.slow, pytest.mark.kernel]

_TRACE = """
import subprocess, sys
command, out = sys.argv[1:]
code = "import socket; s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); s.accept()"
subprocess.run([command, "doctor"], check=True)
subprocess.run([command, "record", "-f", "-o", out, "--", sys.executable, "-c", code], check=True)
subprocess.run([command, "report", out], check=True)
"""
#: suite → the release it is, the packages that a user installs there first
_TREES = {
    "bookworm": ("Debian 12", "python3,python3-bpfcc,pipx,ca-certificates"),
    "trixie": ("Debian 13", "python3,python3-bpfcc,pipx,ca-certificates"),
    "jammy": ("Ubuntu 22.04", "python3.11,python3.11-venv,python3-bpfcc,ca-certificates"),
    "noble": ("Ubuntu 24.04", "python3,python3-bpfcc,pipx,ca-certificates"),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("installers")
    subprocess.run([sys.executable, "-m", "venv", place], check=True, timeout=60)
    subprocess.run([place / "bin" / "pip", "install", "-q", "pipx", "uv"], check=True, timeout=300)
    return place / "bin"


def _traces(*command: object, **more: str) -> None:
    """The script above ran through: the doctor is content, one connection was recorded and reported."""
    environ = {**os.environ, **more}
    words = list(map(str, command))
    done = subprocess.run(
        words, cwd="/", env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "compiled, loaded and attached" in done.stdout
    assert "1 closed connections" in done.stderr
    assert "one thread accepted 1 connection" in done.stdout
    assert "lost: nothing" in done.stdout


def test_pipx_installs_the_wheel_and_it_traces_beside_the_systems_bcc(
    wheel: Path, installers: Path, tmp_path: Path
) -> None:
    places = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    install = [installers / "pipx", "install", wheel]
    subprocess.run(install, env={**os.environ, **places}, check=True, timeout=300)
    # by the system's own Python, which has nothing to do with where sockscope was installed
    _traces("/usr/bin/python3", "-c", _TRACE, tmp_path / "bin" / "sockscope", tmp_path / "x")


def test_uv_installs_the_wheel_and_it_traces_beside_the_systems_bcc(
    wheel: Path, installers: Path, tmp_path: Path
) -> None:
    places = {
        "UV_TOOL_DIR": str(tmp_path / "home"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "bin"),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
    }
    install = [installers / "uv", "tool", "install", "--no-python-downloads", wheel]
    subprocess.run(install, env={**os.environ, **places}, check=True, timeout=300)
    _traces("/usr/bin/python3", "-c", _TRACE, tmp_path / "bin" / "sockscope", tmp_path / "x")


@pytest.mark.parametrize("suite", _TREES)
def test_in_a_tree_of_another_distribution_its_own_python_and_bcc_trace(
    suite: str, wheel: Path, tmp_path: Path
) -> None:
    release, packages = _TREES[suite]
    tree = tmp_path / "tree"
    _make_tree(suite, release, packages, tree)
    shutil.copy(wheel, tree / "root")
    for name in ("etc/pip.conf", "etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
        if (Path("/") / name).exists():  # how this machine reaches packages, that tree does too
            shutil.copy(Path("/") / name, tree / name)
    (tree / "root" / "trace.py").write_text(_TRACE)
    python = "python3.11" if suite == "jammy" else "python3"
    if "pipx" in packages:
        install, command = f"pipx install /root/{wheel.name}", "/root/.local/bin/sockscope"
    else:
        install = f"{python} -m venv /root/v && /root/v/bin/pip install -q /root/{wheel.name}"
        command = "/root/v/bin/sockscope"
    inside = f"{install} >&2 && {python} /root/trace.py {command} /root/x"
    mounts = " && ".join(f"mount --rbind /{name} {tree}/{name}" for name in ("proc", "sys", "dev"))
    enter = f'{mounts} && exec chroot {tree} sh -c "$1"'
    _traces("unshare", "-m", "sh", "-c", enter, "sh", inside, HOME="/root")


def _make_tree(suite: str, release: str, packages: str, tree: Path) -> None:
    if shutil.which("debootstrap") is None:
        pytest.skip("no debootstrap; apt install debootstrap")
    if release.startswith("Ubuntu"):
        archive = os.environ.get("SOCKSCOPE_UBUNTU_ARCHIVE", "")
        if not archive:
            pytest.skip(f"{release}: SOCKSCOPE_UBUNTU_ARCHIVE names no archive of Ubuntu")
    else:
        archive = _archive()
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(tree), archive]
    done = subprocess.run(command, capture_output=True, text=True, timeout=420, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def _archive() -> str:
    """Where this machine gets Debian's packages from."""
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split("\n")
    sites = [site for site, _, name in (line.partition(" ") for line in lines) if name == "bookworm"]
    if not sites:
        pytest.skip("this machine's apt names no archive of Debian")
    return sites[0]
