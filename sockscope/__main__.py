"""``python -m sockscope`` and the command ``sockscope``."""

from __future__ import annotations

import sys


def main() -> int:
    try:
        from sockscope.cli import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # while it began or ended: run() sees to all that lies between
        return 130


if __name__ == "__main__":
    sys.exit(main())
