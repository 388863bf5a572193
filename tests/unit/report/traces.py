"""A reader of trace events as strict as Perfetto's: slices nest, and arrows start and land in slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_NANOSECOND = 1e-3


@dataclass(frozen=True)
class Stop:
    """One end or bend of an arrow: its phase, the slice it is bound to, and that slice's track."""

    phase: str
    slice: str
    track: tuple[int, int]
    ts: float
    facts: dict[str, Any]


def arrows_of(events: Iterable[dict[str, Any]]) -> dict[tuple[str, int], list[Stop]]:
    """Every arrow by its category and number, bound as Perfetto binds it: to the innermost slice of its
    track that is open at its time (events of one time count in the order of the file).

    :raises AssertionError: when slices of a track cross, or an arrow hangs in the air
    """
    tracks: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] in "Xstf":
            tracks[event["pid"], event["tid"]].append(event)
    arrows: dict[tuple[str, int], list[Stop]] = defaultdict(list)
    for track, many in tracks.items():
        many.sort(key=lambda event: event["ts"])  # stable, as theirs is
        open_slices: list[tuple[float, dict[str, Any]]] = []
        for event in many:
            while open_slices and open_slices[-1][0] <= event["ts"] + _NANOSECOND / 10:
                open_slices.pop()
            if event["ph"] == "X":
                end = event["ts"] + event["dur"]
                assert not open_slices or end <= open_slices[-1][0] + _NANOSECOND / 10, event
                open_slices.append((end, event))
                continue
            assert open_slices, f"{event} is in no slice"
            assert event["ph"] != "f" or event["bp"] == "e", event
            inside = open_slices[-1][1]
            arrows[event["cat"], event["id"]].append(
                Stop(event["ph"], inside["name"], track, event["ts"], inside["args"])
            )
    for stops in arrows.values():
        stops.sort(key=lambda stop: stop.ts)
        phases = "".join(stop.phase for stop in stops)
        assert phases.replace("t", "") in ("s", "sf"), stops
        assert phases.startswith("s"), stops
    return arrows
