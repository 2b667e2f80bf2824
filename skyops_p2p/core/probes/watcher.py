"""A witness: whom it probes in which slot, and what it says of a watch when that is over.

Pure: node/probes, or the simulator, tells it of slots and answers and performs its effects. It keeps nothing over a
restart: of the slots before it a witness says nothing. Spec: protocol/08b-probes.md, "Probing" and "Statements".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.probes.draw import StakeFacts, bar_of, is_heard, lot_of, rank_of
from skyops_p2p.core.probes.probe import Answered, Failed, Probe, ProbeState, SlotEnded
from skyops_p2p.core.probes.statements import make_statement
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.reputation.conduct import Outcome
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.errors import LocalProtocolError
from skyops_p2p.types import MonotonicS, PeerId, UnixMs

FIRST_WITHIN_PERMILLE = 600
"""Part of a slot in which the first question falls, thousandths: the rest is for the second one."""
PAUSE_PERMILLE = 150
"""Part of a slot from a failure to the next question, thousandths."""


@dataclass(frozen=True, slots=True)
class Target:
    """A worker of the map."""

    account: bytes
    peer: PeerId


@dataclass(frozen=True, slots=True)
class SlotBegan(Event):
    """The wall clock has reached another slot."""

    unix_ms: UnixMs
    targets: Sequence[Target]
    """All workers of the map."""
    beacon: bytes | None
    """Of the slot's watch; None: the chain could not be asked."""
    facts: StakeFacts
    has_neighbours: bool
    """Whether any peer is connected: without one, silence is this node's own."""


@dataclass(frozen=True, slots=True)
class ProbeAnswered(Event):
    """AskProbe was answered rightly."""

    account: bytes
    slot: int


@dataclass(frozen=True, slots=True)
class ProbeFailed(Event):
    """AskProbe was not."""

    account: bytes
    slot: int
    is_announced: bool
    """The node has said goodbye, and nothing since."""


@dataclass(frozen=True, slots=True)
class TimeCame(Event):
    """The instant that `next_deadline` named has come."""


@dataclass(frozen=True, slots=True)
class StatementMade(Effect):
    """Keep a statement of this node's own, and then tell it; never another one for its watch."""

    data: bytes
    """Encoded SignedStatement."""


