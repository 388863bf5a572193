"""A lock that lets one worker at a time wait for connections (Nginx calls it accept_mutex)."""

import fcntl
import os


class AcceptLock:
    """A lock on a file in memory, made before the workers are.

    The kernel ties such a lock to an open file, not to a process or thread: it works alike between
    threads and between processes, and a worker that is killed gives it up.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = os.memfd_create("accept-lock") if descriptor is None else descriptor

    def share(self) -> "AcceptLock":
        """Return the calling worker's own handle of the same lock."""
        return AcceptLock(os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDWR | os.O_CLOEXEC))

    def try_take(self) -> bool:
        """Take the lock if it is free; never waits."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Release the lock."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
