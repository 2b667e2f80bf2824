"""Which addresses a host tells others: never the unspecified one, which every reader takes for itself.

libp2p tells "/ip4/0.0.0.0/…" as it stands, in identify and in the DHT. Here it becomes the addresses of this
machine's interfaces, loopback only where there is nothing else; and such addresses of others are not believed.
"""

import ipaddress
import socket
from collections.abc import Iterable

import psutil
from multiaddr import Multiaddr as RawMultiaddr

from skyops_p2p import limits


def advertised(candidates: Iterable[RawMultiaddr]) -> list[RawMultiaddr]:
    """Return listening addresses as others can use them, at most RECORD_ADDRS_MAX."""
    told: dict[str, None] = {}
    for addr in candidates:
        parts = str(addr).split("/")
        if is_unspecified(addr):
            hosts = interface_hosts(4 if parts[1] == "ip4" else 6)
            told.update(dict.fromkeys("/".join(["", parts[1], host, *parts[3:]]) for host in hosts))
        else:
            told[str(addr)] = None
    return [RawMultiaddr(text) for text in list(told)[: limits.RECORD_ADDRS_MAX]]


def is_unspecified(addr: RawMultiaddr) -> bool:
    """Tell whether an address begins with 0.0.0.0 or ::."""
    text = str(addr)
    return text.startswith(("/ip4/0.0.0.0/", "/ip6/::/"))


def interface_hosts(version: int) -> list[str]:
    """Return this machine's addresses of one IP version, those of the outside first choice."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    found = [
        ipaddress.ip_address(entry.address)
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == family and "%" not in entry.address
    ]
    outside = [str(host) for host in found if not host.is_loopback and not host.is_link_local]
    return outside or [str(host) for host in found if host.is_loopback]
