"""Runs the witness of this node's wallet: slot by slot it asks those that it is drawn for.

One task owns the witness. Spec: protocol/08b-probes.md, "Probing".
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from skyops_p2p import limits
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.presence import NodeState
from skyops_p2p.core.probes.answering import challenge_of, check_answer
from skyops_p2p.core.probes.draw import StakeFacts
from skyops_p2p.core.probes.probe import AskProbe
from skyops_p2p.core.probes.watcher import (
    ProbeAnswered,
    ProbeFailed,
    SlotBegan,
    StatementMade,
    Target,
    TimeCame,
    Watcher,
)
from skyops_p2p.core.rules import PROBES_PROTOCOL
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.host import Host
from skyops_p2p.node.probes.beacons import Beacons
from skyops_p2p.node.reputation.standing import account_in
from skyops_p2p.ports import Network, WallClock
from skyops_p2p.types import MonotonicS, PeerId

log = logging.getLogger(__name__)


class Witness:
    """Watches others for as long as it runs.

    Args:
        watcher: Decides.
        core: Its map says whom there is to watch.
        network: To ask through.
        host: Dials.
        beacons: Say by which block lots are drawn.
        facts: Returns what the chain has said of stakes.
        wall_clock: Says which slot it is.
        spoke: Keeps each statement of this wallet, and then tells it.
    """

    def __init__(
        self,
        watcher: Watcher,
        core: NodeCore,
        network: Network,
        *,
        host: Host,
        beacons: Beacons,
        facts: Callable[[], StakeFacts],
        wall_clock: WallClock,
        spoke: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self.watcher = watcher
        self._core = core
        self._network = network
        self._host = host
        self._beacons = beacons
        self._facts = facts
        self._wall_clock = wall_clock
        self._spoke = spoke
        self._times = core.rules.probe_times
        self._at_once = trio.CapacityLimiter(limits.PROBES_AT_ONCE_MAX)
        self._events_in, self._events_out = trio.open_memory_channel[Event](2 * limits.PROBED_MAX)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                slot = self._times.slot_at(self._wall_clock.now_ms())
                if slot > self.watcher.slot:
                    await self._step(await self._began(slot), nursery)
                due = self.watcher.next_deadline()
                event: Event = TimeCame()
                with trio.move_on_at(min(self._next_slot_at(), float("inf") if due is None else due)):
                    event = await self._events_out.receive()
                await self._step(event, nursery)

    async def _began(self, slot: int) -> SlotBegan:
        beacon = await self._beacons.current(self._times.watch_of(slot))
        return SlotBegan(
            self._wall_clock.now_ms(),
            self._targets(),
            beacon,
            self._facts(),
            has_neighbours=bool(self._network.connected_peers()),
        )

    def _targets(self) -> list[Target]:
        """Return the workers of the map, those that nobody reaches among them. Rules: PRB-4."""
        found = []
        for entry in self._core.nodes:
            account = account_in(entry)
            is_worker = entry.record is not None and entry.record.is_worker
            is_out = entry.peer == self._core.peer_id or entry.presence.state is NodeState.SLASHED
            if account is not None and is_worker and not is_out:
                found.append(Target(account, entry.peer))
        return found

    def _next_slot_at(self) -> float:
        """Return when the next slot begins; looked at again each minute at the latest, for clocks are set."""
        begins_ms = self._times.slot_start(self._times.slot_at(self._wall_clock.now_ms()) + 1)
        left_s = (begins_ms - self._wall_clock.now_ms()) / 1000
        return trio.current_time() + min(left_s + 0.001, 60.0)

    async def _step(self, event: Event, nursery: trio.Nursery) -> None:
        for effect in self.watcher.handle(event, MonotonicS(trio.current_time())):
            await self._perform(effect, nursery)

    async def _perform(self, effect: Effect, nursery: trio.Nursery) -> None:
        match effect:
            case AskProbe():
                nursery.start_soon(self._ask, effect)
            case StatementMade(data):
                await self._spoke(data)

    async def _ask(self, probe: AskProbe) -> None:
        event: Event = ProbeAnswered(probe.account, probe.slot)
        timeout_s = min(limits.PROBE_TIMEOUT_S, self._times.slot_ms / 10_000)
        protocol = self._core.rules.protocol_id(PROBES_PROTOCOL)
        async with self._at_once:
            try:
                with trio.fail_after(timeout_s):
                    await self._host.connect(probe.peer, timeout_s=timeout_s)
                    challenge = challenge_of(probe.slot, probe.nonce)
                    reply = await self._network.request(probe.peer, protocol, challenge, timeout_s=timeout_s)
                check_answer(
                    reply,
                    slot=probe.slot,
                    nonce=probe.nonce,
                    witness=self._core.peer_id,
                    probed=probe.peer,
                    network=self._core.rules.network,
                )
            except (SkyopsError, trio.TooSlowError) as error:
                code = getattr(error, "code", "timeout")
                log.info("probe_not_answered peer=%s slot=%d code=%s", probe.peer[-8:], probe.slot, code)
                event = ProbeFailed(probe.account, probe.slot, self._has_left(probe.peer))
        await self._events_in.send(event)

    def _has_left(self, peer: PeerId) -> bool:
        """Tell whether a node has said goodbye, and nothing since. Rules: PRB-7."""
        entry = self._core.nodes.get(peer)
        return entry is not None and entry.beat is not None and entry.beat.message.is_leaving
