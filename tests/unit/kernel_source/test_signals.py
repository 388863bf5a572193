"""For each signal the first way that the kernel has, or the one that was asked for."""

from __future__ import annotations

import pytest

from sockscope.errors import UsageError
from sockscope.sources.kernel.signals import SIGNALS, Hook, choose, hooks_of


def _everything(hook: Hook) -> bool:
    return True


def _before_6_3(hook: Hook) -> bool:
    return hook.place not in ("sock_recv_length", "sock_send_length")


def test_the_best_way_is_chosen_where_everything_is_there() -> None:
    chosen = choose(_everything)
    assert {name: way.name for name, way in chosen.items() if way} == {
        signal.name: signal.ways[0].name for signal in SIGNALS
    }


def test_an_older_kernel_gets_the_next_way_and_is_told_what_is_weaker() -> None:
    chosen = choose(_before_6_3)
    assert chosen["read"] is not None
    assert chosen["read"].name == "system-calls"
    assert chosen["read"].weaker


def test_a_signal_without_any_way_is_none() -> None:
    assert choose(lambda hook: hook.place != "sched_waking")["wake"] is None


def test_system_calls_that_a_machine_lacks_are_left_out_but_one_must_be_there() -> None:
    def no_select(hook: Hook) -> bool:
        return "select" not in hook.place

    chosen = choose(no_select)
    assert chosen["wait"] is not None
    hooks = hooks_of(chosen, no_select)
    assert any("epoll_wait" in hook.place for hook in hooks)
    assert not any("select" in hook.place for hook in hooks)
    assert choose(lambda hook: hook.kind == "raw")["accept"] is None


def test_a_way_can_be_asked_for_and_a_signal_switched_off() -> None:
    chosen = choose(_everything, {"read": "system-calls", "wake": "off"})
    assert chosen["read"] is not None
    assert chosen["read"].name == "system-calls"
    assert chosen["wake"] is None


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"raed": "tracepoint"}, "no signal is called 'raed'"),
        ({"read": "magic"}, "signal read has no way 'magic'; it has tracepoint, system-calls"),
        ({"accept": "off"}, "signal accept has no way 'off'"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(wish: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        choose(_everything, wish)
