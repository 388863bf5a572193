"""A load generator that knows the truth: every reply names the threads that accepted, read and answered."""

from .engine import run
from .plan import Plan
from .result import Latency, Result

__all__ = ["Latency", "Plan", "Result", "run"]
