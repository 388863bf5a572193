"""No probe can read what a server and its clients say to each other."""

from __future__ import annotations

import re

import pytest

from sockscope.records import layout
from sockscope.tracer.bpf_object import PROBES, probe_directory

#: Helpers by which a program could read user memory or a packet (include/uapi/linux/bpf.h), change either,
#: or deny a call.  Those of the kernel by number are listed for the programs that call them so.
_FORBIDDEN = re.compile(
    r"probe_read_user|bpf_probe_read\b|bpf_probe_read_str\b|copy_from_user|skb_load_bytes|skb_store|"
    r"skb_pull|probe_write|override_return|send_signal|msg_pull|perf_event_output_skb|d_path"
)
_BY_NUMBER = re.compile(r"\(void \*\)(\d+);")
#: The current task, its registers, writing to the reader of an iterator, and a socket as one of TCP.
_ALLOWED_NUMBERS = {127, 137, 158, 175}


@pytest.mark.parametrize("name", PROBES)
def test_no_probe_calls_a_helper_that_reads_user_memory_or_packets(name: str) -> None:
    text = (probe_directory() / f"{name}.bpf.c").read_text()
    assert _FORBIDDEN.findall(text) == []
    assert {int(number) for number in _BY_NUMBER.findall(text)} <= _ALLOWED_NUMBERS


def test_what_a_probe_reads_of_a_segment_is_its_place_in_the_stream() -> None:
    """sk_buff leads to data; the only thing asked of it is its control block."""
    texts = [(probe_directory() / f"{name}.bpf.c").read_text() for name in PROBES]
    code = [line for text in texts for line in text.splitlines() if not line.lstrip().startswith(("*", "/*"))]
    assert [line.strip() for line in code if "SEGMENT_CONTROL" in line] == [
        "control = (void *)ctx->args[1] + SEGMENT_CONTROL;"
    ]
    assert not [line for line in code if re.search(r"\b(msg_iter|iov_base|ubuf)\b", line)]


def test_no_record_has_room_for_what_was_said() -> None:
    """Every field is a number, an address, or the kernel's name of a thread."""
    for name, record in layout.TWINS:
        for field in record.names or ():
            kind = record[field]
            base = kind.subdtype[0] if kind.subdtype else kind
            assert base.kind in "uiV" or field == "comm", (name, field)
            if kind.itemsize > 8 and base.itemsize == 1:
                assert field in ("local", "remote", "address", "comm"), (name, field)
