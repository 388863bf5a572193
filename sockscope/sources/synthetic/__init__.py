"""A server that never was, for tests and pictures."""

from sockscope.sources.synthetic.scenario import Kind, Scenario
from sockscope.sources.synthetic.source import SyntheticSource

__all__ = ["Kind", "Scenario", "SyntheticSource"]
