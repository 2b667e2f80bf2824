"""The DHT in memory: values and provider entries, sharded over replicas that can be stale, cut off or lying.

A key's replicas are the REPLICAS nodes that follow its hash on a ring (consistent hashing instead of XOR distance:
the same spread, cheaper to find). Every put, get and provide is packets between the asker and the replicas, so
the links' faults apply. As in py-libp2p, a node may answer itself from an old copy; so the DHT never is a source
of freshness. Values are checked by the rules of whoever receives them.
"""

from bisect import bisect, insort
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING

import trio

from skyops_p2p.errors import LocalProtocolError, NetworkError, RemoteProtocolError
from skyops_p2p.limits import DHT_KEY_BYTES_MAX
from skyops_p2p.ports import PeerAddrs
from skyops_p2p.simulation.entropy import derived_random

if TYPE_CHECKING:
    from skyops_p2p.simulation.fabric import SimFabric
    from skyops_p2p.simulation.network import SimNetwork

REPLICAS = 8
ASKED = 3
"""Replicas that a get asks."""
PROPAGATION_MEAN_S = 0.2
"""Mean of the exponential time until a replica serves what it was sent: replicas differ meanwhile."""
LOOKUP_HOPS = 3
"""One-way delays spent on finding the replicas, as iterative lookups do."""
VALUES_PER_NODE_MAX = 100_000
PROVIDERS_PER_KEY_MAX = 20_000


class _Shard:
    """What one node stores for others; lost when it stops."""

    __slots__ = ("cache", "providers", "values")

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.providers: dict[str, dict[int, PeerAddrs]] = {}
        self.cache: dict[str, bytes] = {}


