"""asyncio without free file descriptors: it pauses for a second after each failure."""

from __future__ import annotations

from tests.field.servers import entry, script
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="asyncio out of file descriptors",
    source="oven-sh/bun#32705",
    server="Python asyncio.start_server, prlimit --nofile=30",
    start=entry(
        "asyncio",
        script(
            "import asyncio, sys\n"
            "async def serve(reader, writer):\n"
            "    while await reader.read(4096):\n"
            "        writer.write(b'ok')\n"
            "    writer.close()\n"
            "async def main():\n"
            "    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]))\n"
            "    await server.serve_forever()\n"
            "asyncio.run(main())\n",
            "python3",
            "FILE",
            "PORT",
        ),
        nofile=30,
    ),
    clients=(("--connections=60", "--parallel=60", "--hold=3"),),
    expected="accept-failing",
    excluded=("accept-paused",),
    truth=lambda counts: counts["slow"] + counts["pending"] + counts["closed"] + counts["reset"] >= 5,
    truth_words="at least 5 clients got no reply for half a second or more",
)
