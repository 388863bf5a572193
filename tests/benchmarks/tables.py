"""docs/benchmarks/results.md, from what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.benchmarks.results import Results, Row, grouped, machine, median, spread, table
from tests.benchmarks.tracers import HOOKS, LIVE, TRACERS


def document(results: Results) -> str:
    """All tables that there are figures for."""
    host = machine()
    parts = [
        "# Benchmarks: results\n\n"
        "Written by `make bench`; [how to read them](README.md), [every run](results.json).\n\n"
        f"{host['cpu']}, {host['cpus']} CPUs{', a virtual machine' if host['virtual'] else ''}, "
        f"{host['memory_gib']} GiB, Linux {host['kernel']}, clock {host['clock']}, Python {host['python']}.\n"
    ]
    for section, tell in _SECTIONS.items():
        rows = [row for row in results.sections.get(section, []) if "error" not in row]
        if rows:
            parts += [*tell(rows), *_failures(results.sections[section])]
        if section == "probes":
            parts += _where_it_goes(results)
    return "\n".join(parts)


def _failures(rows: list[Row]) -> Iterator[str]:
    for (tracer, error), _ in grouped((row for row in rows if "error" in row), "tracer", "error").items():
        yield f"{tracer} did not run: {error}\n"


def _throughput(rows: list[Row]) -> Iterator[str]:
    yield "## Throughput beside an untraced run\n"
    yield (
        "Medians, and in brackets the least and the most.  *work*: requests a second of CPU time of server and "
        "client, traced ÷ untraced; *rate*: requests a second as the client saw them; *tool*: CPU and memory of "
        "the tool's own process.\n"
    )
    for (workload,), mine in grouped(rows, "workload").items():
        untraced = median(row["untraced_rate"] for row in mine)
        yield f"### {workload} ({untraced:,.0f} requests a second untraced)\n"
        yield table(
            ("tracer", "runs", "work", "rate", "p99", "tool", "memory", "lost"),
            (
                (
                    tracer,
                    len(some),
                    spread(row["work_ratio"] for row in some),
                    spread(row["rate_ratio"] for row in some),
                    spread(row["p99_ratio"] for row in some),
                    f"{100 * (median(row['busy'] for row in some) or 0):.1f} %",
                    _megabytes(median(row["resident"] for row in some)),
                    _lost(some),
                )
                for tracer, some in _by_tracer(mine)
            ),
        )
    kept = [row for row in rows if row.get("connections", 0) > 1000]
    if kept:
        yield (
            "Size of a recording, a connection (a connection a request): "
            + "; ".join(
                f"{tracer} {spread((row['recording_bytes'] / row['connections'] for row in some), '{:.0f}')} bytes"
                for tracer, some in _by_tracer(kept)
            )
            + ".\n"
        )


def _where_it_goes(results: Results) -> Iterator[str]:
    """What of live mode's price is that of its hooks, whoever is attached to them."""
    rows = [row for row in results.sections.get("throughput", []) if "cpu_ns" in row]
    counted = grouped(
        (row for row in results.sections.get("probes", []) if "error" not in row), "workload", "tracer"
    )
    lines = []
    for (workload,), mine in grouped(rows, "workload").items():
        hooks = [row["cpu_ns"] - row["untraced_cpu_ns"] for row in mine if row["tracer"] == HOOKS.name]
        # the two stand one right after the other in a round
        own = [
            live["cpu_ns"] - alone["cpu_ns"]
            for live, alone in pairwise(mine)
            if (live["tracer"], alone["tracer"]) == (LIVE.name, HOOKS.name)
        ]
        if not own:
            continue
        beside = [row["untraced_cpu_ns"] for row in mine if row["tracer"] in (LIVE.name, HOOKS.name)]
        net = [row["net_ns"] for row in counted.get((workload, LIVE.name), [])]
        lines.append(
            (
                workload,
                spread(beside, "{:,.0f}"),
                f"{(median(beside) or 0) * (1 / 0.97 - 1):,.0f}",
                spread(hooks, "{:,.0f}"),
                spread(own, "{:,.0f}"),
                spread(net, "{:,.0f}"),
            )
        )
    if not lines:
        return
    yield "## Where a request's time goes\n"
    yield (
        "Nanoseconds of CPU time of server and client, a request.  *0.97 allows*: what may be added before *work* "
        "is below 0.97.  *the hooks alone*: what empty programs at live mode's hooks add to the untraced run beside "
        "them.  *the probes*: live mode less the hooks alone, and *net* the same as the kernel's BPF statistics "
        "count it.\n"
    )
    yield table(
        ("workload", "untraced", "0.97 allows", "the hooks alone", "the probes", "the probes, net"), lines
    )


