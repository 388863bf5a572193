"""Which hooks the running kernel has."""

from __future__ import annotations

from dataclasses import dataclass

from sockscope.sources.kernel.btf import Btf
from sockscope.sources.kernel.signals import Hook
from sockscope.sources.kernel.tracefs import event_field, event_number, tracing_directory


@dataclass(frozen=True)
class Availability:
    """Answers, for a hook, whether the kernel has it; call it like a function."""

    btf: Btf

    @classmethod
    def of_running_kernel(cls) -> Availability:
        """
        :raises BtfError: without BTF
        :raises TracefsError: without tracefs
        """
        tracing_directory()
        return cls(Btf.of_running_kernel())

    def __call__(self, hook: Hook) -> bool:
        if hook.kind == "raw":
            return self.btf.has_tracepoint(hook.place)
        category, name = hook.place.split(":")
        if event_number(category, name) is None:
            return False
        field, _, offset = hook.reads.partition("@")
        return not field or event_field(category, name, field) == int(offset)
