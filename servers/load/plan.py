"""What load to make."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

DEFAULT_CONNECTIONS = 1_000
DEFAULT_DURATION_S = 60.0

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Plan:
    """A load, bounded in count and time.

    `connections` None means as many as fit in `duration_s`. `rate` is connections started a second, as
    far as `concurrency` allows; None starts one whenever another ends. `think_s` passes between a
    reply and the next request of its connection. `heavy` of the connections, evenly among the others,
    make `heavy_requests` requests. `timeout_s` is the patience with a connect and with each request.
    `sources` are taken in turn as the client's address.
    """

    host: str
    port: int
    connections: int | None = DEFAULT_CONNECTIONS
    concurrency: int = 16
    requests: int = 1
    rate: float | None = None
    think_s: float = 0.0
    heavy: int = 0
    heavy_requests: int = 0
    duration_s: float = DEFAULT_DURATION_S
    timeout_s: float = 5.0
    sources: tuple[Network, ...] = ()
    truth: Path | None = None

    def requests_of(self, index: int) -> int:
        """How many requests the connection of this number makes."""
        if self.heavy and self.connections:
            before = index * self.heavy // self.connections
            if (index + 1) * self.heavy // self.connections > before:
                return self.heavy_requests
        return self.requests

    def source_of(self, index: int) -> str | None:
        """The address that the connection of this number comes from; None leaves it to the kernel."""
        if not self.sources:
            return None
        network = self.sources[index % len(self.sources)]
        turn = index // len(self.sources)
        if network.num_addresses <= 2:
            return str(network[turn % network.num_addresses])
        return str(network[1 + turn % (network.num_addresses - 2)])  # without network and broadcast
