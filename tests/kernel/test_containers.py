"""A container by its name, run by a real runtime: what serves in it is traced, and nothing else.

LXC runs its own; Docker and Podman have runc run theirs, in a cgroup that they name, and keep the name that
people know in a file.  Both are done here as they do it: the bundle, the cgroup and the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.kernel.command import begin, report, until_tracing
from tests.servers import real_clients as clients
from tests.servers.real_servers import free_port, is_listening

pytestmark = pytest.mark.kernel

SERVER = Path(__file__).parents[1] / "servers" / "ways_server.py"
CONNECTIONS = 40
NAME = f"sockscope-test-{os.getpid()}"
IDENTITY = f"{os.getpid():032x}" * 2


def _serve(port: int) -> list[str]:
    return [sys.executable, str(SERVER), "recv", str(port)]


def _word(wire: clients.Wire) -> None:
    wire.send(b"word")
    assert wire.exactly(4) == b"word"


@contextlib.contextmanager
def _lxc(place: Path, command: list[str]) -> Iterator[None]:
    """An application container with the host's files and network."""
    kept = place / "lxc"
    kept.mkdir()
    (place / "config").write_text(
        f"lxc.uts.name = {NAME}\nlxc.net.0.type = none\nlxc.console.path = none\nlxc.tty.max = 0\nlxc.autodev = 0\n"
    )
    words = ["lxc-execute", "-P", str(kept), "-n", NAME, "-f", str(place / "config"), "--", *command]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            yield
        finally:
            stop = ["lxc-stop", "-P", str(kept), "-n", NAME, "-k"]
            subprocess.run(stop, check=True, timeout=20)
            running.wait(20)


def _bundle(place: Path, cgroup: str, command: list[str]) -> None:
    """What runc is given: the host's directories bound into a root of its own, the host's network."""
    root = place / "rootfs"
    root.mkdir()
    (root / "proc").mkdir()
    mounts: list[dict[str, object]] = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    for entry in Path("/").iterdir():
        if entry.is_symlink():
            (root / entry.name).symlink_to(entry.readlink())
        elif entry.is_dir() and entry.name not in ("proc", "sys"):
            (root / entry.name).mkdir()
            options = ["rbind", "rprivate"]
            mounts.append(
                {"destination": str(entry), "type": "bind", "source": str(entry), "options": options}
            )
    process = {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": command,
        "cwd": "/",
        "env": ["PATH=/usr/bin"],
    }
    linux = {"cgroupsPath": cgroup, "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}]}
    config = {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": "rootfs"},
        "mounts": mounts,
        "linux": linux,
    }
    (place / "config.json").write_text(json.dumps(config))


@contextlib.contextmanager
def _runc(place: Path, cgroup: str, command: list[str]) -> Iterator[None]:
    _bundle(place, cgroup, command)
    runc = ["runc", "--root", str(place / "state")]
    words = [*runc, "run", "--bundle", str(place), IDENTITY]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            yield
        finally:
            subprocess.run([*runc, "kill", IDENTITY, "KILL"], check=True, timeout=20)
            running.wait(20)
            for above in Path("/sys/fs/cgroup").glob(f"**/{Path(cgroup).parent.name}"):
                with contextlib.suppress(OSError):  # others' containers are in it
                    above.rmdir()


def _docker(place: Path, command: list[str]) -> contextlib.AbstractContextManager[None]:
    return _runc(place, f"/docker/{IDENTITY}", command)


def _podman(place: Path, command: list[str]) -> contextlib.AbstractContextManager[None]:
    return _runc(place, f"/libpod_parent/libpod-{IDENTITY}", command)


#: Runtime → how it runs a container, and the file below /var/lib in which it keeps the name; what it says.
RUNTIMES: dict[
    str, tuple[Callable[[Path, list[str]], contextlib.AbstractContextManager[None]], str, object]
] = {
    "lxc": (_lxc, "", None),
    "docker": (_docker, f"docker/containers/{IDENTITY}/config.v2.json", {"ID": IDENTITY, "Name": f"/{NAME}"}),
    "podman": (
        _podman, "containers/storage/overlay-containers/containers.json", [{"id": IDENTITY, "names": [NAME]}],
    ),
}  # fmt: skip


@pytest.fixture
def beside() -> Iterator[int]:
    """The port of a server that is in no container."""
    port = free_port()
    server = subprocess.Popen(_serve(port))
    try:
        wait_until(lambda: is_listening(port), what="the server beside the container listens")
        yield port
    finally:
        server.kill()
        server.wait(10)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_just_the_container_of_that_name_is_recorded(runtime: str, tmp_path: Path, beside: int) -> None:
    runs, file, says = RUNTIMES[runtime]
    port, out = free_port(), tmp_path / "run.sockscope"
    (tmp_path / "says").write_text(json.dumps(says))
    # the file stands where the runtime keeps it, seen by the recorder alone
    place = f"/var/lib/{file}"
    kept = f"mount -t tmpfs none /var/lib && mkdir -p {Path(place).parent} && cp {tmp_path}/says {place} && "
    alone = ("unshare", "--mount", "sh", "-c", f'{kept if file else ""}exec "$@"', "sh")
    with runs(tmp_path, _serve(port)):
        wait_until(lambda: is_listening(port), what="the server in the container listens")
        recorder = begin("record", "-o", out, "--container", NAME, prefix=alone)
        until_tracing(recorder)
        for other in (beside, port):
            clients.drive(other, _word, CONNECTIONS, 4)
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(20) == 0, recorder.communicate()
    found = report(out)
    assert [listener["port"] for listener in found["listeners"]] == [port]
    assert len(found["connections"]) == CONNECTIONS
    assert found["servers"][0]["container"] == (NAME if runtime == "lxc" else IDENTITY)
    assert found["servers"][0]["model"] == "single"
