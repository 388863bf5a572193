"""Constants of the probes for MPTCP sockets and for how connections end.

An MPTCP socket (``struct mptcp_sock``) listens and talks through TCP sockets, its subflows.  Each of those names
it in its upper-layer data (``icsk_ulp_data``, a ``struct mptcp_subflow_context``).  What a kernel lacks is 0
here: without CONFIG_MPTCP there are no such sockets.
"""

from __future__ import annotations

from sockscope.bpf.btf import Btf
from sockscope.tracer import compat

#: Constant → (struct, dotted field).
_OFFSETS = {
    "MPTCP_FIRST": ("mptcp_sock", "first"),
    "ULP_DATA": ("inet_connection_sock", "icsk_ulp_data"),
    "SUBFLOW_CONNECTION": ("mptcp_subflow_context", "conn"),
    "DEFER_ACCEPT": ("inet_connection_sock", "icsk_accept_queue.rskq_defer_accept"),
    "COPIED_SEQ": ("tcp_sock", "copied_seq"),
    "SOCK_FLAGS": ("sock", "sk_flags"),
    "SOCK_ERROR": ("sock", "sk_err"),
    **compat.FIELDS,
}
#: The same of single bits: a constant for the byte, and one for the mask in it.
_BITS = {
    "IS_MPTCP": ("tcp_sock", "is_mptcp"),
    "SUBFLOW_JOIN": ("mptcp_subflow_context", "mp_join"),
}


def mptcp_constants(btf: Btf) -> tuple[str, ...]:
    """Return ``-D`` options for the compiler."""
    names = {struct for struct, _ in (*_OFFSETS.values(), *_BITS.values())}
    numbers = btf.structs(sorted(names))
    defines = []
    for name, (struct, path) in _OFFSETS.items():
        field = btf.field(numbers[struct], path) if struct in numbers else None
        defines.append(f"-D{name}={field.offset if field else 0}")
    for name, (struct, path) in _BITS.items():
        field = btf.field(numbers[struct], path) if struct in numbers else None
        defines.append(f"-D{name}_BYTE={field.bit_offset // 8 if field else 0}")
        defines.append(f"-D{name}_MASK={1 << field.bit_offset % 8 if field else 0}")
    return tuple(defines)
