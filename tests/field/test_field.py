"""The short form of the field bench: each fault is named first, and healthy servers are not accused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.field.cases import FAULTS, HEALTHY
from tests.field.controls import CONTROLS
from tests.field.stage import FieldCase, play

SHORT = [case for case in (*FAULTS, *HEALTHY) if case.short]


def test_each_detector_is_proved_on_servers_that_it_was_not_tuned_with() -> None:
    for expected in {case.expected for case in FAULTS}:
        proofs = [case for case in FAULTS if case.expected == expected and not case.tuning]
        assert len(proofs) >= 2, expected


def test_cases_have_names_of_their_own_and_a_public_source() -> None:
    cases = (*FAULTS, *HEALTHY, *CONTROLS)
    assert len({case.name for case in cases}) == len(cases)
    assert all(case.source for case in cases)
    assert len(HEALTHY) + len(CONTROLS) >= 60


@pytest.mark.kernel
@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_a_fault_is_named_first_and_a_healthy_server_is_not_accused(case: FieldCase) -> None:
    result = play(replace(case, seconds=case.seconds - 1))
    assert result.problem(case) == "", "\n".join(finding.explanation for finding in result.findings)
