"""Select the attach method of each signal: the best available one, unless the user chose another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sockscope.errors import UsageError
from sockscope.tracer.attach_methods import AttachMethod, Hook
from sockscope.tracer.event_sources import SIGNALS

#: The way of a signal that is left out.
OFF = "off"


def is_disabled(forced: Mapping[str, str] | None) -> frozenset[str]:
    """Return the signals disabled by ``NAME=off``, with those that depend on them.

    :raises UsageError: for an unknown signal, or one that cannot be disabled
    """
    off = {name for name, wish in (forced or {}).items() if wish == OFF}
    known = {signal.name: signal for signal in SIGNALS}
    optional = ", ".join(signal.name for signal in SIGNALS if signal.optional)
    for name in sorted(off):
        if name not in known:
            raise UsageError(f"unknown signal {name!r}", hint=f"signals that can be disabled: {optional}")
        if not known[name].optional:
            raise UsageError(
                f"signal {name} cannot be disabled", hint=f"signals that can be disabled: {optional}"
            )
    return frozenset(signal.name for signal in SIGNALS if off & {signal.name, signal.of})


def select_methods(
    available: Callable[[Hook], bool], forced: Mapping[str, str] | None = None
) -> dict[str, AttachMethod | None]:
    """Return for every signal the first attach method whose hooks are all available, or None.

    :param available: whether a hook exists on this kernel
    :param forced: signal → way, or ``off``, as ``--attach`` gives them
    :raises UsageError: for a signal or way that does not exist
    """
    wishes = dict(forced or {})
    known = {signal.name for signal in SIGNALS}
    for name in wishes:
        if name not in known:
            raise UsageError(f"unknown signal {name!r}", hint=f"signals: {', '.join(sorted(known))}")
    unwanted = is_disabled(wishes)
    chosen: dict[str, AttachMethod | None] = {}
    for signal in SIGNALS:
        if signal.name in unwanted:
            chosen[signal.name] = None
            continue
        wish = wishes.get(signal.name)
        methods = (
            signal.methods
            if wish is None
            else tuple(method for method in signal.methods if method.name == wish)
        )
        if not methods:
            names = ", ".join(method.name for method in signal.methods)
            raise UsageError(
                f"signal {signal.name} has no attach method {wish!r}", hint=f"attach methods: {names}"
            )
        chosen[signal.name] = next((method for method in methods if _all_there(method, available)), None)
    return chosen


def _all_there(method: AttachMethod, available: Callable[[Hook], bool]) -> bool:
    """Return whether every hook exists; of system calls, at least one (select is not on arm64)."""
    return all(map(available, method.needed)) and (not method.calls or any(map(available, method.calls)))


def get_hooks(chosen: Mapping[str, AttachMethod | None], available: Callable[[Hook], bool]) -> list[Hook]:
    """The hooks to attach: all of the chosen ways, of system calls those that this machine has."""
    return [
        hook
        for method in chosen.values()
        for hook in (method.hooks if method else ())
        if not (hook.optional or hook.kind == "tracepoint") or available(hook)
    ]
