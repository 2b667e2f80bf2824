"""Which pairs have money on chain, as far as this node has looked, and what waits for such a look. Pure.

A receipt of a pair without money costs nothing to make: to hold such receipts would let anybody fill the memory of
everybody. Spec: protocol/07b-receipts.md, "What is held".
"""

from collections import OrderedDict
from typing import Generic, TypeVar

from skyops_p2p import limits
from skyops_p2p.core.evidence.events import JudgePair, Pair
from skyops_p2p.core.machine import Effect
from skyops_p2p.types import MonotonicS

Thing = TypeVar("Thing")


class Purses(Generic[Thing]):
    """What is believed of pairs, and what waits: receipts, or verdicts."""

    def __init__(self) -> None:
        self._believed: OrderedDict[Pair, tuple[bool, MonotonicS]] = OrderedDict()
        """Whether it has money, and until when that is believed."""
        self._waiting: dict[Pair, list[Thing]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def is_funded(self, pair: Pair, now: MonotonicS) -> bool | None:
        """Tell whether a pair has money on chain; None: the chain must be asked. Rules: RCP-6."""
        is_funded, until = self._believed.get(pair, (False, now))
        return is_funded if now < until else None

    def put_aside(self, pair: Pair, thing: Thing) -> list[Effect]:
        """Let something wait for a look at its pair's money; what finds no room is found again later."""
        if self._count >= limits.RECEIPTS_PENDING_MAX:
            return []
        self._count += 1
        is_new = pair not in self._waiting
        self._waiting.setdefault(pair, []).append(thing)
        return [JudgePair(pair)] if is_new else []

    def judge(self, pair: Pair, is_funded: bool | None, now: MonotonicS) -> list[Thing]:
        """Take a look's outcome; return what waited for it."""
        if is_funded is not None:
            until_s = limits.PAIR_JUDGED_S if is_funded else limits.RECEIPT_REFUSED_S
            self._believed[pair] = (is_funded, MonotonicS(now + until_s))
            self._believed.move_to_end(pair)
            while len(self._believed) > limits.PAIRS_JUDGED_MAX:
                self._believed.popitem(last=False)
        waiting = self._waiting.pop(pair, [])
        self._count -= len(waiting)
        return waiting
