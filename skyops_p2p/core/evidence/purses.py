"""Which pairs have money on chain, as far as this node has looked, and what waits for such a look. Pure.

A receipt of a pair without money costs nothing to make: to hold such receipts would let anybody fill the memory of
everybody. Spec: protocol/07b-receipts.md, "What is held".
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from skyops_p2p import limits
from skyops_p2p.core.evidence.events import JudgePair, Pair
from skyops_p2p.core.evidence.gate import CHAIN_AWAY, Gate
from skyops_p2p.core.machine import Effect
from skyops_p2p.types import MonotonicS

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class _Belief:
    is_funded: bool
    held_s: float
    until: MonotonicS


class Purses(Generic[Thing]):
    """What is believed of pairs, and what waits: receipts, or verdicts."""

    def __init__(self) -> None:
        self._believed: OrderedDict[Pair, _Belief] = OrderedDict()
        self._waiting: dict[Pair, list[Thing]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def is_funded(self, pair: Pair, now: MonotonicS) -> bool | None:
        """Tell whether a pair has money on chain; None: the chain must be asked. Rules: RCP-6."""
        belief = self._believed.get(pair)
        return belief.is_funded if belief is not None and now < belief.until else None

    def refuse(self, gate: Gate, names: frozenset[bytes], pair: Pair, now: MonotonicS) -> None:
        """Have what is not held for want of its pair's money not asked for, until the chain is asked again of it."""
        if self.is_funded(pair, now) is None:
            gate.refuse(names, CHAIN_AWAY, now, rest_s=limits.CHAIN_SILENT_S)
        else:
            gate.refuse(names, "unfunded", now, rest_s=self._believed[pair].until - now)

    def put_aside(self, pair: Pair, thing: Thing) -> list[Effect]:
        """Let something wait for a look at its pair's money; what finds no room is found again later."""
        if self._count >= limits.RECEIPTS_PENDING_MAX:
            return []
        self._count += 1
        is_new = pair not in self._waiting
        self._waiting.setdefault(pair, []).append(thing)
        return [JudgePair(pair)] if is_new else []

    def judge(self, pair: Pair, is_funded: bool | None, now: MonotonicS) -> list[Thing]:
        """Take a look's outcome; return what waited for it. None: the chain could not be asked."""
        if is_funded is not None:
            held_s = limits.PAIR_JUDGED_S if is_funded else self._doubt_s(pair)
            self._believed[pair] = _Belief(is_funded, held_s, MonotonicS(now + held_s))
            self._believed.move_to_end(pair)
            while len(self._believed) > limits.PAIRS_JUDGED_MAX:
                self._believed.popitem(last=False)
        waiting = self._waiting.pop(pair, [])
        self._count -= len(waiting)
        return waiting

    def _doubt_s(self, pair: Pair) -> float:
        """Return how long to believe that there is no money: receipts come before it often, so not long at first."""
        before = self._believed.get(pair)
        if before is None or before.is_funded:
            return limits.PAIR_UNFUNDED_S
        return min(2 * before.held_s, limits.RECEIPT_REFUSED_S)
