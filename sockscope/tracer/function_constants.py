"""Constants of probes/fallback_hooks.bpf.c: where this kernel keeps what those programs read.

Newer kernels never run them, and a kernel that lacks one of the structs has another way: so what is
missing is 0 here, and a hook that ``reads`` it is not offered (availability.py).
"""

from __future__ import annotations

import platform

from sockscope.bpf.btf import Btf

#: Registers of a function's first and fourth argument and its result, as fields of struct pt_regs;
#: on arm64 words of ``regs`` (calling conventions: System V ABI for AMD64, AAPCS64).
_REGISTERS = {
    "x86_64": (("di", 0), ("cx", 0), ("ax", 0)),
    "aarch64": (("regs", 0), ("regs", 3), ("regs", 0)),
}

#: Constant → (struct, dotted field).
_PLACES = {
    "LISTENER_LINK": ("tcp_sock", "tsq_node"),
    "EXPECTED_NEXT": ("tcp_sock", "rcv_nxt"),
    "SEGMENT_CONTROL": ("sk_buff", "cb"),
    "SEGMENT_BEGINS": ("tcp_skb_cb", "seq"),
    "SEGMENT_ENDS": ("tcp_skb_cb", "end_seq"),
    "ARRIVAL_CLOCK": ("tcp_sock", "tcp_clock_cache"),
}
_ACCEPT_ARGUMENT = "proto_accept_arg"


def function_constants(btf: Btf) -> tuple[str, ...]:
    """``-D`` options for the compiler."""
    structs = {struct for struct, _ in _PLACES.values()} | {_ACCEPT_ARGUMENT, "pt_regs"}
    numbers = btf.structs(sorted(structs))

    def offset(struct: str, field: str) -> int:
        found = btf.field(numbers[struct], field) if struct in numbers else None
        return found.offset if found else 0

    defines = [f"-D{name}={offset(*place)}" for name, place in _PLACES.items()]
    words = _REGISTERS[platform.machine()]
    for name, (register, word) in zip(("FIRST", "FOURTH", "RESULT"), words, strict=True):
        defines.append(f"-DPROBE_{name}={offset('pt_regs', register) // 8 + word}")
    accept = btf.function("inet_csk_accept")
    defines.append(f"-DACCEPT_RESULT={btf.parameters(accept) if accept else 2}")
    defines.append(f"-DACCEPT_ERROR={offset(_ACCEPT_ARGUMENT, 'err')}")
    return tuple(defines)
