"""Reads and writes of each thread on the connections of one server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sockscope.analysis.server import Server
from sockscope.model.snapshot import Snapshot, Worker


@dataclass(frozen=True)
class WorkerIo:
    """Reads and writes that transferred bytes, on connections of one server."""

    reads: int = 0
    bytes_read: int = 0
    writes: int = 0
    bytes_written: int = 0


class ServerIo(Mapping[int, WorkerIo]):
    """Worker id → its I/O for the server; zeros for a worker without any."""

    def __init__(self, snapshot: Snapshot, server: Server) -> None:
        numbers = {listener.id for listener in server.group.listeners}
        found: dict[int, list[int]] = {}
        for part in snapshot.listener_io:
            if int(part["listener"]) in numbers:
                total = found.setdefault(int(part["worker"]), [0, 0, 0, 0])
                for index, name in enumerate(("reads", "bytes_read", "writes", "bytes_written")):
                    total[index] += int(part[name])
        self._found = {worker: WorkerIo(*total) for worker, total in found.items()}

    def __getitem__(self, worker: int) -> WorkerIo:
        return self._found.get(worker, WorkerIo())

    def __iter__(self) -> Iterator[int]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def is_less_than_all(self, workers: Iterable[Worker]) -> bool:
        """Return whether one of them read more than that: for other servers, or unknown listeners."""
        return any(worker.reads > self[worker.id].reads for worker in workers)
