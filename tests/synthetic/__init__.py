"""A server that never was, for tests and pictures."""

from tests.synthetic.scenario import Kind, Scenario
from tests.synthetic.source import SyntheticSource

__all__ = ["Kind", "Scenario", "SyntheticSource"]
