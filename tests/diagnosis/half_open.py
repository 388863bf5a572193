"""``PORT NUMBER``: so many handshakes that are begun and never ended, from addresses that do not exist.

For a network namespace of its own: it routes 192.0.2.0/24 (RFC 5737) to the loopback device, where
the answers are lost.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time

_HERE = socket.inet_aton("127.0.0.1")
_SYN = 0x02


def main(port: int, number: int) -> None:
    subprocess.run(["ip", "route", "add", "192.0.2.0/24", "dev", "lo"], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for index in range(number):
            source = socket.inet_aton(f"192.0.2.{index % 250 + 1}")
            raw.sendto(packet(source, 20000 + index, port), ("127.0.0.1", port))
            time.sleep(0.005)


def packet(source: bytes, source_port: int, port: int) -> bytes:
    """A SYN, with its IP header."""
    pseudo = struct.pack("!4s4sBBH", source, _HERE, 0, socket.IPPROTO_TCP, 20)
    words = source_port, port, 1, 0, 5 << 4, _SYN, 65535
    bare = struct.pack("!HHIIBBHHH", *words, 0, 0)
    tcp = struct.pack("!HHIIBBHHH", *words, checksum(pseudo + bare), 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0, source, _HERE)
    return ip + tcp


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
