"""The field bench: faults that people report in public, on real servers, and the same servers in good health."""
