"""`python -m servers.load`: make a load, print its figures."""

import sys

from ..errors import ServerError, UsageError, complain
from .arguments import parse
from .engine import run


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, 1 when a connection failed or the load could not be made, 2 for a wrong command line."""
    try:
        plan, form = parse(arguments)
        result = run(plan)
        print(result.as_json() if form == "json" else result.as_text(), flush=True)
    except UsageError as error:
        complain(f"servers.load: {error}")
        return 2
    except ServerError as error:
        complain(f"servers.load: {error}")
        return 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 130
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
