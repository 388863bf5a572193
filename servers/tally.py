"""Open connections of each worker, visible to the thread that distributes them."""

import mmap


class Tally:
    """Counts what was given to each worker and what the worker closed.

    Both counters have one writer each, so no lock is needed; what workers write lies in shared memory,
    so it does not matter whether they are threads or processes.
    """

    def __init__(self, workers: int) -> None:
        self._closed = memoryview(mmap.mmap(-1, 8 * workers)).cast("Q")
        self._given = [0] * workers
        self._left = list(range(workers))
        self._last = -1

    def given(self, worker: int) -> None:
        """The sharer gave this worker one connection."""
        self._given[worker] += 1

    def closed(self, worker: int) -> None:
        """This worker closed one connection."""
        self._closed[worker] += 1

    def retire(self, worker: int) -> None:
        """This worker is gone."""
        self._left.remove(worker)

    @property
    def empty(self) -> bool:
        """Whether no worker is left."""
        return not self._left

    def next(self) -> int:
        """The next worker in turn."""
        return self._picked(min(self._left, key=lambda worker: (worker <= self._last, worker)))

    def least(self) -> int:
        """The worker with the fewest open connections; among equals, the next in turn."""
        return self._picked(
            min(
                self._left,
                key=lambda worker: (self._given[worker] - self._closed[worker], worker <= self._last, worker),
            )
        )

    def _picked(self, worker: int) -> int:
        self._last = worker
        return worker
