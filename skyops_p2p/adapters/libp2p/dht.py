"""The Kademlia DHT of one network: our own protocol id, validated records, short provider keys, deadlines.

libp2p's `protocol_prefix` has no effect, and its module constant would be shared by all networks of the
process; so its DHT is given a view of the host that translates the protocol id. Its inbound streams may idle
for ever while holding one of twelve places; here they have a deadline and each peer has few. Its `get_value`
answers from a stale local copy and its `put_value` does not say whether anybody took the value; the loops
over the closest peers are ours.

Sources: Maymounkov, Mazieres, Kademlia (2002); libp2p kad-dht specification.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import trio
from libp2p.kad_dht.common import PROTOCOL_ID as STOCK_ID
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.records.validator import NamespacedValidator
from libp2p.records.validator import Validator as RecordValidator
from libp2p.tools.anyio_service import background_trio_service

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.host import Contain, reset_stream
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import LocalProtocolError, NetworkError, SkyopsError
from skyops_p2p.ports import DhtRules, PeerAddrs
from skyops_p2p.types import Multiaddr, PeerId

logger = logging.getLogger(__name__)

NAMESPACE = "skyops"
"""First part of every record key."""
QUERIES_AT_ONCE = 10
"""Kademlia's alpha."""
STREAM_TIMEOUT_S = 15.0
"""Life of one inbound stream; ours are closed after one exchange."""
STREAMS_PER_PEER_MAX = 4
REFRESH_FIRST_S = 1.0
"""Pause before the next look-ups while the table grows; triples up to REFRESH_LAST_S when it does not."""
REFRESH_LAST_S = 300.0
REFRESH_TIMEOUT_S = 30.0
"""How long one round of look-ups may take."""


class _Peerstore:
    """A peerstore in whose protocol lists our id reads as the stock one."""

    def __init__(self, store: Any, own_id: str) -> None:
        self._store = store
        self._own_id = own_id

    def get_protocols(self, peer_id: ID) -> list[str]:
        names = self._store.get_protocols(peer_id)
        return [str(STOCK_ID) if name == self._own_id else name for name in names if name != str(STOCK_ID)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _HostView:
    """A host on which the DHT's stock protocol id means ours."""

    def __init__(self, host: Any, own_id: str) -> None:
        self._host = host
        self._own_id = own_id
        self._peerstore = _Peerstore(host.get_peerstore(), own_id)

    async def new_stream(self, peer_id: ID, protocol_ids: Sequence[str]) -> Any:
        return await self._host.new_stream(peer_id, [self._own_id])

    def set_stream_handler(self, protocol_id: str, handler: Any) -> None:
        self._host.set_stream_handler(self._own_id, handler)

    def remove_stream_handler(self, protocol_id: str) -> None:
        self._host.remove_stream_handler(self._own_id)

    def get_peerstore(self) -> Any:
        return self._peerstore

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)


class _Rules(RecordValidator):
    """The node's rules in libp2p's words: raise to refuse."""

    def __init__(self, rules: DhtRules) -> None:
        self._rules = rules

    def validate(self, key: str, value: bytes) -> None:
        if len(key) > limits.DHT_KEY_BYTES_MAX or len(value) > limits.NODE_RECORD_BYTES_MAX:
            raise ValueError("the key or the value is too long")
        self._rules.validate(key, bytes(value))

    def select(self, key: str, values: list[bytes]) -> int:
        return self._rules.select(key, [bytes(value) for value in values])


class _Kademlia(KadDHT):
    """libp2p's DHT with bounded inbound streams."""

    def __init__(self, host: _HostView, validator: NamespacedValidator, contain: Contain) -> None:
        super().__init__(
            host, DHTMode.SERVER, validator=validator, validator_changed=True, strict_validation=True
        )
        self._contain = contain
        self._streams: Counter[ID] = Counter()
        self.value_store._evict_if_full = self._make_room
        self._add_provider = self.provider_store.add_provider
        self.provider_store.add_provider = self._add_bounded_provider

    async def handle_stream(self, stream: Any) -> None:
        """Serve one inbound stream within STREAM_TIMEOUT_S."""
        peer = stream.muxed_conn.peer_id
        if self._streams[peer] >= STREAMS_PER_PEER_MAX:
            await reset_stream(stream)
            return
        self._streams[peer] += 1
        try:
            with trio.move_on_after(STREAM_TIMEOUT_S) as scope:
                await super().handle_stream(stream)
            if scope.cancelled_caught:
                await reset_stream(stream)
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]

    def _make_room(self) -> None:
        store = self.value_store.store
        while len(store) >= limits.DHT_RECORDS_MAX:
            del store[next(iter(store))]

    def _add_bounded_provider(self, key: bytes, provider: PeerInfo) -> None:
        known = self.provider_store.providers
        if len(key) > limits.DHT_KEY_BYTES_MAX or (key not in known and len(known) >= limits.DHT_RECORDS_MAX):
            return
        bounded = PeerInfo(provider.peer_id, list(provider.addrs)[: limits.ADDRS_PER_PEER_MAX])
        self._add_provider(key, bounded)


