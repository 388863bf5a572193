"""Find out which hooks the running kernel has and allows."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

from sockscope.bpf import attaching, syscall
from sockscope.bpf.btf import Btf
from sockscope.bpf.tracefs import event_field, event_number, tracing_directory
from sockscope.tracer.attach_methods import BY_BTF, BY_KPROBE, AttachMethod, Hook

# mov r0, 0; exit
_NOTHING = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)


@dataclass(frozen=True)
class FeatureProbe:
    """Return for a hook whether the kernel has it; call it like a function.

    Where a kernel may have something and refuse it (fentry under lockdown, a kprobe on a function that
    may not be probed), a program that does nothing is loaded and attached there, and taken off again.
    """

    btf: Btf
    _known: dict[Hook, str] = field(default_factory=dict)

    @classmethod
    def of_running_kernel(cls) -> FeatureProbe:
        """
        :raises BtfError: without BTF
        :raises TracefsError: without tracefs
        """
        tracing_directory()
        return cls(Btf.of_running_kernel())

    def __call__(self, hook: Hook) -> bool:
        return not self.why_not(hook)

    def why_not(self, hook: Hook) -> str:
        """Return why this hook is not available; empty if it is."""
        if hook not in self._known:
            self._known[hook] = self._find_out(hook)
        return self._known[hook]

    def why_not_method(self, method: AttachMethod) -> str:
        """Return why an attach method is not available; empty if it is."""
        reasons = [self.why_not(hook) for hook in method.needed]
        if method.calls and not any(map(self, method.calls)):
            reasons.append(self.why_not(method.calls[0]))
        return next((reason for reason in reasons if reason), "")

    def _find_out(self, hook: Hook) -> str:
        if hook.kind == "tracepoint":
            return self._tracepoint(hook)
        if hook.kind == "raw":
            return self._raw(hook)
        number = self.btf.function(hook.place)
        if number is None:
            return f"no function {hook.place}"
        count = self.btf.parameters(number)
        if hook.reads and str(count) not in hook.reads.split("|"):
            return f"{hook.place} has {count} parameters, which is not known here"
        try:
            if hook.kind in BY_BTF:
                _try_function(hook.kind, number)
            elif hook.kind in BY_KPROBE:
                os.close(attaching.open_kprobe(hook.place, at_return=hook.kind == "kretprobe"))
        except FileNotFoundError:
            return "kernel without kprobes" if hook.kind in BY_KPROBE else f"{hook.place} cannot be traced"
        except (OSError, syscall.VerifierError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            return f"{hook.kind} of {hook.place} refused ({words})"
        return ""

    def _raw(self, hook: Hook) -> str:
        if not self.btf.has_tracepoint(hook.place):
            return f"no tracepoint {hook.place}"
        for need in filter(None, hook.reads.split(",")):
            name, _, member = need.partition(".")
            number = self.btf.structs([name]).get(name)
            if number is None or self.btf.field(number, member) is None:
                return f"struct {name} has no {member}"
        return ""

    def _tracepoint(self, hook: Hook) -> str:
        category, name = hook.place.split(":")
        if event_number(category, name) is None:
            return f"no tracepoint {hook.place}"
        member, _, offset = hook.reads.partition("@")
        if member and event_field(category, name, member) != int(offset):
            return f"tracepoint {hook.place} has {member} elsewhere"
        return ""


def _try_function(kind: str, number: int) -> None:
    program = syscall.load_program("try", kind, _NOTHING, number)
    try:
        os.close(attaching.attach_function(program))
    finally:
        os.close(program)
