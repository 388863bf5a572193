"""sockscope: who listened, accepted, read and answered each TCP connection."""

__version__ = "0.1.0"
