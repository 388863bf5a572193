"""Steer the SO_REUSEPORT group of a running server from outside: discovery, program, lease, measurement."""
