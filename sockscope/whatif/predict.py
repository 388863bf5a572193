"""Simulate alternatives to a recorded server, with intervals, and put the result in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sockscope.formatting import duration
from sockscope.whatif.alternatives import Alternative
from sockscope.whatif.engine import Run, Setup, Work, simulate, take_first
from sockscope.whatif.workload import Floats, UnsupportedRecordingError, Workload

#: Replicates for the interval, and the connections of each.
_REPLICATES = 15
_REPLICATE_CONNECTIONS = 5000
#: Demands are resampled in blocks of this many connections, which keeps bursts of slow requests together.
_BLOCK = 25
_QUANTILES = (0.5, 0.9, 0.99, 1.0)
#: The load is raised up to this factor in search of saturation.
_MOST_LOAD = 16.0
#: p99 is predicted to change when it does by more than this, and the intervals do not overlap.
_CHANGE = 1.15


@dataclass(frozen=True)
class Interval:
    """A predicted value, and the range in which a measurement is expected in 9 of 10 runs."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Times:
    """Percentiles of a duration in seconds."""

    p50: Interval
    p90: Interval
    p99: Interval
    longest: Interval


@dataclass(frozen=True)
class Prediction:
    """What one alternative is expected to do.

    ``total`` is established → first reply.  ``overflows`` are dropped handshakes, ``failed`` the connections of
    clients that gave up.  ``saturation`` is the load, as a factor of that of the recording, at which the p99 of
    ``total`` doubles: 0 when it was not determined, infinite when it does not up to ×16.
    """

    alternative: Alternative
    workers: int
    queue_wait: Times
    data_wait: Times
    reply: Times
    total: Times
    max_over_mean: Interval
    utilisation: Interval
    queue_max: Interval
    overflows: Interval
    failed: int
    saturation: float
    sentence: str
    totals: Floats


@dataclass(frozen=True)
class WhatIf:
    """A recorded server: measured, simulated as it was recorded, and simulated alternatives.

    ``reproduced`` is the simulated p99 of ``total`` divided by the measured one: how far the simulation can be
    trusted for this recording.
    """

    workload: Workload
    measured: Prediction
    as_recorded: Prediction
    alternatives: tuple[Prediction, ...]
    reproduced: float
    warnings: tuple[str, ...]


def predict(workload: Workload, alternatives: Sequence[Alternative], *, saturation: bool = True) -> WhatIf:
    """Predict each alternative.

    :param saturation: also search the load at which p99 doubles (open loops only)
    :raises UnsupportedRecordingError: when the recording does not support an alternative
    """
    for alternative in alternatives:
        if alternative.load > 1 and workload.saturated and workload.setup.clients:
            raise UnsupportedRecordingError(
                "the workers were saturated by clients that wait for replies: more load cannot be extrapolated",
                hint="record at a lower load, or predict more workers",
            )
    workload = replace(workload, setup=_with_available_cpus(workload))
    measured = _measured(workload)
    nothing = Alternative()
    plain = _simulate(workload, nothing, {}, saturation)
    errors = {
        name: _errors(getattr(plain, name), getattr(measured, name))
        for name in ("queue_wait", "data_wait", "reply", "total")
    }
    as_recorded = replace(plain, sentence="")
    found = tuple(_simulate(workload, each, errors, saturation) for each in alternatives)
    said = tuple(replace(each, sentence=_sentence(workload, measured, each)) for each in found)
    reproduced = plain.total.p99.value / max(measured.total.p99.value, 1e-9)
    warnings = []
    if not 0.7 <= reproduced <= 1.3:
        warnings.append(
            f"the simulation of the recorded setup gives a p99 of {duration(plain.total.p99.value * 1e9)}, measured: "
            f"{duration(measured.total.p99.value * 1e9)}; trust the order of alternatives, not their figures"
        )
    if workload.saturated and not workload.setup.clients:
        warnings.append("the workers were saturated, so waits depend on how long the load lasts")
    return WhatIf(workload, measured, as_recorded, said, reproduced, tuple(warnings))


def advise(workload: Workload) -> tuple[Alternative, ...]:
    """Return alternatives that are worth trying for this server."""
    workers, cpus = workload.setup.workers, int(workload.setup.cpus)
    names = {"shared": "shared", "reuseport": "reuseport", "handoff": "handoff"}
    current = names[workload.setup.sharing]
    counts = [workers] if workers > 1 else [max(cpus, 2)]
    tried: list[Alternative] = [Alternative(model=model, workers=count) for model in ("shared", "reuseport", "handoff:least")
             for count in counts if (model, count) != (current, workers)]  # fmt: skip
    tried.append(Alternative(workers=workers * 2))
    if cpus not in (workers, workers * 2) and workers > 1:
        tried.append(Alternative(workers=cpus))
    if workload.measured.queue_max * 2 > workload.setup.backlog:
        tried.append(Alternative(backlog=workload.setup.backlog * 4))
    return tuple(tried)


