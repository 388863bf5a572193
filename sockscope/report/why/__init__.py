"""The formats of ``sockscope why``."""
