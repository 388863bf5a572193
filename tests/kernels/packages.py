"""A distribution's kernel package, made bootable here without installing it.

It is fetched with apt, unpacked beside others, and given an initial file system with the few modules
that a root on 9p under an overlay needs.  Nothing of it touches the host's own boot files, nor what its
apt knows: the newest kernel comes from a release that this machine does not follow.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

STORE = Path(os.environ.get("SOCKSCOPE_KERNELS", "/var/tmp/sockscope-kernels"))

#: Where Debian builds the newest kernels for a release that is out.
_NEWEST = "trixie-backports"
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
_UNPACKERS = {b"\xfd7zXZ": ["xz", "-dc"], b"\x28\xb5\x2f\xfd": ["zstd", "-dcq"], b"\x1f\x8b": ["gzip", "-dc"]}

#: The guest's first process: modules, the host's root as a lower layer, then the real work.
_INIT = """#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
for module in $(busybox cat /modules/order); do busybox insmod /modules/$module; done
share() { busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,$3 $1 $2; }
share host /lower ro,cache=loose &&
busybox mount -t tmpfs -o size=60% upper /upper &&
busybox mkdir /upper/files /upper/work &&
busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work root /root &&
busybox mount -t tmpfs run /root/run && busybox mkdir /root/run/guest &&
share guest /root/run/guest rw,cache=none || { echo "guest: no root"; busybox reboot -f; }
busybox mount --move /dev /root/dev
busybox mount --move /proc /root/proc
exec busybox switch_root /root /bin/busybox sh /run/guest/begin
"""


class PackageError(Exception):
    """The kernel cannot be had, or cannot be booted here."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that is ready to boot: its release, and the directory of its files."""

    release: str
    directory: Path

    @property
    def image(self) -> Path:
        return self.directory / "vmlinux"

    @property
    def initial(self) -> Path:
        return self.directory / "initial.gz"


def kernel(name: str) -> Kernel:
    """Fetch and prepare a kernel, once.

    :param name: a series (``6.1``, ``6.12``, ``6.12-rt``: its newest), a release as in a package's
        name (``6.1.0-48-amd64``), or ``newest``: the newest that Debian has for a release that is out
    :raises PackageError: when apt does not have it, or it lacks something
    """
    apt = _other_apt() if name == "newest" else {}
    release = _release(name, apt)
    place = STORE / release
    if not (place / "initial.gz").exists():
        STORE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=STORE) as scratch:
            _prepare(release, Path(scratch), apt)
            shutil.rmtree(place, ignore_errors=True)
            (Path(scratch) / "ready").replace(place)
    return Kernel(release, place)


