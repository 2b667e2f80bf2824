"""Find peers of the same network on the local network by multicast DNS.

zeroconf runs in threads of its own; what it finds is handed to the trio thread through its token. libp2p's own
mDNS announces every node under one name for all networks and tells it to a process-wide registry; this one
has a service type for each network, and what strangers put into their answers is checked and bounded.

Sources: RFC 6762, RFC 6763.
"""

import hashlib
import ipaddress
import logging
from collections.abc import Callable, Sequence

import trio
from libp2p.peer.id import ID
from zeroconf import BadTypeInNameException, ServiceInfo, ServiceListener, Zeroconf

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.advertised import interface_hosts
from skyops_p2p.ports import PeerAddrs
from skyops_p2p.types import Multiaddr, PeerId

logger = logging.getLogger(__name__)

LOOKUP_TIMEOUT_MS = 2000
"""How long one answer may be waited for, in zeroconf's thread."""
STOP_TIMEOUT_S = 2.0


def service_type(network: str) -> str:
    """Return the DNS-SD type of a network: a label has at most 15 characters, a network's name up to 24."""
    return f"_sky-{hashlib.sha256(network.encode()).hexdigest()[:10]}._tcp.local."


class _Listener(ServiceListener):
    """Called in zeroconf's thread."""

    def __init__(self, found: Callable[[ServiceInfo], None]) -> None:
        self._found = found

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        info = zc.get_service_info(type_, name, timeout=LOOKUP_TIMEOUT_MS)
        if info is not None:
            self._found(info)

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        self.add_service(zc, type_, name)

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """A peer that leaves is noticed by its connection."""


class LocalDiscovery:
    """Announces one node and reports others.

    Args:
        network: Name of the market.
        peer: Our own id.
        addrs: Where we listen, "/ip4|ip6/…/tcp/…".
        found: Called in the trio thread for each peer found, at most MDNS_PEERS_MAX of them.
        interfaces: Addresses of the interfaces to use; None for all.
    """

    def __init__(
        self,
        network: str,
        peer: PeerId,
        addrs: Sequence[Multiaddr],
        found: Callable[[PeerAddrs], None],
        *,
        interfaces: Sequence[str] | None = None,
    ) -> None:
        self._type = service_type(network)
        self._peer = peer
        self._addrs = [_split(addr) for addr in addrs]
        self._found = found
        self._interfaces = list(interfaces) if interfaces else None
        self._seen: set[PeerAddrs] = set()

    async def run(self) -> None:
        """Announce and listen until cancelled; without multicast it logs once and ends."""
        token = trio.lowlevel.current_trio_token()
        try:
            zc = await trio.to_thread.run_sync(self._open, token)
        except (OSError, BadTypeInNameException) as error:
            logger.warning("mdns_unavailable error=%r", error)
            return
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + STOP_TIMEOUT_S):
                await trio.to_thread.run_sync(zc.close, abandon_on_cancel=True)

    def _open(self, token: trio.lowlevel.TrioToken) -> Zeroconf:
        # In a worker thread: zeroconf blocks while it starts and while it claims its name.
        zc = Zeroconf(interfaces=self._interfaces) if self._interfaces else Zeroconf()

        def hand_over(info: ServiceInfo) -> None:
            try:
                token.run_sync_soon(self._take, info)
            except trio.RunFinishedError:
                logger.debug("mdns_answer_too_late")

        try:
            for info in self._own_infos():
                zc.register_service(info, cooperating_responders=True)
            zc.add_service_listener(self._type, _Listener(hand_over))
        except BaseException:
            zc.close()
            raise
        return zc

    def _own_infos(self) -> list[ServiceInfo]:
        return [
            ServiceInfo(
                self._type,
                f"{self._peer[-16:]}-{port}.{self._type}",
                port=port,
                properties={"p": self._peer},
                parsed_addresses=_reachable(host),
            )
            for host, port in self._addrs
        ]

    def _take(self, info: ServiceInfo) -> None:
        found = parse_answer(info)
        if found is None or found.peer == self._peer or found in self._seen:
            return
        if len(self._seen) < limits.MDNS_PEERS_MAX:
            self._seen.add(found)
            self._found(found)


def parse_answer(info: ServiceInfo) -> PeerAddrs | None:
    """Return the peer of a multicast answer, None if it is not one of ours or malformed."""
    raw_peer = info.properties.get(b"p")
    if not raw_peer or not info.port:
        return None
    try:
        peer = PeerId(ID.from_base58(raw_peer.decode("ascii")).to_base58())
    except (ValueError, KeyError):
        return None
    hosts = [address.partition("%")[0] for address in info.parsed_addresses()][: limits.ADDRS_PER_PEER_MAX]
    addrs = tuple(
        Multiaddr(f"/ip{ipaddress.ip_address(host).version}/{host}/tcp/{info.port}") for host in hosts
    )
    return PeerAddrs(peer, addrs) if addrs else None


def _split(addr: Multiaddr) -> tuple[str, int]:
    _, _, host, _, port = addr.split("/")[:5]
    return host, int(port)


def _reachable(host: str) -> list[str]:
    address = ipaddress.ip_address(host)
    return interface_hosts(address.version) if address.is_unspecified else [host]
