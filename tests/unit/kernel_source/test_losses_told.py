"""What the kernel left out since a probe was at work already: when is something lost by it?"""

from __future__ import annotations

from sockscope.sources.kernel import losses


def _told(missed: dict[str, int]) -> dict[str, int]:
    return {text.partition("(")[2].rstrip(")"): number for text, number in losses.told({}, missed)}


def test_what_a_probe_was_not_run_for_is_lost() -> None:
    assert _told({"on_accept": 3, "on_waking": 5}) == {"on_accept": 3}  # wake-ups are a sample


def test_of_two_probes_for_the_same_event_one_suffices() -> None:
    assert _told({"on_state": 4317}) == {}
    assert _told({"on_state_again": 2}) == {}
    assert _told({"on_state": 4317, "on_state_again": 2}) == {"on_state, at most": 2}
