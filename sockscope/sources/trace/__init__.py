"""Recordings: one DuckDB file with every batch as its source gave it."""

from sockscope.sources.trace.reader import Reader
from sockscope.sources.trace.schema import SCHEMA_VERSION
from sockscope.sources.trace.writer import Writer

__all__ = ["SCHEMA_VERSION", "Reader", "Writer"]
