"""Recordings: one DuckDB file with every batch as its source gave it."""

from sockscope.store.reader import Reader
from sockscope.store.schema import SCHEMA_VERSION
from sockscope.store.writer import Writer

__all__ = ["SCHEMA_VERSION", "Reader", "Writer"]
