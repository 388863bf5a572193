"""What sockscope costs, beside what others cost; ``python -m tests.benchmarks``, or ``make bench``."""
