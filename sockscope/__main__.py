"""``python -m sockscope`` and the command ``sockscope``."""

from __future__ import annotations

import sys


def main() -> int:
    from sockscope.commands import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
