"""Numbers as people read them, and addresses as text."""

from __future__ import annotations

import ipaddress
import math
import re

from sockscope.errors import UsageError

_TIME_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SIZE_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_LONGEST_NS = 100 * 366 * 24 * 3600 * 10**9  # what fits a signed 64-bit number of nanoseconds, by far
_MAPPED = b"\0" * 10 + b"\xff\xff"


def duration(ns: float | None) -> str:
    """``1.5 ms``: three figures, in the largest unit that keeps them."""
    if ns is None or math.isnan(ns):
        return "–"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size * 0.9995:
            value = ns / size
            if unit == "s" and value >= 100:
                return f"{value:.0f} s"
            return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"
    return f"{ns:.0f} ns"


def count(number: float) -> str:
    """``12,345`` or ``1.23 M``."""
    if number >= 10_000_000:
        return f"{number / 1e6:.3g} M" if number < 1e9 else f"{number / 1e9:.3g} G"
    return f"{number:,.0f}"


def size(octets: float) -> str:
    """``3.2 MB``, in powers of 1000."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if octets >= step:
            return f"{octets / step:.3g} {unit}"
    return f"{octets:.0f} B"


def share(part: float, whole: float) -> str:
    """``12.3 %``."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def parse_duration(text: str) -> int:
    """Nanoseconds of ``10``, ``1.5s``, ``200ms``, ``3m``; a bare number is seconds.

    :raises UsageError: for anything else
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h)?\s*", text, re.ASCII)
    if not found:
        raise UsageError(f"{text!r} is not a duration", hint="write 10s, 200ms or 3m")
    ns = float(found[1]) * _TIME_UNITS[found[2] or "s"]
    if ns > _LONGEST_NS:
        raise UsageError(f"{text!r} is longer than a century", hint="write 10s, 200ms or 3m")
    return round(ns)


def parse_size(text: str) -> int:
    """Octets of ``500M``, ``1.5GB``, ``2GiB``: powers of 1000, or with an ``i`` of 1024.

    :raises UsageError: for anything else
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?|[KMGT]i)B?\s*", text)
    if not found:
        raise UsageError(f"{text!r} is not a size", hint="write 500M, 2G or 1.5GiB")
    return round(float(found[1]) * _SIZE_UNITS[found[2]])


def address(octets: bytes) -> str:
    """The text of a 16-byte address; an IPv4-mapped one as IPv4."""
    if octets[:12] == _MAPPED:
        return ".".join(str(octet) for octet in octets[12:16])
    return ipaddress.IPv6Address(bytes(octets)).compressed


def endpoint(octets: bytes, port: int) -> str:
    """``127.0.0.1:80`` or ``[::1]:80``."""
    text = address(octets)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def text(raw: bytes) -> str:
    """A name that came from the kernel: up to its NUL, with no control characters.

    A thread may name itself anything, an escape sequence of the terminal for one.
    """
    return printable(raw.split(b"\0", 1)[0].decode("utf-8", "replace"))


def printable(name: str) -> str:
    """``name`` with every control character replaced."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in name)
