"""An asyncio server whose handler returns at end of file without closing its writer."""

from __future__ import annotations

from tests.field.servers import entry, script
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="asyncio, writer never closed",
    source="xkonni/raspberry-remote#34",
    server="Python asyncio.start_server",
    start=entry(
        "asyncio",
        script(
            "import asyncio, sys\n"
            "kept = []\n"
            "async def serve(reader, writer):\n"
            "    kept.append(writer)\n"
            "    while await reader.read(4096):\n"
            "        writer.write(b'ok')\n"
            "async def main():\n"
            "    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]))\n"
            "    await server.serve_forever()\n"
            "asyncio.run(main())\n",
            "python3",
            "FILE",
            "PORT",
        ),
    ),
    clients=(("--connections=150", "--parallel=10", "--gap=0.02"),),
    expected="close-wait-leak",
    truth=lambda counts: counts["answered"] >= 20,
    truth_words="clients got their replies and left",
)