def rank(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """Return the predictions, best first: fewest dropped handshakes, then the lowest p99 of the total time."""
    return tuple(sorted(predictions, key=lambda each: (each.overflows.value, each.total.p99.value)))


def _simulate(
    workload: Workload, alternative: Alternative, errors: dict[str, tuple[float, ...]], saturation: bool
) -> Prediction:
    work, setup = alternative.apply(workload.work, workload.setup)
    run = simulate(work, setup)
    samples = [_durations(again, setup) for again in _replicates(work, setup)]
    point = _durations(run, setup)
    times = {
        name: _times(
            point[name], [each[name] for each in samples], errors.get(name, (1.0,) * len(_QUANTILES))
        )
        for name in ("queue_wait", "data_wait", "reply", "total")
    }

    def interval(name: str) -> Interval:
        values = [float(each[name][0]) for each in samples]
        return _interval(float(point[name][0]), values, 1.0)

    # a maximum over the run and a count grow with it: replicates are shorter
    longest, drops = float(point["queue_max"][0]), float(run.overflows)
    return Prediction(
        alternative,
        setup.workers,
        **times,
        max_over_mean=interval("max_over_mean"),
        utilisation=interval("utilisation"),
        queue_max=Interval(longest, min(longest, interval("queue_max").low), interval("queue_max").high),
        overflows=Interval(drops, 0.0 if interval("overflows").low == 0 else drops / 2, drops * 2),
        failed=run.failed,
        saturation=_saturation(work, setup) if saturation and not setup.clients else 0.0,
        sentence="",
        totals=point["total"],
    )


def _durations(run: Run, setup: Setup) -> dict[str, Floats]:
    """Durations in seconds of the connections that were answered, and figures of the whole run."""
    done = ~np.isnan(run.replied)
    shares = np.bincount(run.worker[run.worker >= 0], minlength=setup.workers)
    nothing = np.zeros(max(int(done.sum()), 1))
    total = run.replied[done] - run.established[done] if done.any() else nothing
    figures = {
        "max_over_mean": shares.max() / max(float(shares.mean()), 1e-9),
        "utilisation": sum(run.busy) / max(run.span * setup.workers, 1e-9),
        "queue_max": float(run.queue_max),
        "overflows": float(run.overflows),
    }
    numbers = {name: np.array([value]) for name, value in figures.items()}
    if setup.sharing == "dispatch":  # the reader takes everything at once; requests wait for a worker
        reply = run.replied[done] - run.readable[done] if done.any() else nothing
        return {"queue_wait": nothing, "data_wait": nothing, "reply": reply, "total": total, **numbers}
    first = np.maximum(run.readable, run.accepted)
    return {
        "queue_wait": (run.accepted - run.established)[done] if done.any() else nothing,
        "data_wait": (run.read - first)[done] if done.any() else nothing,
        "reply": (run.replied - run.read)[done] if done.any() else nothing,
        "total": total,
        **numbers,
    }


def _replicates(work: Work, setup: Setup) -> list[Run]:
    """Runs of windows of the work, with demands resampled in blocks and other hashes."""
    count = len(work.arrivals)
    size = min(count, _REPLICATE_CONNECTIONS)
    runs = []
    for seed in range(_REPLICATES):
        chance = np.random.default_rng(seed)
        start = int(chance.integers(0, count - size + 1))
        window = slice(start, start + size)
        blocks = chance.integers(0, count, -(-size // _BLOCK))
        drawn = ((blocks[:, None] + np.arange(_BLOCK)) % count).ravel()[:size]
        runs.append(
            simulate(
                replace(
                    work,
                    arrivals=work.arrivals[window] - work.arrivals[start],
                    data_delay=work.data_delay[drawn],
                    cpu=work.cpu[drawn],
                    blocked=work.blocked[drawn],
                    hashes=chance.random(size),
                    requests=work.requests[drawn],
                ),
                setup,
            )
        )
    return runs


def _times(values: Floats, samples: Sequence[Floats], errors: Sequence[float]) -> Times:
    drawn = np.array([np.quantile(each, _QUANTILES) for each in (values, *samples)])
    # one run is one draw of the hashes: the median of all is the better estimate
    point = np.median(drawn, axis=0)
    return Times(
        *(_interval(float(point[at]), drawn[:, at].tolist(), errors[at]) for at in range(len(_QUANTILES)))
    )


def _interval(value: float, drawn: list[float], error: float) -> Interval:
    low, high = np.quantile(drawn, [0.05, 0.95]) if drawn else (value, value)
    return Interval(value, min(float(low), value) / error, max(float(high), value) * error)


def _errors(simulated: Times, measured: Times) -> tuple[float, ...]:
    """By which factor, at least 1, each percentile of the recorded setup is missed; intervals are widened by it."""
    pairs = [
        (getattr(simulated, name).value, getattr(measured, name).value)
        for name in ("p50", "p90", "p99", "longest")
    ]
    least = 10e-6  # differences of some microseconds are not the model's
    return tuple(math.exp(abs(math.log((a + least) / (b + least)))) for a, b in pairs)


def _with_available_cpus(workload: Workload) -> Setup:
    """The CPUs that the recorded workers had beside other load: replies took as long as they did with those."""
    work, setup, measured = workload.work, workload.setup, workload.measured
    size = min(len(work.arrivals), _REPLICATE_CONNECTIONS)
    part = take_first(work, size)
    if not len(part.arrivals) or not setup.workers:
        return setup
    wanted = float(np.median(measured.reply))

    def reply(cpus: float) -> float:
        run = simulate(part, replace(setup, cpus=cpus))
        return float(np.nanmedian(run.replied - run.read))

    # the part of the recorded demand that was waiting for a CPU was taken out of ``work``
    if reply(setup.cpus) > wanted / 1.05:
        return setup
    low, high = 0.2, setup.cpus
    for _ in range(7):
        middle = (low + high) / 2
        low, high = (middle, high) if reply(middle) > wanted else (low, middle)
    return replace(setup, cpus=round((low + high) / 2, 2))


def _saturation(work: Work, setup: Setup) -> float:
    """The factor of the load at which the p99 of the total time doubles."""
    part = take_first(work, min(len(work.arrivals), _REPLICATE_CONNECTIONS))

    def p99(load: float) -> float:
        run = simulate(replace(part, arrivals=part.arrivals / load), setup)
        done = ~np.isnan(run.replied)
        return float(np.quantile((run.replied - run.begun)[done], 0.99)) if done.any() else float("inf")

    limit, low, high = 2 * p99(1.0), 1.0, 2.0
    while p99(high) < limit:
        low, high = high, high * 2
        if high > _MOST_LOAD:
            return float("inf")
    for _ in range(4):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if p99(middle) >= limit else (middle, high)
    return math.sqrt(low * high)


def _measured(workload: Workload) -> Prediction:
    measured = workload.measured

    def times(values: Floats) -> Times:
        return Times(*(Interval(v, v, v) for v in np.quantile(values, _QUANTILES).tolist()))

    def exact(value: float) -> Interval:
        return Interval(value, value, value)

    shares = np.array(measured.shares or (1.0,))
    missing = np.zeros(max(workload.setup.workers - len(shares), 0))
    shares = np.concatenate([shares, missing])
    return Prediction(
        Alternative(),
        workload.setup.workers,
        times(measured.queue_wait),
        times(measured.data_wait),
        times(measured.reply),
        times(measured.total),
        exact(float(shares.max() / max(float(shares.mean()), 1e-9))),
        exact(measured.utilisation),
        exact(float(measured.queue_max)),
        exact(float(measured.overflows)),
        0,
        0.0,
        "",
        measured.total,
    )


def _sentence(workload: Workload, measured: Prediction, found: Prediction) -> str:
    """What an expert would write about an alternative."""
    before, after = measured.total.p99.value, found.total.p99
    name = found.alternative.name
    times = f"from {duration(before * 1e9)} to {duration(after.value * 1e9)}"
    reasons: list[str] = []
    if found.overflows.value > measured.overflows.value:
        reasons.append(f"the accept queue overflows {found.overflows.value:,.0f} times")
    if 1 / _CHANGE < after.value / max(before, 1e-9) < _CHANGE:
        verdict = f"with {name} p99 does not change noticeably ({duration(before * 1e9)} → {duration(after.value * 1e9)})"
    elif after.value > before:
        verdict = f"with {name} p99 grows {times}"
        if found.alternative.model and found.alternative.model.startswith(
            ("reuseport:hash", "reuseport", "handoff")
        ):
            held = "handlers block" if workload.blocked_share > 0.5 else "handlers keep their worker busy"
            reasons.append(f"{held}, and connections cannot move to an idle worker")
        if found.utilisation.value > 0.9:
            reasons.append("the workers are saturated; add workers first")
    else:
        verdict = f"with {name} p99 falls {times}"
        if found.workers > measured.workers and workload.blocked_share > 0.5:
            reasons.append("handlers block, so more workers overlap their waits")
    if found.workers > workload.setup.cpus and workload.blocked_share < 0.2:
        reasons.append(f"about {workload.setup.cpus:.2g} CPUs are available for CPU-bound work")
    if after.low <= before <= after.high:
        verdict += f" (uncertain: {duration(after.low * 1e9)}–{duration(after.high * 1e9)})"
    return verdict + (": " + "; ".join(reasons) if reasons else "")
