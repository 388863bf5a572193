"""What the kernel does not have, or refuses, is told in words, and asked of it once."""

from __future__ import annotations

import struct

import pytest

from sockscope.bpf import attaching, syscall
from sockscope.bpf.btf import Btf
from sockscope.tracer.attach_methods import AttachMethod, Hook
from sockscope.tracer.feature_probe import FeatureProbe
from tests.unit.bpf.test_btf import FUNCTION, Maker

PROTOTYPE = 13


@pytest.fixture
def available() -> FeatureProbe:
    maker = Maker()
    number = maker.integer("int", 4)
    four = maker.add("", PROTOTYPE, number, 4, struct.pack("<II", 0, number) * 4)
    maker.add("inet_recvmsg", FUNCTION, four)
    maker.add("old_accept", FUNCTION, maker.add("", PROTOTYPE, number, 0))
    maker.struct("tcp_sock", 8, [("rcv_nxt", number, 32)])
    maker.integer("btf_trace_tcp_probe", 4)
    return FeatureProbe(Btf(maker.raw()))


def test_a_function_must_be_there_with_the_parameters_that_the_probe_reads(available: FeatureProbe) -> None:
    assert available.why_not(Hook("kprobe", "gone", "on_x", "4")) == "no function gone"
    assert "old_accept has 0 parameters" in available.why_not(Hook("fexit", "old_accept", "on_x", "2|4"))


def test_a_raw_tracepoint_needs_the_struct_fields_that_its_probe_reads(available: FeatureProbe) -> None:
    assert available(Hook("raw", "tcp_probe", "on_x", "tcp_sock.rcv_nxt"))
    assert available.why_not(Hook("raw", "tcp_probe", "on_x", "tcp_sock.tsq_node")) == (
        "struct tcp_sock has no tsq_node"
    )
    assert available.why_not(Hook("raw", "sk_data_ready", "on_x")) == "no tracepoint sk_data_ready"


def test_a_refusal_is_given_in_the_kernels_words_and_asked_for_once(
    available: FeatureProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(*arguments: object) -> int:
        asked.append(arguments)
        raise syscall.VerifierError("Operation not permitted")

    monkeypatch.setattr(syscall, "load_program", refuse)
    hook = Hook("fexit", "inet_recvmsg", "on_recv_return", "4")
    for _ in range(3):
        assert available.why_not(hook) == "fexit of inet_recvmsg refused (Operation not permitted)"
    assert len(asked) == 1
    assert available.why_not_method(AttachMethod("fentry", (hook,))) == available.why_not(hook)


def test_a_kernel_without_kprobes_says_so(
    available: FeatureProbe, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(attaching, "KPROBES", tmp_path)
    assert available.why_not(Hook("kprobe", "inet_recvmsg", "on_x", "4")) == "kernel without kprobes"