def _other_apt() -> dict[str, str]:
    """What makes apt know the suite of the newest kernels, and it alone."""
    known = _run("apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN)", "Created-By: Packages")
    sites = [
        site for site, _, origin in (line.partition(" ") for line in known.split("\n")) if origin == "Debian"
    ]
    if not sites:
        raise PackageError("this machine's apt names no archive of Debian")
    place = STORE / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    (place / "sources").write_text(f"deb [signed-by={_KEYS}] {sites[0]} {_NEWEST} main\n")
    settings = {
        "Dir::Etc::sourcelist": place / "sources",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": place / "lists",
        "Dir::Cache": place / "cache",
    }
    (place / "conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    apt = {"APT_CONFIG": str(place / "conf")}
    _run("apt-get", "update", "-qq", **apt)
    return apt


def _release(name: str, apt: dict[str, str]) -> str:
    if name != "newest" and re.fullmatch(r"\d+\.\d+(-rt)?", name) is None:
        return name
    series, _, flavour = ("", "", "") if name == "newest" else name.partition("-")
    flavours = f"{flavour}-amd64" if flavour else "amd64"
    for package in (f"linux-image-{series}-{flavours}", f"linux-image-{flavours}"):
        output = _run("apt-cache", "depends", package, check=False, **apt)
        found = re.search(r"Depends: linux-image-(\S+)", output)
        if found and found[1].startswith(f"{series}." if series else ""):
            return found[1]
    raise PackageError(f"apt has no kernel {name}; apt-cache search linux-image lists what there is")


def _prepare(release: str, scratch: Path, apt: dict[str, str]) -> None:
    download = ("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root")
    _run(*download, *_parts(release, apt), cwd=scratch, **apt)
    ready = scratch / "ready"
    for package in scratch.glob("*.deb"):
        _run("dpkg", "-x", package, ready)
        package.unlink()
    if not (ready / "lib").exists():  # since Debian 13
        (ready / "lib").symlink_to("usr/lib")
    places = (ready / f"boot/vmlinuz-{release}", ready / f"lib/modules/{release}/vmlinuz")
    image = next((place for place in places if place.exists()), places[0])
    (ready / "vmlinux").write_bytes(_unpacked(image.read_bytes()))
    _run("depmod", "-b", ready, release)
    (ready / "initial.gz").write_bytes(gzip.compress(_initial(ready, release), 1))


def _parts(release: str, apt: dict[str, str]) -> list[str]:
    """The packages of a kernel: newer ones have the kernel and its modules in two."""
    output = _run("apt-cache", "depends", f"linux-image-{release}", **apt)
    return [
        f"linux-image-{release}",
        *re.findall(rf"Depends: (linux-\w+-{re.escape(release)})$", output, re.MULTILINE),
    ]


def _unpacked(boot_image: bytes) -> bytes:
    """The ELF kernel inside: qemu enters it directly, and the guest need not unpack it.

    Payload's place: setup header, Documentation/arch/x86/boot.rst, "Details of Header Fields".
    """
    sectors = boot_image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", boot_image, 0x248)
    begin = (sectors + 1) * 512 + offset
    packed = boot_image[begin : begin + length]
    for magic, command in _UNPACKERS.items():
        if packed.startswith(magic):
            # the four bytes after the stream are its unpacked size, not part of it
            stream = packed[:-4] if command[0] == "xz" else packed
            image = subprocess.run(command, input=stream, capture_output=True, check=False).stdout
            if image.startswith(b"\x7fELF"):
                return image
    raise PackageError(f"do not know how this kernel is packed ({packed[:6].hex()})")


def _initial(ready: Path, release: str) -> bytes:
    files: dict[str, tuple[int, bytes]] = dict.fromkeys(_FOLDERS, (0o40755, b""))
    files["bin/busybox"] = (0o100755, Path("/bin/busybox").read_bytes())
    files["init"] = (0o100755, _INIT.encode())
    order = []
    for module in _MODULES:
        output = _run("modprobe", "-d", ready, "-S", release, "--show-depends", module)
        for path in re.findall(r"^insmod (\S+)", output, re.MULTILINE):
            name, content = _module(Path(path))
            if name not in order:
                order.append(name)
                files[f"modules/{name}"] = (0o100644, content)
    files["modules/order"] = (0o100644, "\n".join(order).encode())
    return b"".join(_entry(name, *file) for name, file in files.items()) + _entry("TRAILER!!!", 0, b"")


_FOLDERS = ("bin", "dev", "lower", "modules", "proc", "root", "upper")


def _module(path: Path) -> tuple[str, bytes]:
    packed = path.read_bytes()
    for magic, command in _UNPACKERS.items():
        if packed.startswith(magic):
            unpacked = subprocess.run(command, input=packed, stdout=subprocess.PIPE, check=True).stdout
            return path.name.removesuffix(path.suffix), unpacked
    return path.name, packed


def _entry(name: str, mode: int, content: bytes) -> bytes:
    """One file of a cpio archive in the "newc" format (initramfs buffer format of the kernel's docs)."""
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % value for value in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)


def _run(*command: object, cwd: Path | None = None, check: bool = True, **more: str) -> str:
    """What a command printed, with ``more`` in its environment."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=cwd, env={**os.environ, **more}, check=False
    )
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no word"]
        raise PackageError(f"{command[0]} failed: {said[-1]}")
    return done.stdout
