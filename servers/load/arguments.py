"""The command line of `python -m servers.load`."""

import argparse
import ipaddress
from pathlib import Path

from ..commandline import Parser, WholeNumber
from ..errors import UsageError
from .plan import DEFAULT_CONNECTIONS, DEFAULT_DURATION_S, Network, Plan

_MANY = 10**9


def parse(arguments: list[str] | None) -> tuple[Plan, str]:
    """The load to make and the format of the figures. Raises UsageError."""
    parser = Parser("servers.load", description="HTTP load on a reference server.", allow_abbrev=False)
    add = parser.add_argument
    add("--connect", type=_target, required=True, metavar="HOST:PORT", help="an address, not a name")
    add(
        "--connections", type=WholeNumber(1, _MANY), help=f"{DEFAULT_CONNECTIONS}, or what fits in --duration"
    )
    add("--concurrency", type=WholeNumber(1, 60_000), default=16, help="connections open at once (16)")
    add("--requests", type=WholeNumber(1, _MANY), default=1, help="requests a connection (1)")
    add("--rate", type=_positive, metavar="CONNECTIONS_PER_SECOND", help="start no more than this (no limit)")
    add("--think", type=_positive, default=0.0, metavar="MS", help="pause between reply and next request (0)")
    add("--heavy", type=_heavy, default=(0, 0), metavar="COUNT:REQUESTS", help="a few heavier connections")
    add("--duration", type=_positive, metavar="S", help=f"start nothing after this ({DEFAULT_DURATION_S:g})")
    add("--timeout", type=_positive, default=5.0, metavar="S", help="for a connect and for each request (5)")
    add("--source", type=_sources, default=(), metavar="NETWORKS", help="source addresses: 127.0.0.0/8,…")
    add("--truth", type=Path, metavar="FILE", help="one JSON line a connection, as its client saw it")
    add("--format", choices=("text", "json"), default="text", help="of the figures (text)")
    options = parser.parse_args(arguments)
    return _plan(options), str(options.format)


def _plan(options: argparse.Namespace) -> Plan:
    connections = options.connections
    if connections is None and options.duration is None:
        connections = DEFAULT_CONNECTIONS
    host, port = options.connect
    heavy, heavy_requests = options.heavy
    if heavy and (connections is None or heavy > connections):
        raise UsageError("--heavy needs --connections, and no more heavy ones than that")
    if any(network.version != host.version for network in options.source):
        raise UsageError("--source and --connect are not of one address family")
    return Plan(
        host=str(host),
        port=port,
        connections=connections,
        concurrency=options.concurrency,
        requests=options.requests,
        rate=options.rate,
        think_s=options.think / 1000,
        heavy=heavy,
        heavy_requests=heavy_requests,
        duration_s=options.duration or DEFAULT_DURATION_S,
        timeout_s=options.timeout,
        sources=options.source,
        truth=options.truth,
    )


def _target(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    host, colon, port = text.rpartition(":")
    try:
        if not colon or (":" in host) != (host[:1] + host[-1:] == "[]"):
            raise ValueError
        return ipaddress.ip_address(host.strip("[]")), WholeNumber(1, 65535)(port)
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT or [V6]:PORT") from None


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= _MANY:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _heavy(text: str) -> tuple[int, int]:
    count, colon, requests = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not COUNT:REQUESTS")
    return WholeNumber(1, _MANY)(count), WholeNumber(1, _MANY)(requests)


def _sources(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
