"""The doctor's checks of the network: ports, addresses, IPv6, mDNS, and whether bootstrap peers answer."""

import errno
import ipaddress
import socket

import psutil
import trio

from skyops_p2p import limits
from skyops_p2p.config import NodeConfig
from skyops_p2p.node.finding import Finding, Status

_MDNS_PORT = 5353
_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def check_ports(config: NodeConfig, holder: int | None) -> list[Finding]:
    """Check that the ports of the settings can be bound, or are held by our own running node.

    Args:
        config: The settings.
        holder: The process that uses the data directory, or None.
    """
    places = [(f"port {port}", host, port) for host, port in _listening(config) if port]
    if config.api.enabled and config.api.port:
        places.append((f"API port {config.api.port}", config.api.host, config.api.port))
    if not places:
        return [Finding("port", "ok", "a free one is picked at each start")]
    return [_try_port(name, host, port, holder) for name, host, port in places]


def check_addresses(config: NodeConfig) -> list[Finding]:
    """Check that others could dial this node: a public address to listen on, or one that is announced."""
    name = "reachable address"
    if config.network.announce:
        return [Finding(name, "ok", f"announced: {', '.join(config.network.announce)}")]
    hosts = {host for host, _port in _listening(config)}
    addresses = {ipaddress.ip_address(host) for host in hosts if host not in _ANY}
    if hosts & set(_ANY):
        addresses |= _own_addresses(with_ipv6="::" in hosts)
    if any(address.is_global for address in addresses):
        return [Finding(name, "ok", "listening on a public address")]
    if all(address.is_loopback for address in addresses):
        status: Status = "ok" if config.is_testnet else "warn"
        mend = "" if config.is_testnet else "Listen on /ip4/0.0.0.0/tcp/4711 in [network] listen."
        return [Finding(name, status, "only this machine can reach this node", mend)]
    mend = "Forward the port on the router and set [network] announce to the public address; on a LAN this is fine."
    if config.is_testnet:
        return [Finding(name, "ok", "only private addresses, as a test network has them")]
    return [Finding(name, "warn", "only private addresses, none announced", mend)]


def check_ipv6(config: NodeConfig) -> list[Finding]:
    """Check IPv6 if the settings want it."""
    is_wanted = any(":" in host for host, _port in _listening(config))
    is_there = True
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
            trial.bind(("::1", 0))
    except OSError:
        is_there = False
    if is_wanted and not is_there:
        return [Finding("IPv6", "fail", "not on this machine", "Listen on /ip4/... only, or switch IPv6 on.")]
    return [Finding("IPv6", "ok", "present" if is_there else "not on this machine, and not asked for")]


def check_mdns(config: NodeConfig) -> list[Finding]:
    """Check that peers on the local network could be found, if that is switched on."""
    name = "mDNS"
    if not config.network.mdns:
        return [Finding(name, "ok", "switched off")]
    usable = [
        interface
        for interface, facts in psutil.net_if_stats().items()
        if facts.isup and "multicast" in facts.flags.split(",") and "loopback" not in facts.flags.split(",")
    ]
    if not usable:
        return [Finding(name, "warn", "no interface carries multicast", "Use [network] bootstrap instead.")]
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            trial.bind(("", _MDNS_PORT))
    except OSError as error:
        mend = f"Let other programs share UDP port {_MDNS_PORT}, or use [network] bootstrap."
        return [Finding(name, "warn", f"UDP port {_MDNS_PORT}: {error.strerror}", mend)]
    return [Finding(name, "ok", f"on {', '.join(usable)}")]


async def check_bootstrap_peers(config: NodeConfig) -> list[Finding]:
    """Check that the bootstrap peers accept TCP connections; nothing is sent to them."""
    name, peers = "bootstrap peers", config.network.bootstrap
    if not peers:
        if config.network.mdns:
            return [Finding(name, "ok", "none; peers are looked for on the local network")]
        mend = "Set [network] bootstrap or mdns, or start with `skyops run --join ADDRESS`; a first node needs none."
        return [Finding(name, "warn", "none, so nobody to join through", mend)]
    silent: list[str] = []
    limit = trio.CapacityLimiter(limits.DIALS_IN_FLIGHT_MAX)

    async def reach(address: str) -> None:
        _, _kind, host, _tcp, port, *_rest = address.split("/")
        async with limit:
            if not await _answers(host, int(port)):
                silent.append(address)

    async with trio.open_nursery() as nursery:
        for address in peers:
            nursery.start_soon(reach, address)
    found = f"{len(peers) - len(silent)} of {len(peers)} answer"
    if not silent:
        return [Finding(name, "ok", found)]
    mend = (
        f"No TCP answer within {limits.DOCTOR_REACH_TIMEOUT_S:g} s from {', '.join(sorted(silent))}: "
        "are they running, and does a firewall let us out?"
    )
    return [Finding(name, "fail" if len(silent) == len(peers) else "warn", found, mend)]


async def _answers(host: str, port: int) -> bool:
    with trio.move_on_after(limits.DOCTOR_REACH_TIMEOUT_S) as scope:
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError:
            return False
        await trio.aclose_forcefully(stream)
    return not scope.cancelled_caught


def _listening(config: NodeConfig) -> list[tuple[str, int]]:
    """Return (IP address, port) of each listening address; their shape was checked with the settings."""
    parts = [address.split("/") for address in config.network.listen]
    return [(part[2], int(part[4])) for part in parts]


def _try_port(name: str, host: str, port: int, holder: int | None) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            # Past connections in TIME_WAIT do not count; a listening socket does, also one with SO_REUSEPORT.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE and holder is not None:
            return Finding(
                name, "ok", f"in use, as it should be: a node runs here (process {holder or 'unknown'})"
            )
        mends = {
            errno.EADDRINUSE: f"Stop the other program (`ss -ltnp sport = {port}` shows it), or choose another port.",
            errno.EACCES: "Choose a port above 1023.",
            errno.EADDRNOTAVAIL: "Listen on an address of this machine, or on 0.0.0.0.",
        }
        mend = mends.get(error.errno or 0, "Choose another address or port.")
        return Finding(name, "fail", f"{host}: {error.strerror}", mend)
    return Finding(name, "ok", "free")


def _own_addresses(*, with_ipv6: bool) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    families = {socket.AF_INET, socket.AF_INET6} if with_ipv6 else {socket.AF_INET}
    return {
        ipaddress.ip_address(entry.address.partition("%")[0])
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in families
    }
