"""What each thread did for one server: a thread may serve others, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sockscope.analysis.server import Server
from sockscope.model.snapshot import Snapshot, Worker

#: Where a thread did more than its row tells.
ELSEWHERE = (
    "busy, stalls and data wait cover all that these threads do, on other listeners too, "
    "and on connections whose listener is unknown"
)


@dataclass(frozen=True)
class WorkerIo:
    """Reads and writes that took or gave bytes, on one server's connections."""

    reads: int = 0
    bytes_read: int = 0
    writes: int = 0
    bytes_written: int = 0


class ServerIo(Mapping[int, WorkerIo]):
    """Worker's id → what it did for the server; nothing for one that did nothing for it."""

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
        """Whether one of them did more: for others, or on connections whose listener is unknown."""
        return any(worker.reads > self[worker.id].reads for worker in workers)
