"""Five reference TCP servers, one per server model, and a load generator.

`start` runs one as a child process; `python -m servers MODEL` runs one in the foreground.
"""

from .errors import ServerError, UsageError
from .running import RunningServer, start

__all__ = ["RunningServer", "ServerError", "UsageError", "start"]
