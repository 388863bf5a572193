"""Boot a kernel in qemu and run one command there, on a copy-on-write view of this machine's files.

Emulated, in one thread: with more, qemu loses races between the kernel's patching of its own text and
the other CPU as soon as probes are attached.  So nothing there may depend on exact times.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kernels.packages import Kernel

#: What the guest does once it has a root: what a system's start would have mounted, then the command.
_BEGIN = """
export PATH={path} HOME=/root LANG=C.UTF-8 TERM=dumb CI=true
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t sysfs sys /sys; mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf; mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
hostname guest; ip link set lo up
ulimit -l unlimited; ulimit -n 65536
cd {here}
{command} </dev/null >/run/guest/stdout 2>/run/guest/stderr
echo $? >/run/guest/status
busybox reboot -f
"""


@dataclass(frozen=True)
class Outcome:
    """How the command ended: its status (None when the guest did not get there), and what it said."""

    status: int | None
    stdout: str
    stderr: str
    console: str


def run(
    kernel: Kernel,
    command: Sequence[str],
    *,
    limit_s: float,
    keep: Path | None = None,
    memory_mib: int = 3072,
) -> Outcome:
    """Run ``command`` under ``kernel``, as root, in this directory.

    :param limit_s: seconds after which the guest is ended
    :param keep: a directory into which everything that the command left in /run/guest is copied
    """
    with tempfile.TemporaryDirectory(prefix="guest-") as scratch:
        shared = Path(scratch)
        begin = _BEGIN.format(
            path=shlex.quote(os.environ["PATH"]),
            here=shlex.quote(str(Path.cwd())),
            command=shlex.join(command),
        )
        (shared / "begin").write_text(begin)
        machine = subprocess.Popen(
            ["nice", *_machine(kernel, shared, memory_mib)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            complaints = machine.communicate(timeout=limit_s)[1]
        except subprocess.TimeoutExpired:
            complaints = f"ended after {limit_s:.0f} s"
        finally:
            machine.kill()
            machine.wait()
        if keep is not None:
            shutil.copytree(shared, keep, dirs_exist_ok=True)
        status = _text(shared / "status").strip()
        return Outcome(
            int(status) if status else None,
            _text(shared / "stdout"),
            _text(shared / "stderr"),
            _text(shared / "console") + complaints,
        )


def _machine(kernel: Kernel, shared: Path, memory_mib: int) -> list[str]:
    options = (
        "console=ttyS0 panic=-1 oops=panic mitigations=off random.trust_cpu=on tsc=reliable "
        "no_timer_check rcupdate.rcu_cpu_stall_suppress=1 nowatchdog loglevel=4"
    )
    words = [
        "qemu-system-x86_64 -accel tcg,thread=single,tb-size=512 -cpu max,la57=off -machine q35 -smp 2",
        f"-m {memory_mib} -nodefaults -no-user-config -display none -no-reboot -bios qboot.rom",
    ]
    command = " ".join(words).split()
    command += ["-kernel", str(kernel.image), "-initrd", str(kernel.initial), "-append", options]
    command += ["-chardev", f"file,id=console,path={shared}/console", "-serial", "chardev:console"]
    for tag, path, more in (("host", "/", ",readonly=on,multidevs=remap"), ("guest", str(shared), "")):
        command += ["-fsdev", f"local,id={tag},path={path},security_model=none{more}"]
        command += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return command


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