class Dht:
    """Records and providers of one network."""

    def __init__(self, host: Any, network: str, rules: DhtRules, contain: Contain) -> None:
        self._host = host
        self._own = host.get_id()
        validator = NamespacedValidator({NAMESPACE: _Rules(rules)}, strict_validation=True)
        self._validator = validator
        self._kademlia = _Kademlia(_HostView(host, f"/skyops/{network}/kad/1.0.0"), validator, contain)
        self._contain = contain
        self._reported: set[ID] = set()

    async def start(self, stack: AsyncExitStack) -> None:
        """Run until the stack is closed."""
        await stack.enter_async_context(background_trio_service(self._kademlia))

    async def learn_peer(self, peer: ID) -> None:
        """Put an identified peer into the routing table, if it serves our DHT."""
        try:
            with trio.move_on_after(limits.REQUEST_TIMEOUT_S):
                await self._kademlia.add_peer(peer)
        except Exception as error:  # noqa: BLE001 - foreign code over a peer's addresses
            self._contain("dht table", peer, error)

    async def fill_table(self) -> None:
        """Look up our own neighbourhood again and again, ever more seldom; for ever."""
        pause_s, known = REFRESH_FIRST_S, 0
        while True:
            await trio.sleep(pause_s)
            size = self._kademlia.get_routing_table_size()
            pause_s = REFRESH_FIRST_S if size > known else min(pause_s * 3, REFRESH_LAST_S)
            known = size
            if not size:
                continue
            try:
                with trio.move_on_after(REFRESH_TIMEOUT_S):
                    await self._kademlia.peer_routing.refresh_routing_table()
            except Exception as error:  # noqa: BLE001 - foreign code over peers' answers
                self._contain("dht refresh", None, error)

    def take_new_peers(self, count_max: int) -> list[PeerAddrs]:
        """Return peers of the routing table that were not returned before."""
        found: list[PeerAddrs] = []
        for info in self._kademlia.routing_table.get_peer_infos():
            if len(found) >= count_max:
                break
            if info.peer_id not in self._reported and info.addrs:
                self._reported.add(info.peer_id)
                found.append(_peer_addrs(info))
        while len(self._reported) > limits.ADDRESS_BOOK_PEERS_MAX:
            self._reported.pop()
        return found

    # --- records --------------------------------------------------------------------------------------------
    async def put(self, key: str, value: bytes, *, timeout_s: float) -> None:
        """Store a value at the peers closest to its key.

        Raises:
            LocalProtocolError: Our own rules refuse it, or we hold a better one.
            NetworkError: No peer took it in time (`dht_not_stored`).
        """
        raw_key = self._check_own(key, value)
        self._kademlia.value_store.put(raw_key, value)
        stored = 0

        async def store_at(peer: ID) -> None:
            nonlocal stored
            if await self._kademlia.value_store._store_at_peer(peer, raw_key, value):
                stored += 1
            elif await self._kademlia.value_store._get_from_peer(peer, raw_key) == value:
                # A peer refuses what it already has.
                stored += 1

        with trio.move_on_after(timeout_s):
            await self._ask_closest(raw_key, store_at)
        if not stored:
            raise NetworkError(f"no peer stored {key} within {timeout_s:g} s", code="dht_not_stored")

    def _check_own(self, key: str, value: bytes) -> bytes:
        raw_key = key.encode()
        try:
            self._validator.validate(key, value)
            held = self._kademlia.value_store.get(raw_key)
            is_older = (
                held is not None and held.value != value and self._validator.select(key, [value, held.value])
            )
        except (SkyopsError, ValueError) as error:
            raise LocalProtocolError(f"our own rules refuse the record {key}: {error}") from error
        except Exception as error:
            # libp2p's own complaints about a key without our namespace.
            raise LocalProtocolError(f"{key!r} is not a record key: {error}") from error
        if is_older:
            raise LocalProtocolError(
                f"the record {key} is older than the one that we hold", code="record_outdated"
            )
        return raw_key

    async def get(self, key: str, *, timeout_s: float) -> bytes | None:
        """Ask the peers closest to a key and return the best valid value, ours included; None if there is none."""
        raw_key = key.encode()
        found: list[bytes] = []
        held = self._kademlia.value_store.get(raw_key)
        if held is not None:
            found.append(held.value)

        async def get_from(peer: ID) -> None:
            value = await self._kademlia.value_store._get_from_peer(peer, raw_key)
            if isinstance(value, bytes) and value not in found and self._is_valid(key, value, peer):
                found.append(value)

        with trio.move_on_after(timeout_s):
            await self._ask_closest(raw_key, get_from)
        return found[self._validator.select(key, found)] if found else None

    def _is_valid(self, key: str, value: bytes, peer: ID) -> bool:
        try:
            self._validator.validate(key, value)
        except Exception as error:  # noqa: BLE001 - the rules' refusals and libp2p's own
            self._contain("dht record", peer, error)
            return False
        return True

    # --- providers ------------------------------------------------------------------------------------------
    async def provide(self, key: str, *, timeout_s: float) -> None:
        """Announce that we provide a key; repeated by libp2p every 22 hours.

        Raises:
            LocalProtocolError: The key is longer than DHT_KEY_BYTES_MAX.
            NetworkError: No peer took it in time (`dht_not_stored`).
        """
        raw_key = _provider_key(key)
        is_done = False
        with trio.move_on_after(timeout_s):
            is_done = await self._kademlia.provider_store.provide(raw_key)
        if not is_done:
            raise NetworkError(f"no peer noted that we provide {key}", code="dht_not_stored")

    async def find_providers(self, key: str, *, count_max: int, timeout_s: float) -> tuple[PeerAddrs, ...]:
        """Return up to `count_max` peers that provide a key, ourselves left out."""
        raw_key = _provider_key(key)
        store = self._kademlia.provider_store
        found = {info.peer_id: info for info in store.get_providers(raw_key)}

        async def find_at(peer: ID) -> None:
            providers, _ = await store._get_providers_from_peer_with_closers(peer, raw_key)
            for info in providers[: limits.DHT_REPLICATION]:
                if info.addrs or info.peer_id not in found:
                    found[info.peer_id] = info

        with trio.move_on_after(timeout_s):
            await self._ask_closest(raw_key, find_at)
        found.pop(self._own, None)
        return tuple(_peer_addrs(info) for info in list(found.values())[:count_max])

    # --- the closest peers ----------------------------------------------------------------------------------
    async def _ask_closest(self, key: bytes, ask: Callable[[ID], Awaitable[None]]) -> None:
        closest = await self._kademlia.peer_routing.find_closest_peers_network(key, limits.DHT_REPLICATION)
        limiter = trio.CapacityLimiter(QUERIES_AT_ONCE)

        async def ask_one(peer: ID) -> None:
            async with limiter:
                try:
                    with trio.move_on_after(limits.REQUEST_TIMEOUT_S):
                        await ask(peer)
                except Exception as error:  # noqa: BLE001 - foreign code over a peer's answer
                    self._contain("dht query", peer, error)

        async with trio.open_nursery() as nursery:
            for peer in closest:
                if peer != self._own:
                    nursery.start_soon(ask_one, peer)


def _provider_key(key: str) -> bytes:
    """Return a key as the DHT carries it: a SHA-256 multihash, as other implementations demand. Rules: PER-14."""
    raw_key = key.encode()
    if not 0 < len(raw_key) <= limits.DHT_KEY_BYTES_MAX:
        raise LocalProtocolError(
            f"a provider key has 1 to {limits.DHT_KEY_BYTES_MAX} bytes, not {len(raw_key)}"
        )
    return b"\x12\x20" + sha256(b"skyops/capability/" + raw_key)


def _peer_addrs(info: PeerInfo) -> PeerAddrs:
    addrs = [str(addr).partition("/p2p/")[0] for addr in list(info.addrs)[: limits.ADDRS_PER_PEER_MAX]]
    return PeerAddrs(PeerId(info.peer_id.to_base58()), tuple(Multiaddr(addr) for addr in addrs))
