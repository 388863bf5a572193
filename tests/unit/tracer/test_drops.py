"""What the kernel left out since a probe was at work already: when is something lost by it?"""

from __future__ import annotations

from sockscope.tracer import drops


def _told(missed: dict[str, int]) -> dict[str, int]:
    return {text.partition("(")[2].rstrip(")"): number for text, number in drops.describe_drops({}, missed)}


def test_what_a_probe_was_not_run_for_is_lost() -> None:
    assert _told({"on_accept": 3, "on_waking": 5}) == {"on_accept": 3}  # wake-ups are a sample


def test_what_a_second_probe_did_in_place_of_the_first_is_not_lost() -> None:
    missed = {"on_state": 43, "on_state_again": 17, "on_destroy": 2, "on_destroy_again": 1, "on_accept": 0}
    assert drops.count_unseen_events(missed, (43, 2)) == {}
    assert drops.count_unseen_events(missed, (40, 2)) == {"on_state": 3}
    assert drops.count_unseen_events(missed, (44, 1)) == {"on_destroy": 1}
