"""Burn one CPU for some seconds: ``python -m tests.diagnosis.burn SECONDS``."""

from __future__ import annotations

import sys
import time


def main() -> None:
    end = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        pass


if __name__ == "__main__":
    main()
