"""A signal, a way to get it, and the hooks that a way takes.  signals.py lists those that there are."""

from __future__ import annotations

from dataclasses import dataclass

#: Kinds of hooks that BTF leads to a kernel function, and that a kprobe does.
BY_BTF = frozenset({"fentry", "fexit"})
BY_KPROBE = frozenset({"kprobe", "kretprobe"})


@dataclass(frozen=True)
class Hook:
    """One place in the kernel and the function of probes/ that runs there.

    ``kind`` is ``raw`` (raw tracepoint), ``tracepoint`` (``category:name``), ``fentry`` or ``fexit``
    (a kernel function by BTF), ``kprobe`` or ``kretprobe`` (a kernel function).  ``reads`` is what the
    function relies on: of a tracepoint a field and its offset (``res@32``), of a kernel function how
    many parameters it has (``4``, ``2|4``), of a raw tracepoint the fields of kernel structs that the
    arguments lead to (``tcp_sock.rcv_nxt``).  The way goes without an ``optional`` hook where the
    kernel does not have it.  ``typed`` is the function for a raw tracepoint whose arguments the verifier
    knows the types of, taken instead where the kernel loads it.
    """

    kind: str
    place: str
    function: str
    reads: str = ""
    optional: bool = False
    typed: str = ""


@dataclass(frozen=True)
class AttachMethod:
    """One way to get a signal; ``limitations`` says what it cannot tell, empty if nothing.

    A way that is not ``exact`` may tell something wrong, or miss something without counting it: every
    connection seen by it is marked.
    """

    name: str
    hooks: tuple[Hook, ...]
    limitations: str = ""
    exact: bool = True

    @property
    def needed(self) -> tuple[Hook, ...]:
        """Hooks that must all be there."""
        return tuple(hook for hook in self.hooks if hook.kind != "tracepoint" and not hook.optional)

    @property
    def calls(self) -> tuple[Hook, ...]:
        """Hooks of which one must be there: no machine has every system call."""
        return tuple(hook for hook in self.hooks if hook.kind == "tracepoint")


@dataclass(frozen=True)
class Signal:
    """Something that sockscope must learn from the kernel, and what is lost without it.

    Where a kernel has no way to a ``needed`` one nothing is traced.  ``optional``: its user may leave it
    out, to pay less; ``of``: it tells nothing without that other signal, and is left out with it.
    """

    name: str
    reports: str
    methods: tuple[AttachMethod, ...]
    without: str
    needed: bool = True
    optional: bool = False
    of: str = ""
