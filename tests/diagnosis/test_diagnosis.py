"""The short form of the bench: real servers, traced; each fault named first, no control accused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.diagnosis.bench import verdict
from tests.diagnosis.cases import CONTROLS, FAULTS, can_play
from tests.diagnosis.stage import Case, play

SHORT = [case for case in (*FAULTS, *CONTROLS) if case.short]

pytestmark = pytest.mark.kernel


def test_the_bench_has_as_many_controls_as_faults() -> None:
    assert len(FAULTS) >= 25
    assert len(CONTROLS) >= len(FAULTS)
    names = [case.name for case in (*FAULTS, *CONTROLS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_a_fault_is_named_first_and_a_control_is_not_accused(case: Case) -> None:
    if not can_play(case):
        pytest.skip(f"{case.name}: the server is not installed")
    _, findings = play(replace(case, seconds=3), seed=1)
    assert verdict(case, findings) == "", "\n".join(finding.explanation for finding in findings)