def _by_tracer(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """In the order in which they are listed, not in that in which they came."""
    found = {name: some for (name,), some in grouped(rows, "tracer").items()}
    return [(tracer.name, found[tracer.name]) for tracer in TRACERS if tracer.name in found]


def _lost(rows: list[Row]) -> str:
    told = [row["lost"] for row in rows if row["lost"] is not None]
    if not told:
        return "not told"
    counts = {what: sum(lost.get(what, 0) for lost in told) for what in sorted(set().union(*told))}
    return "; ".join(f"{number:,} {what}" for what, number in counts.items() if number) or "nothing"


def _probes(rows: list[Row]) -> Iterator[str]:
    yield "## Time in the probes\n"
    yield (
        "Nanoseconds a request (on *a connection a request*: from established to closed), by the kernel's BPF "
        "run-time statistics.  *counted* is what the kernel says; reading the clock for that is part of it, "
        "*floor* is what an empty program costs in the same run; *net* is counted less runs × floor: what the "
        "probes take when nobody measures them.  Client and server share the machine, so the client's sockets "
        "pass every hook too.\n"
    )
    yield table(
        ("workload", "tracer", "runs a request", "counted", "floor a run", "net"),
        (
            (
                workload,
                tracer,
                spread((row["runs"] for row in some), "{:.1f}"),
                spread((row["counted_ns"] for row in some), "{:.0f}"),
                spread((row["floor_ns"] for row in some), "{:.0f}"),
                spread((row["net_ns"] for row in some), "{:.0f}"),
            )
            for (workload, tracer), some in grouped(rows, "workload", "tracer").items()
        ),
    )
    for (workload, tracer), some in grouped(rows, "workload", "tracer").items():
        if tracer != "sockscope live":
            continue
        names = sorted({name for row in some for name in row["programs"]})
        yield (
            f"By program, {workload}, {tracer} (counted ns a run × runs a request): "
            + ", ".join(
                f"{name} {median(row['programs'][name]['ns'] for row in some if name in row['programs']):.0f} × "
                f"{median(row['programs'][name]['runs'] for row in some if name in row['programs']):.2f}"
                for name in names
                if (median(row["programs"][name]["runs"] for row in some if name in row["programs"]) or 0)
                > 0.01
            )
            + ".\n"
        )


def _rates(rows: list[Row]) -> Iterator[str]:
    yield "## Cost against the request rate\n"
    yield "Live mode without a screen, on Nginx: what the tool's own process takes of a CPU.\n"
    ordered = sorted(grouped(rows, "step").items())
    yield table(
        ("requests a second", "CPU", "ticks", "lost"),
        (
            (
                f"{median(row['rate'] for row in some):,.0f}",
                spread((100 * row["busy"] for row in some), "{:.1f} %"),
                f"{median(row['ticks'] for row in some):.0f}",
                sum(sum(row["lost"].values()) for row in some),
            )
            for _, some in ordered
        ),
    )


def _ticks(name: str, heading: str, words: str) -> Any:
    def tell(rows: list[Row]) -> Iterator[str]:
        yield f"## {heading}\n"
        yield words + "\n"
        yield table(
            (name, "kernel memory", "first tick", "usual tick", "of it reading", "model", "analysis", "peak memory"),
            (
                (
                    f"{count:,}",
                    _megabytes(median(row.get("kernel_bytes") for row in some)),
                    _seconds(median(sum(row["first"].values()) for row in some)),
                    _seconds(median(sum(row["usual"].values()) for row in some)),
                    *(
                        _seconds(median(row["usual"][part] for row in some))
                        for part in ("read_s", "model_s", "analysis_s")
                    ),
                    _megabytes(median(row["peak_resident"] for row in some)),
                )
                for (count,), some in sorted(grouped(rows, name).items())
            ),
        )  # fmt: skip
        if rows[0].get("start_s") is not None:
            yield (
                "From attaching to the listeners being known: "
                + ", ".join(
                    f"{count:,}: {_seconds(median(row['start_s'] for row in some))}"
                    for (count,), some in sorted(grouped(rows, name).items())
                )
                + ".\n"
            )

    return tell


def _figures(rows: list[Row]) -> Iterator[str]:
    yield "## Starting\n"
    yield table(
        ("figure", "seconds"), ((name, spread(row["seconds"] for row in some)) for (name,), some in grouped(rows, "figure").items())
    )  # fmt: skip


def _decoding(rows: list[Row]) -> Iterator[str]:
    yield "## Taking events from their ring\n"
    yield "CPU time of user space, in bulk; [recording](../recording.md) has a million a second for ten seconds.\n"
    yield table(
        ("events", "runs", "ns an event", "taken, in order", "lost"),
        [
            (
                f"{count:,}",
                len(some),
                spread((row["ns_an_event"] for row in some), "{:.1f}"),
                "all" if all(row["in_order"] and row["taken"] == count for row in some) else "**no**",
                f"{sum(row['lost'] for row in some):,}",
            )
            for (count,), some in grouped(rows, "events").items()
        ],
    )


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{1000 * value:,.0f} ms"


def _megabytes(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e6:,.0f} MB"


_SECTIONS = {
    "throughput": _throughput,
    "probes": _probes,
    "rates": _rates,
    "connections": _ticks(
        "connections",
        "Connections open",
        "Written into the kernel's maps as the probes would; a tick reads, brings the model up to date and "
        "analyses.  In a usual tick a tenth of them has changed.",
    ),
    "threads": _ticks("threads", "Threads", "In the same way."),
    "listeners": _ticks("listeners", "Listeners", "Real ones, of one process, their queues sampled."),
    "figures": _figures,
    "decoding": _decoding,
}
