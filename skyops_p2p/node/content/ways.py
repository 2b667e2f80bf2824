"""How blocks travel between this node and others: over a data channel where it can be dialled, else over libp2p.

A holder that is not connected is dialled first. It is asked for an offer over libp2p, which proves who it is and keeps
the key of the offer secret, and its data channel is tried at the hosts under which it is known: no other host is ever
contacted, whatever a peer says. Where that fails, behind NAT or a relay, a libp2p stream carries the same frames.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from ipaddress import ip_address
from typing import TypeVar

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.channels import ChannelListener, connect_channel, open_channel_listener
from skyops_p2p.core.content.channel import NONCE_BYTES, Ticket
from skyops_p2p.core.rules import BLOCKS_PROTOCOL, CONTENT_PROTOCOL, NetworkRules
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.content.links import BlockLink, Holder, OpenLink
from skyops_p2p.node.content.serving import BlockService
from skyops_p2p.ports import Entropy, Network, PeerAddrs
from skyops_p2p.types import Multiaddr, PeerId
from skyops_p2p.wire.messages.content import ChannelOffer, ChannelRequest
from skyops_p2p.wire.model import Message, decode_message, encode_message

log = logging.getLogger(__name__)

Reply = TypeVar("Reply", bound=Message)
Reach = Callable[[PeerId], Awaitable[None]]
"""Connects to a peer by what this node knows of it; raises NetworkError."""
AddrsOf = Callable[[PeerId], Sequence[Multiaddr]]
"""Where a peer is known to be."""


class Ways:
    """Reaches holders, and is reached.

    Args:
        network: Requests and streams.
        rules: Names the protocols.
        entropy: For tokens, keys and nonces of data channels.
        reach: Connects to a peer.
        addrs_of: Where a peer is known to be.
        channel_port: TCP port of our data channels, 0 for any free one; None offers none.
        dials_channels: Whether others' data channels are used.
    """

    def __init__(
        self,
        network: Network,
        rules: NetworkRules,
        *,
        entropy: Entropy,
        reach: Reach,
        addrs_of: AddrsOf,
        channel_port: int | None = None,
        dials_channels: bool = True,
    ) -> None:
        self._network = network
        self._blocks_protocol = rules.protocol_id(BLOCKS_PROTOCOL)
        self._content_protocol = rules.protocol_id(CONTENT_PROTOCOL)
        self._entropy = entropy
        self._reach = reach
        self._addrs_of = addrs_of
        self._channel_port = channel_port
        self._dials_channels = dials_channels
        self._listener: ChannelListener | None = None
        self._turns: dict[PeerId, trio.CapacityLimiter] = {}
        """Of links to holders; of those to which one is open."""

    @asynccontextmanager
    async def serving(
        self, service: BlockService, answer: Callable[[PeerId, bytes], Awaitable[bytes]]
    ) -> AsyncIterator[None]:
        """Serve blocks and requests for the length of the block.

        Raises:
            NetworkError: `port_taken` or `listen_failed`, of the data channel's port.
        """
        self._network.serve_streams(self._blocks_protocol, service.serve_stream)
        self._network.serve_requests(self._content_protocol, answer, bytes_max=limits.MESSAGE_BYTES_MAX)
        async with AsyncExitStack() as stack:
            if self._channel_port is not None:
                hosts = _hosts(self._network.listen_addrs())
                self._listener = await stack.enter_async_context(
                    open_channel_listener(hosts, self._channel_port, service.serve, token=self._entropy.token)
                )
                log.info("data_channels port=%d hosts=%s", self._listener.port, ",".join(hosts))
            yield

    def offer(self, peer: PeerId) -> ChannelOffer:
        """Offer a data channel to a peer; port 0 where there is none."""
        if self._listener is None:
            return ChannelOffer(port=0, token=bytes(16), key=bytes(32))
        ticket = self._listener.offer(peer)
        return ChannelOffer(port=ticket.port, token=ticket.token, key=ticket.key)

    def openers(self) -> tuple[OpenLink, ...]:
        """Return the ways to a holder, the best first.

        At most CONTENT_LINKS_PER_HOLDER_MAX links to one holder are open: more wait until one is closed.
        """
        ways = (self._open_channel, self._open_stream) if self._dials_channels else (self._open_stream,)
        return tuple(partial(self._open_in_turn, way) for way in ways)

    async def _open_in_turn(self, way: OpenLink, holder: Holder) -> BlockLink:
        limiter = self._turns.setdefault(
            holder.peer, trio.CapacityLimiter(limits.CONTENT_LINKS_PER_HOLDER_MAX)
        )
        turn = object()

        def end_turn() -> None:
            limiter.release_on_behalf_of(turn)
            if not limiter.borrowed_tokens and not limiter.statistics().tasks_waiting:
                self._turns.pop(holder.peer, None)

        await limiter.acquire_on_behalf_of(turn)
        try:
            link = await way(holder)
        except BaseException:
            end_turn()
            raise
        link.when_closed = end_turn
        return link

    async def ask(self, holder: Holder, question: Message, kind: type[Reply]) -> Reply:
        """Ask a peer one question of the content protocol, dialling it if need be.

        Raises:
            NetworkError: It cannot be reached.
            RemoteProtocolError: It refuses, or its answer is no answer.
        """
        await self._connect(holder)
        answer = await self._network.request(
            holder.peer,
            self._content_protocol,
            encode_message(question),
            timeout_s=limits.REQUEST_TIMEOUT_S,
        )
        return decode_message(kind, answer)

    async def _connect(self, holder: Holder) -> None:
        if holder.peer in self._network.connected_peers():
            return
        if holder.addrs:
            target = PeerAddrs(holder.peer, holder.addrs)
            await self._network.dial(target, timeout_s=limits.DIAL_TIMEOUT_S)
        else:
            await self._reach(holder.peer)

    async def _open_channel(self, holder: Holder) -> BlockLink:
        offer = await self.ask(holder, ChannelRequest(), ChannelOffer)
        hosts = _hosts((*self._addrs_of(holder.peer), *holder.addrs))
        if not offer.port or not hosts:
            raise NetworkError(f"{holder.peer} has no data channel", code="channel_unreachable")
        ticket = Ticket(offer.port, offer.token, offer.key)
        nonce = self._entropy.token(NONCE_BYTES)
        stream = await connect_channel(holder.peer, hosts, ticket, nonce)
        return BlockLink(stream, is_authentic=False)

    async def _open_stream(self, holder: Holder) -> BlockLink:
        await self._connect(holder)
        stream = await self._network.open_stream(
            holder.peer, self._blocks_protocol, timeout_s=limits.CONTENT_OPEN_TIMEOUT_S
        )
        return BlockLink(stream, is_authentic=True)


def _hosts(addrs: Iterable[Multiaddr]) -> tuple[str, ...]:
    """Return the IP addresses of multiaddrs that do not lead through a relay, each once."""
    hosts: dict[str, None] = {}
    for addr in addrs:
        parts = addr.split("/")
        if len(parts) < 3 or parts[1] not in ("ip4", "ip6") or "p2p-circuit" in parts:
            continue
        try:
            hosts[str(ip_address(parts[2]))] = None
        except ValueError:
            log.debug("addr_not_understood addr=%s", addr)
    return tuple(hosts)
