"""The file of a recording: private from its first byte, and its owner's even under sudo."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sockscope.errors import SockscopeError

MODE = 0o600


def wal_of(path: Path) -> Path:
    """The log that DuckDB keeps next to a database; what was committed last is there."""
    return path.with_name(path.name + ".wal")


@dataclass(frozen=True)
class SecureFile:
    """A file that was put at its place."""

    path: Path
    device: int
    inode: int

    def check(self) -> None:
        """:raises SockscopeError: when it is no longer there"""
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            status = None
        if not status or (status.st_dev, status.st_ino) != (self.device, self.inode):
            raise SockscopeError(f"{self.path} was removed or replaced while recording", hint="record again")


def create_secure_file(path: Path, make: Callable[[Path], None], overwrite: bool) -> SecureFile:
    """Let ``make`` write a file, and put it at ``path`` when it is whole.

    It is made in a private folder next to its place, so nobody can open it before its mode is
    right, and whatever fails leaves an earlier recording as it was.

    :raises SockscopeError: when ``path`` exists and is not to be overwritten, or cannot be made
    """
    _refuse(path, overwrite)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except FileNotFoundError:
        if path.parent.exists():  # as /proc does
            raise SockscopeError(
                f"cannot create files in {path.parent}", hint="choose another path with -o"
            ) from None
        raise SockscopeError(
            f"{path.parent} does not exist", hint="create it, or choose another path with -o"
        ) from None
    except NotADirectoryError:
        raise SockscopeError(
            f"{path.parent} is not a directory", hint="choose another path with -o"
        ) from None
    try:
        made = folder / path.name
        make(made)
        made.chmod(MODE)
        hand_over(made)
        status = made.stat()
        _move(made, path, overwrite)
        return SecureFile(path, status.st_dev, status.st_ino)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_log(path: Path) -> None:
    """Make DuckDB's log of ``path`` before DuckDB does, which knows no modes or owners."""
    wal = wal_of(path)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(wal, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, MODE))
        hand_over(wal)


def drop_log(path: Path) -> None:
    """Remove the log if nothing came to stand in it."""
    with contextlib.suppress(FileNotFoundError):
        if not wal_of(path).stat().st_size:
            wal_of(path).unlink()


def hand_over(path: Path) -> None:
    """Under sudo, make the invoking user the owner."""
    user, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and user.isdecimal() and group.isdecimal():
        with contextlib.suppress(PermissionError):  # a file system that knows no owners
            os.chown(path, int(user), int(group), follow_symlinks=False)


def _refuse(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise SockscopeError(f"{path} is a directory", hint="name a file in it")
    if os.path.lexists(path):
        if not overwrite:
            raise SockscopeError(f"{path} exists", hint="choose another name, or use --overwrite")
        if not path.is_file():
            raise SockscopeError(f"{path} is not a regular file", hint="choose another name")
        _refuse_busy(path)
    elif os.path.lexists(wal_of(path)) and not overwrite:
        raise SockscopeError(
            f"{wal_of(path)} is left over from another recording",
            hint="choose another name, or use --overwrite",
        )


def _refuse_busy(path: Path) -> None:
    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SockscopeError(f"{path} is in use by another process", hint="choose another name") from None
    except PermissionError:
        return  # the folder decides whether it can be replaced


def _move(made: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        _replace(made, path)
        return
    try:
        os.link(made, path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EEXIST:
            _refuse(path, overwrite)
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        made.rename(path)  # a file system without hard links


def _replace(made: Path, path: Path) -> None:
    """The log of what is overwritten goes with it: DuckDB would take it for the new one's."""
    old = made.with_name("old.wal")
    with contextlib.suppress(FileNotFoundError):
        wal_of(path).replace(old)
    try:
        made.replace(path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            old.replace(wal_of(path))
        raise
