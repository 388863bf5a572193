"""For each signal the first way that the kernel has, or the one that was asked for."""

from __future__ import annotations

import pytest

from sockscope.errors import UsageError
from sockscope.tracer.attach_methods import Hook
from sockscope.tracer.event_sources import SIGNALS
from sockscope.tracer.selection import get_hooks, is_disabled, select_methods


def _everything(hook: Hook) -> bool:
    return True


_NEW = ("sk_data_ready", "sock_recv_length", "sock_send_length")


def _before_6_3(hook: Hook) -> bool:
    return hook.place not in _NEW


def test_the_best_way_is_chosen_where_everything_is_there() -> None:
    chosen = select_methods(_everything)
    assert {name: method.name for name, method in chosen.items() if method} == {
        signal.name: signal.methods[0].name for signal in SIGNALS
    }


def test_an_older_kernel_gets_the_next_way_and_is_told_what_is_weaker() -> None:
    chosen = select_methods(_before_6_3)
    for name in ("data-ready", "read", "write"):
        method = chosen[name]
        assert method is not None
        assert (method.name, method.exact) == ("fentry", True)
        assert method.limitations


@pytest.mark.parametrize(
    ("kinds", "methods"),
    [
        (("raw", "tracepoint", "kprobe", "kretprobe"), ("kprobe", "kprobe", "kprobe")),
        (("raw", "tracepoint"), ("state-changes", "system-calls", "system-calls")),
    ],
)
def test_each_way_that_is_refused_leads_to_the_next_one(
    kinds: tuple[str, ...], methods: tuple[str, ...]
) -> None:
    chosen = select_methods(lambda hook: hook.kind in kinds and hook.place not in _NEW)
    found = tuple(method.name for method in map(chosen.get, ("data-ready", "read", "write")) if method)
    assert found == methods


def test_a_way_that_can_err_says_that_it_is_best_effort() -> None:
    for signal in SIGNALS:
        for method in signal.methods:
            assert method.exact != method.limitations.startswith("best effort: "), (signal.name, method.name)


def test_an_optional_hook_may_be_missing_and_a_needed_one_not() -> None:
    def no_ipv6(hook: Hook) -> bool:
        return "inet6" not in hook.place and hook.place not in _NEW

    chosen = select_methods(no_ipv6)
    assert chosen["read"] is not None
    assert chosen["read"].name == "fentry"
    assert "inet6_recvmsg" not in {hook.place for hook in get_hooks(chosen, no_ipv6)}
    fallen = select_methods(lambda hook: no_ipv6(hook) and hook.place != "inet_recvmsg")
    assert fallen["read"] is not None
    assert fallen["read"].name == "system-calls"


def test_a_signal_without_any_way_is_none() -> None:
    assert select_methods(lambda hook: hook.place != "sched_waking")["wake"] is None


def test_system_calls_that_a_machine_lacks_are_left_out_but_one_must_be_there() -> None:
    def no_select(hook: Hook) -> bool:
        return "select" not in hook.place

    chosen = select_methods(no_select)
    assert chosen["wait"] is not None
    hooks = get_hooks(chosen, no_select)
    assert any("epoll_wait" in hook.place for hook in hooks)
    assert not any("select" in hook.place for hook in hooks)
    assert select_methods(lambda hook: hook.kind == "raw")["accept"] is None


def test_a_way_can_be_asked_for_and_a_signal_switched_off() -> None:
    chosen = select_methods(_everything, {"read": "system-calls", "wake": "off"})
    assert chosen["read"] is not None
    assert chosen["read"].name == "system-calls"
    assert chosen["wake"] is None


def test_what_tells_nothing_without_another_signal_goes_with_it() -> None:
    assert is_disabled({"read": "off"}) == {"read", "data-ready", "wake"}
    assert is_disabled({"wait": "off", "write": "off"}) == {"wait", "write"}
    chosen = select_methods(_everything, {"read": "off", "write": "off", "wait": "off"})
    functions = {hook.function for hook in get_hooks(chosen, _everything)}
    assert functions == {
        "on_state", "on_state_again", "on_destroy", "on_destroy_again", "on_accept", "on_ring_complete", "on_fork", "on_exit", "on_rename"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"raed": "tracepoint"}, "unknown signal 'raed'"),
        (
            {"read": "magic"},
            "signal read has no attach method 'magic'; attach methods: tracepoint, fentry, kprobe, system-calls",
        ),
        (
            {"accept": "off"},
            "signal accept cannot be disabled; signals that can be disabled: data-ready, read",
        ),
        ({"raed": "off"}, "unknown signal 'raed'"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(wish: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        select_methods(_everything, wish)
