"""Build the libp2p host: TCP, Noise and yamux alone, our limits, and containment of every stream.

libp2p's defaults also offer SECIO and plaintext, by which anybody can pose as any peer whose public key is
known; here nothing but Noise is offered or accepted.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_noise_key
from libp2p.host.basic_host import BasicHost
from libp2p.host.exceptions import StreamFailure
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr as RawMultiaddr

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.advertised import advertised
from skyops_p2p.adapters.libp2p.peerstore import BoundedPeerStore
from skyops_p2p.adapters.libp2p.swarm import SkyopsSwarm
from skyops_p2p.adapters.libp2p.transport import Meter, MeteredTcp, shielded

logger = logging.getLogger(__name__)

Contain = Callable[[str, Any, BaseException], None]
"""(place, libp2p peer id or None, error): counts and logs an error of foreign code that was stopped."""


@dataclass(frozen=True, slots=True)
class HostOptions:
    """How to build one host."""

    seed: bytes
    """32 bytes: the Ed25519 seed of the node's identity."""
    announce: tuple[str, ...]
    """Addresses to tell others instead of the listening ones; empty for the latter."""
    psk_hex: str | None
    """64 hex digits: the private network's key."""
    connections_max: int
    share_port: bool
    """Bind with SO_REUSEPORT, as hole punching needs."""


class SkyopsHost(BasicHost):
    """libp2p's host, where no stream can end the node."""

    def __init__(
        self,
        *args: Any,
        contain: Contain,
        identified: Callable[[ID, list[RawMultiaddr]], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._contain = contain
        self._identified = identified
        self._inbound_streams: Counter[ID] = Counter()
        self.streams_refused = 0
        """Inbound streams reset because their peer had too many."""

    async def _swarm_stream_handler(self, net_stream: Any) -> None:
        peer = net_stream.muxed_conn.peer_id
        if self._inbound_streams[peer] >= limits.STREAMS_PER_PEER_MAX:
            self.streams_refused += 1
            await reset_stream(net_stream)
            return
        self._inbound_streams[peer] += 1
        try:
            await super()._swarm_stream_handler(net_stream)
        except Exception as error:  # noqa: BLE001 - any handler of libp2p may fail on a peer's bytes
            self._contain("stream", peer, error)
            await reset_stream(net_stream)
        finally:
            self._inbound_streams[peer] -= 1
            if not self._inbound_streams[peer]:
                del self._inbound_streams[peer]

    async def new_stream(self, peer_id: ID, protocol_ids: Sequence[str]) -> Any:
        """Open a stream and agree on a protocol, within STREAM_NEGOTIATION_TIMEOUT_S.

        Raises:
            StreamFailure: The peer does not speak it, or did not answer.
        """
        stream = await self.raw_stream(peer_id)
        try:
            protocol = await self.multiselect_client.select_one_of(
                protocol_ids, MultiselectCommunicator(stream), int(limits.STREAM_NEGOTIATION_TIMEOUT_S)
            )
        except MultiselectClientError as error:
            await reset_stream(stream)
            raise StreamFailure(f"{peer_id} did not take {protocol_ids[0]}: {error}") from error
        except BaseException:
            await reset_stream(stream)
            raise
        stream.set_protocol(protocol)
        return stream

    async def raw_stream(self, peer_id: ID) -> Any:
        """Open a stream on which no protocol is agreed yet.

        Raises:
            StreamFailure: The peer does not read.
        """
        if not self._network.get_connections(peer_id):
            await self._network.dial_peer(peer_id)
        # Shielded: a cancelled opening would keep one of yamux's 256 places for ever.
        with shielded(limits.WRITE_STALL_MAX_S) as scope:
            stream = await self._network.new_stream(peer_id)
        if scope.cancelled_caught:
            raise StreamFailure(f"{peer_id} does not read")
        return stream

    async def _identify_peer(self, peer_id: ID, *, reason: str) -> None:
        # Runs as a system task: an error that escaped here would end the whole program.
        try:
            await super()._identify_peer(peer_id, reason=reason)
            known = self.peerstore.peer_data_map.get(peer_id)
            if known is not None and peer_id in self._identified_peers:
                self._identified(peer_id, list(known.get_addrs()))
        except Exception as error:  # noqa: BLE001 - whatever a peer says of itself
            self._contain("identify", peer_id, error)


async def reset_stream(stream: Any) -> None:
    """Reset a libp2p stream; bounded in time, shielded from cancellation, and it never raises."""
    with shielded(limits.STREAM_CLOSE_TIMEOUT_S):
        try:
            await stream.reset()
        except Exception as error:  # noqa: BLE001 - the connection below may be in any state
            logger.debug("stream_reset_failed error=%r", error)


def key_pair_of(seed: bytes) -> KeyPair:
    """Return the libp2p key pair of a 32-byte Ed25519 seed."""
    return create_new_key_pair(seed)


def build_host(
    options: HostOptions, meter: Meter, contain: Contain, identified: Callable[[ID, list[RawMultiaddr]], None]
) -> SkyopsHost:
    """Build a host that is not yet running."""
    keys = key_pair_of(options.seed)
    peer = ID.from_pubkey(keys.public_key)
    store = BoundedPeerStore(peer)
    store.add_key_pair(peer, keys)
    noise = NoiseTransport(keys, noise_privkey=create_new_noise_key().private_key)
    upgrader = TransportUpgrader({NOISE_ID: noise}, {YAMUX_ID: Yamux}, int(limits.INBOUND_UPGRADE_TIMEOUT_S))
    swarm = SkyopsSwarm(
        peer,
        store,
        upgrader,
        [MeteredTcp(meter, share_port=options.share_port)],
        retry_config=RetryConfig(max_retries=0),
        connection_config=_connection_config(options.connections_max),
        psk=options.psk_hex,
        meter=meter,
        contain=contain,
    )
    store.is_connected = swarm.get_connections
    told = [RawMultiaddr(addr) for addr in options.announce]
    return SkyopsHost(
        swarm,
        negotiate_timeout=int(limits.STREAM_NEGOTIATION_TIMEOUT_S),
        addrs_factory=lambda candidates: told or advertised(candidates),
        disable_identify_address_discovery=not options.share_port,
        contain=contain,
        identified=identified,
    )


def _connection_config(connections_max: int) -> ConnectionConfig:
    return ConnectionConfig(
        max_connections=connections_max,
        min_connections=0,
        low_watermark=0,
        high_watermark=connections_max,
        # One, or libp2p waits 250 ms for a second address on every dial.
        max_connections_per_peer=1,
        inbound_upgrade_timeout=limits.INBOUND_UPGRADE_TIMEOUT_S,
        outbound_upgrade_timeout=limits.INBOUND_UPGRADE_TIMEOUT_S,
        inbound_stream_protocol_negotiation_timeout=limits.STREAM_NEGOTIATION_TIMEOUT_S,
        outbound_stream_protocol_negotiation_timeout=limits.STREAM_NEGOTIATION_TIMEOUT_S,
    )
