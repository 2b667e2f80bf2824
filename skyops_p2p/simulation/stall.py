"""One node of a simulated market: a bare network until somebody needs it, then a real Market on top.

A market of 10,000 nodes costs 10,000 bare networks and as many markets as tenders reach. A gossiped tender reaches
whom its hash invites (AUC-6): the others would forward it and say nothing, which the gossip overlay does for them.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache

import trio

from skyops_p2p import limits
from skyops_p2p.config import NodeConfig
from skyops_p2p.core.announcer import Offer
from skyops_p2p.core.auction.invitation import is_invited
from skyops_p2p.core.auction.tenders import check_tender
from skyops_p2p.core.core_settings import CoreSettings
from skyops_p2p.core.machine import Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.node_events import LoadChanged
from skyops_p2p.core.node_map import NodeMap
from skyops_p2p.core.rules import AUCTION_PROTOCOL
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import NetworkError, RemoteProtocolError
from skyops_p2p.node.book_shelf import MemoryShelf
from skyops_p2p.node.factory import NeutralStake
from skyops_p2p.node.market import RESOURCE_CLASSES, Market
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.ports import GossipReceived, NetworkEvent, PeerAddrs, RequestServer, Validator, Verdict
from skyops_p2p.simulation.clock import SimClock
from skyops_p2p.simulation.entropy import SeededEntropy
from skyops_p2p.simulation.fabric import SimFabric
from skyops_p2p.simulation.hardware import DeclaredHardware, seeded_hardware
from skyops_p2p.simulation.identities import SIM_RULES, sim_identity
from skyops_p2p.simulation.market_people import dealer
from skyops_p2p.simulation.network import SimNetwork
from skyops_p2p.simulation.store import SimDisk
from skyops_p2p.types import Multiaddr, PeerId
from skyops_p2p.wire.envelope import Signed, envelope_kind
from skyops_p2p.wire.messages.auction import BookRequest, Received, Reveal, RevealRequest, Tender
from skyops_p2p.wire.model import decode_fields

TENDERS_KNOWN_MAX = 4096
IDLE = LoadChanged(slots_free=1, load_permille=0)
"""What a worker says that holds nothing for anybody."""
_BARE = {message.number: message.name for message in (RevealRequest, Reveal, BookRequest, Received)}
"""Requests and answers without an envelope."""


class NoDht:
    """Nothing stands in the DHT of a market: everybody is on the map."""

    def validate(self, key: str, value: bytes) -> None:
        """Refuse everything."""
        raise RemoteProtocolError(f"no value belongs under {key}: {len(value)} bytes", code="bad_record")

    def select(self, key: str, values: object) -> int:
        """Take the first."""
        del key, values
        return 0


class Stall(SimNetwork):
    """A node's network, and its market once it is open; the market's host as well.

    Args:
        fabric: The links.
        number: Which node.
        nodes: The map, which all nodes share.
    """

    def __init__(self, fabric: SimFabric, number: int, nodes: NodeMap) -> None:
        super().__init__(fabric, sim_identity(fabric.seed, number).peer_id, number, dht_rules=NoDht())
        self.market: Market | None = None
        self.books = MemoryShelf()
        self.dials = 0
        """Connections that it asked for and did not have."""
        self.dialled: dict[PeerId, None] = {}
        """Whom it has dialled and not hung up on since."""
        self.messages: Counter[str] = Counter()
        """Requests that it has served, by kind."""
        self.answers: Counter[str] = Counter()
        """Its answers that were no refusals, by kind."""
        self.bytes_by_kind: Counter[str] = Counter()
        """Payloads of these requests and of their answers."""
        self.load = IDLE
        """What its worker said last of its capacity."""
        self.told: list[str] = []
        """What its market said to whoever watches: among honest nodes nothing."""
        self._nodes = nodes
        self._own = peer_id_to_bytes(self.peer_id)
        self._opening = trio.Lock()
        self._server: RequestServer | None = None
        self._judges: dict[str, Validator] = {}
        self._hearers: dict[str, Callable[[PeerId, bytes], None]] = {}
        super().serve_requests(
            SIM_RULES.protocol_id(AUCTION_PROTOCOL), self._serve, bytes_max=limits.MESSAGE_BYTES_MAX
        )

    async def stand(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be on the network, closed, until cancelled."""
        async with self:
            for kind in RESOURCE_CLASSES:
                await super().subscribe(SIM_RULES.tender_topic(kind), _accept)
            task_status.started()
            await trio.sleep_forever()

    async def open(self) -> Market:
        """Return the market; it is opened by the first who needs it."""
        async with self._opening:
            if self.market is None:
                self.market = await self.nursery.start(self._trade)
            return self.market

    async def _trade(self, task_status: trio.TaskStatus[Market]) -> None:
        seed, number = self.fabric.seed, self.number
        identity = sim_identity(seed, number)
        config = _config(dealer(seed, number).price, self.fabric.latency.region(number))
        settings = CoreSettings(rules=SIM_RULES, offer=_offer(config))
        core = NodeCore(identity.node_key, lambda _unix: identity.binding, settings)
        core.nodes = self._nodes
        disk = SimDisk()
        ports = NodePorts(
            open_network=lambda _rules: self,
            open_store=disk.open,
            wall_clock=SimClock(),
            entropy=SeededEntropy(seed, number),
            hardware=DeclaredHardware(seeded_hardware(seed, number)),
            stake=NeutralStake(),
            books=self.books,
        )
        async with disk.open() as store, trio.open_nursery() as nursery:
            market = Market(
                config,
                core,
                self,
                store,
                ports=ports,
                node_key=identity.node_key,
                host=self,
            )
            await nursery.start(market.run)
            task_status.started(market)

    # --- the network, as the market sees it -------------------------------------------------------------------
    def serve_requests(self, protocol: str, server: RequestServer, *, bytes_max: int) -> None:
        """Note the market's server: requests have reached this node before it was open."""
        assert (protocol, bytes_max) == (
            SIM_RULES.protocol_id(AUCTION_PROTOCOL),
            limits.MESSAGE_BYTES_MAX,
        ), "a market serves one protocol"
        self._server = server

    async def subscribe(self, topic: str, validator: Validator) -> None:
        """Note the market's validator: the node has forwarded gossip before it was open."""
        await trio.lowlevel.checkpoint()
        self._judges[topic] = validator

    def deliver_gossip(self, event: GossipReceived) -> None:
        """Wake the market if the tender invites it."""
        self.counters["gossip_delivered"] += 1
        tender = _tender(event.payload)
        if is_invited(tender.message, tender.digest, self._own):
            self.nursery.start_soon(self._hear, event)

    async def _hear(self, event: GossipReceived) -> None:
        await self.open()
        if self._judges[event.topic](event.topic, event.author, event.payload) is Verdict.ACCEPT:
            self._hearers[event.topic](event.author, event.payload)

    async def _serve(self, peer: PeerId, request: bytes) -> bytes:
        await self.open()
        assert self._server is not None, "a market without a server"
        kind = _kind(request)
        self.messages[kind] += 1
        self.bytes_by_kind[kind] += len(request)
        answer = await self._server(peer, request)
        self.bytes_by_kind[kind] += len(answer)
        self.answers[_kind(answer)] += 1
        return answer

    def _tell(self, event: NetworkEvent) -> None:
        """Drop what only a whole node would want to know."""

    # --- the market's host ------------------------------------------------------------------------------------
    def hears(self, hearers: Mapping[str, Callable[[PeerId, bytes], None]]) -> None:
        """See node.market.Host."""
        self._hearers.update(hearers)

    def post(self, event: Event) -> None:
        """Note the load. It is not told to anybody: heartbeats stand still in a market."""
        if isinstance(event, LoadChanged):
            self.load = event

    def tell(self, kind: str, peer: PeerId, text: str) -> None:
        """Keep what is told."""
        self.told.append(f"{kind} {peer}: {text}")

    async def connect(self, peer: PeerId, *, timeout_s: float) -> None:
        """Dial a node at the address of its record.

        Raises:
            NetworkError: `unknown_address`, or what dialling raises.
        """
        entry = self._nodes.get(peer)
        if entry is None or entry.record is None:
            raise NetworkError(f"nobody knows an address of {peer}", code="unknown_address")
        self.dials += 1
        addrs = tuple(Multiaddr(addr) for addr in entry.record.addrs)
        await self.dial(PeerAddrs(peer, addrs), timeout_s=timeout_s)
        self.dialled[peer] = None

    async def hang_up(self) -> None:
        """Drop the connections that it dialled for its tenders."""
        for peer in self.dialled:
            await self.disconnect(peer)
        self.dialled.clear()


def _accept(_topic: str, _author: PeerId, _payload: bytes) -> Verdict:
    return Verdict.ACCEPT


def _kind(data: bytes) -> str:
    """Return what a request or an answer is called; those without an envelope have a number."""
    name = envelope_kind(data)
    return name if name is not None else _BARE[decode_fields(data)[0]]


@lru_cache(maxsize=TENDERS_KNOWN_MAX)
def _tender(payload: bytes) -> Signed[Tender]:
    return check_tender(payload, SIM_RULES, now=None)


def _config(price: int, region: str) -> NodeConfig:
    return NodeConfig.model_validate(
        {
            "is_testnet": True,
            "network": {"name": SIM_RULES.network, "chain_id": SIM_RULES.chain_id},
            "worker": {"enabled": True, "price_microcredits_per_hour": price, "region": region},
        }
    )


def _offer(config: NodeConfig) -> Offer:
    return Offer(
        agent="skyops/sim",
        is_worker=True,
        region=config.worker.region,
        labels=(),
        slots=1,
        price_microcredits_per_hour=config.worker.price_microcredits_per_hour,
    )