class _Answers:
    """Collects replies until there are enough."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self.done = trio.Event()
        self.replies: list[object] = []

    def add(self, reply: object) -> None:
        self.replies.append(reply)
        if len(self.replies) >= self._wanted:
            self.done.set()


class SimDht:
    """All shards of a world.

    Args:
        fabric: Carries the packets.
        stale_reads: Probability that a node answers its own get from a copy that it holds, however old.
    """

    def __init__(self, fabric: "SimFabric", *, stale_reads: float = 0.0) -> None:
        self.stale_reads = stale_reads
        self.propagation_mean_s = PROPAGATION_MEAN_S
        self._fabric = fabric
        self._random = derived_random(fabric.seed, "dht")
        self._rings: dict[str, list[tuple[int, int]]] = {}
        """Network name -> (place, node number) in the order of places: networks never mix."""
        self._shards: dict[int, _Shard] = {}

    def join(self, network: "SimNetwork") -> None:
        """Let a node serve its part of its network's ring."""
        self._shards[network.number] = _Shard()
        insort(self._rings.setdefault(network.name, []), (_place(network.peer_id), network.number))

    def leave(self, network: "SimNetwork") -> None:
        """Lose a node's part."""
        self._shards.pop(network.number, None)
        ring = self._rings[network.name]
        self._rings[network.name] = [entry for entry in ring if entry[1] != network.number]

    def replicas(self, name: str, key: str) -> tuple[int, ...]:
        """Return the nodes that a key of a network belongs to at present."""
        ring = self._rings.get(name, [])
        start = bisect(ring, (_place(key), -1))
        chosen = ring[start : start + REPLICAS]
        chosen += ring[: max(0, min(REPLICAS - len(chosen), start))]
        return tuple(number for _, number in chosen)

    async def put(self, asker: "SimNetwork", key: str, value: bytes, *, timeout_s: float) -> None:
        """See ports.Network.put_record."""
        _check_key(key)
        try:
            asker.dht_rules.validate(key, value)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"our own rules refuse the record {key}: {error}") from error
        cache = self._shard_of(asker).cache
        if key in cache and asker.dht_rules.select(key, [value, cache[key]]) == 1:
            raise LocalProtocolError(
                f"the record {key} is older than the one that we hold", code="record_outdated"
            )
        cache[key] = value
        replies = await self._ask(
            asker,
            key,
            lambda shard, member: self._keep(shard, member, key, value),
            wanted=1,
            timeout_s=timeout_s,
        )
        if not any(replies):
            raise NetworkError(f"no peer stored {key} within {timeout_s:g} s", code="dht_not_stored")

    async def get(self, asker: "SimNetwork", key: str, *, timeout_s: float) -> bytes | None:
        """See ports.Network.get_record."""
        shard = self._shard_of(asker)
        held = shard.cache.get(key)
        if held is not None and self.stale_reads > self._random.random():
            return held
        replies = await self._ask(
            asker, key, lambda shard, _: shard.values.get(key), wanted=ASKED, timeout_s=timeout_s
        )
        offered = [reply for reply in (held, shard.values.get(key), *replies) if isinstance(reply, bytes)]
        valid = [value for value in offered if _is_valid(asker, key, value)]
        if not valid:
            return None
        shard.cache[key] = valid[asker.dht_rules.select(key, valid)]
        return shard.cache[key]

    async def provide(self, asker: "SimNetwork", key: str, *, timeout_s: float) -> None:
        """See ports.Network.provide."""
        _check_key(key)
        entry = PeerAddrs(asker.peer_id, asker.listen_addrs())

        def note(shard: _Shard, _: "SimNetwork") -> bool:
            providers = shard.providers.setdefault(key, {})
            if len(providers) < PROVIDERS_PER_KEY_MAX:
                providers[asker.number] = entry
            return True

        note(self._shard_of(asker), asker)
        if not any(await self._ask(asker, key, note, wanted=1, timeout_s=timeout_s)):
            raise NetworkError(f"no peer noted that we provide {key}", code="dht_not_stored")

    async def find(
        self, asker: "SimNetwork", key: str, *, count_max: int, timeout_s: float
    ) -> tuple[PeerAddrs, ...]:
        """See ports.Network.find_providers."""
        _check_key(key)

        def look(shard: _Shard, _: "SimNetwork") -> tuple[PeerAddrs, ...]:
            return tuple(shard.providers.get(key, {}).values())

        replies = await self._ask(asker, key, look, wanted=ASKED, timeout_s=timeout_s)
        found = dict.fromkeys(look(self._shard_of(asker), asker))
        for reply in replies:
            if isinstance(reply, tuple):
                found.update(dict.fromkeys(reply))
        return tuple(entry for entry in found if entry.peer != asker.peer_id)[:count_max]

    def _shard_of(self, asker: "SimNetwork") -> _Shard:
        """Return a node's own shard; a killed node has none, and finds its network gone."""
        shard = self._shards.get(asker.number)
        if shard is None:
            raise NetworkError("the network is down", code="not_connected")
        return shard

    async def _ask(
        self,
        asker: "SimNetwork",
        key: str,
        serve: "Callable[[_Shard, SimNetwork], object]",
        *,
        wanted: int,
        timeout_s: float,
    ) -> list[object]:
        """Send to all replicas (or to `wanted` of them if that is more than one) and collect their replies."""
        await trio.lowlevel.checkpoint()
        if not asker.connections:
            return []
        replicas = [number for number in self.replicas(asker.name, key) if number != asker.number]
        if wanted > 1 and len(replicas) > wanted:
            replicas = self._random.sample(replicas, wanted)
        answers = _Answers(min(wanted, len(replicas)))
        with trio.move_on_after(timeout_s):
            await trio.sleep(LOOKUP_HOPS * self._fabric.latency.one_way_s(asker.number, asker.number))
            for replica in replicas:
                self._fabric.send(asker.number, replica, self._serve, asker.number, replica, serve, answers)
            if replicas:
                await answers.done.wait()
        return answers.replies

    def _serve(
        self, asker: int, replica: int, serve: "Callable[[_Shard, SimNetwork], object]", answers: _Answers
    ) -> None:
        shard, member = self._shards.get(replica), self._fabric.member(replica)
        if shard is not None and member is not None:
            self._fabric.note("dht", asker, replica)
            self._fabric.send(replica, asker, answers.add, serve(shard, member))

    def _keep(self, shard: _Shard, member: "SimNetwork", key: str, value: bytes) -> bool:
        if not _is_valid(member, key, value) or len(shard.values) >= VALUES_PER_NODE_MAX:
            return False
        if self.propagation_mean_s == 0.0:
            _settle(shard, member, key, value)
            return True
        delay_s = self._random.expovariate(1 / self.propagation_mean_s)
        self._fabric.queue.after(delay_s, _settle, shard, member, key, value)
        return True


def _check_key(key: str) -> None:
    if not 0 < len(key.encode()) <= DHT_KEY_BYTES_MAX:
        raise LocalProtocolError(f"a DHT key has 1 to {DHT_KEY_BYTES_MAX} bytes, not {len(key.encode())}")


def _settle(shard: _Shard, member: "SimNetwork", key: str, value: bytes) -> None:
    held = shard.values.get(key)
    if held is None or member.dht_rules.select(key, [held, value]) == 1:
        shard.values[key] = value


def _is_valid(member: "SimNetwork", key: str, value: bytes) -> bool:
    try:
        member.dht_rules.validate(key, value)
    except RemoteProtocolError:
        return False
    return True


def _place(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")
