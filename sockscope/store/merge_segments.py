"""Several files of one session, one after another, made one recording.

Run as a process of its own, so that tracing goes on meanwhile: ``python -m sockscope.store.merge_segments
from-start|later OUT PART …``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from sockscope.errors import SockscopeError
from sockscope.records.batch import Batch
from sockscope.store import Reader, Writer
from sockscope.store.rebase import Rebaser

#: Whether the first part is the session's first, or what came before was given up.
FROM_START, LATER = "from-start", "later"


def merge_segments(parts: Sequence[Path], out: Path, *, from_start: bool) -> None:
    """Write ``out`` from ``parts``, which follow each other: each begins with the batch that the one
    before ended with, and that batch is a whole one.

    :param from_start: the first part begins with the session; else counts are made to begin with it
    :raises SockscopeError: when a part cannot be read, or ``out`` not written
    """
    with Reader(parts[0]) as reader:
        batches = _all(reader, parts[1:])
        if from_start:
            with Writer(out, reader.meta) as writer:
                for batch in batches:
                    writer.write(batch)
            return
        base = next(batches, None)
        if base is None:
            raise SockscopeError(f"{parts[0]} has no data", hint="nothing had been traced yet")
        stretch = Rebaser(reader.meta, base, reader.meta.monotonic_offset_ns)
        with Writer(out, stretch.meta) as writer:
            writer.write(stretch.first())
            for batch in batches:
                writer.write(stretch.of(batch))


def _all(first: Reader, others: Sequence[Path]) -> Iterator[Batch]:
    yield from first.batches()
    for part in others:
        with Reader(part) as reader:
            yield from islice(reader.batches(), 1, None)


def main(words: Sequence[str]) -> int:
    """The process; what goes wrong is one line on stderr."""
    os.nice(10)
    how, out, *parts = words
    try:
        merge_segments([Path(part) for part in parts], Path(out), from_start=how == FROM_START)
    except SockscopeError as error:
        print(f"sockscope: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