class Watcher:
    """The witness of one wallet.

    Args:
        wallet: Signs what it says.
        network: Name of the network.
        times: The network's.
        salt: Secret of this node: when it asks, nobody can foresee.
        has_spoken: Tells whether this wallet has said anything of a watch already.
    """

    def __init__(
        self,
        wallet: Wallet,
        network: str,
        times: ProbeTimes,
        *,
        salt: bytes,
        has_spoken: Callable[[int], bool],
    ) -> None:
        self.account = address_to_bytes(wallet.address)
        self.asked = 0
        """Questions in all."""
        self._wallet = wallet
        self._network = network
        self._times = times
        self._salt = salt
        self._has_spoken = has_spoken
        self._slot = -1
        self._probes: dict[bytes, Probe] = {}
        """Account -> its probe in this slot."""
        self._seen: dict[bytes, list[Outcome]] = {}
        """Account -> outcomes of the slots of this watch."""

    @property
    def slot(self) -> int:
        """The slot that it is in, -1 before the first."""
        return self._slot

    @property
    def drawn(self) -> frozenset[bytes]:
        """The accounts that it probes in this slot."""
        return frozenset(self._probes)

    def handle(self, event: Event, now: MonotonicS) -> list[Effect]:
        """Take one event and return what is to be done, in order.

        Args:
            event: One of this module.
            now: Monotonic seconds, never less than before.
        """
        if (method := _METHODS.get(type(event))) is None:
            raise LocalProtocolError(f"a witness does not know {type(event).__name__}")
        return method(self, event, now)

    def next_deadline(self) -> MonotonicS | None:
        """Return when TimeCame is due; None: with the next slot."""
        return min(
            (at for one in self._probes.values() if (at := one.next_deadline()) is not None), default=None
        )

    def check_invariants(self) -> None:
        """Raise AssertionError if the parts contradict each other."""
        assert len(self._probes) <= limits.PROBED_MAX
        for account, probe in self._probes.items():
            probe.check_invariants()
            assert probe.account == account != self.account
        assert all(len(rows) == self._times.watch_slots for rows in self._seen.values())

    # --- slots ------------------------------------------------------------------------------------------------------
    def _slot_began(self, event: SlotBegan, now: MonotonicS) -> list[Effect]:
        slot = self._times.slot_at(event.unix_ms)
        if slot <= self._slot:  # the clock went back
            return []
        self._end_slot(now, has_neighbours=event.has_neighbours)
        watch, effects = self._times.watch_of(slot), list[Effect]()
        if self._times.watch_of(self._slot) != watch:
            effects = self._speak()
        self._slot = slot
        for target in self._drawn(event, watch):
            self._probes[target.account] = self._probe(target, slot, event.unix_ms, now)
        return effects

    def _drawn(self, event: SlotBegan, watch: int) -> list[Target]:
        """Return whom this wallet is drawn to probe. Rules: PRB-3, PRB-4."""
        facts, until = event.facts, self._times.beacon_unix_s(watch)
        if event.beacon is None or not is_heard(self.account, facts, until):
            return []
        stake, bar = facts.stakes[self.account].amount, bar_of(facts.total)
        ranked = []
        for target in event.targets:
            if target.account == self.account or not is_heard(target.account, facts, until):
                continue
            lot = lot_of(event.beacon, watch, probed=target.account, witness=self.account)
            rank = rank_of(lot, stake)
            if rank < bar:
                ranked.append((rank, target.account, target))
        return [target for _, _, target in sorted(ranked)[: limits.PROBED_MAX]]

    def _probe(self, target: Target, slot: int, unix_ms: UnixMs, now: MonotonicS) -> Probe:
        secret = sha256(self._salt + slot.to_bytes(8, "big") + target.account)
        within_ms = self._times.slot_ms * FIRST_WITHIN_PERMILLE // 1000
        at_ms = self._times.slot_start(slot) + int.from_bytes(secret[:8], "big") % within_ms
        return Probe(
            target.account,
            target.peer,
            slot,
            at=MonotonicS(now + max(0, at_ms - unix_ms) / 1000),
            pause_s=self._times.slot_ms * PAUSE_PERMILLE / 1_000_000,
            nonces=tuple(sha256(secret + bytes([number]))[:16] for number in range(limits.PROBE_TRIES_MAX)),
        )

    def _end_slot(self, now: MonotonicS, *, has_neighbours: bool) -> None:
        """Note what came of the slot; where nobody was reached and nobody is there, nothing. Rules: PRB-7."""
        for probe in self._probes.values():
            if probe.state in (ProbeState.WAITING, ProbeState.ASKED):
                probe.handle(SlotEnded(), now)
        outcomes = {account: probe.outcome for account, probe in self._probes.items()}
        is_cut_off = not has_neighbours and Outcome.ANSWERED not in outcomes.values()
        place = self._slot % self._times.watch_slots
        for account, outcome in outcomes.items():
            if outcome and not is_cut_off:
                rows = self._seen.setdefault(account, [Outcome.UNASKED] * self._times.watch_slots)
                rows[place] = outcome
        self._probes.clear()

    def _speak(self) -> list[Effect]:
        """Sign what was seen of a watch that is over, unless something was said of it already. Rules: PRB-8."""
        seen, self._seen = self._seen, {}
        watch = self._times.watch_of(self._slot)
        if not seen or self._has_spoken(watch):
            return []
        statement = make_statement(seen, watch, self._wallet, self._network)
        return [] if statement is None else [StatementMade(statement.data)]

    # --- probes -----------------------------------------------------------------------------------------------------
    def _time_came(self, _event: TimeCame, now: MonotonicS) -> list[Effect]:
        effects: list[Effect] = []
        for probe in self._probes.values():
            at = probe.next_deadline()
            if at is not None and at <= now:
                effects += probe.handle(DeadlineReached(), now)
                self.asked += 1
        return effects

    def _probe_answered(self, event: ProbeAnswered, now: MonotonicS) -> list[Effect]:
        return self._tell(event.account, event.slot, Answered(), now)

    def _probe_failed(self, event: ProbeFailed, now: MonotonicS) -> list[Effect]:
        return self._tell(event.account, event.slot, Failed(event.is_announced), now)

    def _tell(self, account: bytes, slot: int, event: Event, now: MonotonicS) -> list[Effect]:
        """Hand on what came of a question, unless its slot is over."""
        probe = self._probes.get(account)
        if probe is None or slot != self._slot or probe.state is not ProbeState.ASKED:
            return []
        return list(probe.handle(event, now))


_METHODS: dict[type[Event], Callable[[Watcher, Any, MonotonicS], list[Effect]]] = {
    SlotBegan: Watcher._slot_began,
    ProbeAnswered: Watcher._probe_answered,
    ProbeFailed: Watcher._probe_failed,
    TimeCame: Watcher._time_came,
}
