"""What is counted while a load runs."""

import json
from array import array
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TextIO

from ..errors import ServerError
from .client import Client
from .result import Latency, Result

_TRUTH_BUFFER_BYTES = 1 << 20


class Totals:
    """Sums of a load; writes the truth of each finished connection to a file if there is one."""

    def __init__(self, truth: Path | None) -> None:
        self._connect_s = array("d")
        self._request_s = array("d")
        self._failed = 0
        self._errors: Counter[str] = Counter()
        self._acceptors: Counter[str] = Counter()
        self._readers: Counter[str] = Counter()
        self._writers: Counter[str] = Counter()
        self._listeners: Counter[int] = Counter()
        self._bytes_sent = 0
        self._bytes_received = 0
        self._path = truth
        self._truth: TextIO | None = None
        if truth is not None:
            try:
                self._truth = truth.open("w", buffering=_TRUTH_BUFFER_BYTES, encoding="utf-8")
            except OSError as error:
                raise ServerError(f"cannot write {truth}: {error.strerror}") from error

    def __enter__(self) -> "Totals":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._truth is not None:
                self._truth.close()
        except OSError as failure:
            raise ServerError(f"cannot write {self._path}: {failure.strerror}") from failure

    @property
    def wants_truth(self) -> bool:
        """Whether a file for the truth was given."""
        return self._truth is not None

    def not_connected(self, error: str) -> None:
        """A connection could not even be begun."""
        self._failed += 1
        self._errors[error] += 1

    def connected(self, seconds: float) -> None:
        """A connection was made, this long after it was asked for."""
        self._connect_s.append(seconds)

    def answered(self, seconds: float) -> None:
        """A reply was complete, this long after its request was sent."""
        self._request_s.append(seconds)

    def finished(self, client: Client, error: str | None) -> None:
        """A connection is closed, well or not."""
        if error is not None:
            self.not_connected(error)
        if client.acceptor:
            self._acceptors[client.acceptor] += 1
            self._listeners[client.listener] += 1
        self._readers.update(client.readers)
        self._writers.update(client.writers)
        self._bytes_sent += client.bytes_sent
        self._bytes_received += client.bytes_received
        if self._truth is not None:
            facts = client.truth() if error is None else client.truth() | {"error": error}
            try:
                self._truth.write(json.dumps(facts) + "\n")
            except OSError as failure:
                raise ServerError(f"cannot write {self._path}: {failure.strerror}") from failure

    def result(self, seconds: float) -> Result:
        """The figures of a load that took this long."""
        return Result(
            connections=len(self._connect_s),
            requests=sum(self._writers.values()),
            failed=self._failed,
            errors=dict(self._errors),
            seconds=seconds,
            connect=Latency.of(self._connect_s),
            request=Latency.of(self._request_s),
            acceptors=dict(self._acceptors),
            readers=dict(self._readers),
            writers=dict(self._writers),
            listeners=dict(self._listeners),
            bytes_sent=self._bytes_sent,
            bytes_received=self._bytes_received,
        )
