"""SYNs from addresses that never answer: ``python -m tests.diagnosis.syn_flood PORT``; for a namespace of its own."""

from __future__ import annotations

import random
import socket
import struct
import sys
import time


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def main(port: int) -> None:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    to = socket.inet_aton("127.0.0.1")
    while True:
        source = bytes((127, random.randrange(1, 250), random.randrange(250), random.randrange(1, 250)))
        begin = struct.pack("!HHII", random.randrange(1024, 65000), port, random.randrange(1 << 32), 0)
        rest = struct.pack("!BBHHH", 5 << 4, 2, 64000, 0, 0)
        sum_ = checksum(source + to + struct.pack("!BBH", 0, 6, 20) + begin + rest)
        tcp = begin + struct.pack("!BBHHH", 5 << 4, 2, 64000, sum_, 0)
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, source, to)
        raw.sendto(ip + tcp, ("127.0.0.1", 0))
        time.sleep(0.002)


if __name__ == "__main__":
    main(int(sys.argv[1]))
