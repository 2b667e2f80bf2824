"""How fast equal results were made: what each of them took, and by which time all of them are measured. Pure.

Nobody is timed by its own word: the time is what both sides have metered, and the reference comes from workers whose
answers were found equal (chapter 06). Spec: protocol/08-reputation.md, "Efficiency".
"""

from collections import defaultdict
from collections.abc import Iterable

from skyops_p2p.core.auction.class_index import REFERENCE_MILLI
from skyops_p2p.core.reputation.deals import Answered, Check, Deal
from skyops_p2p.core.reputation.fixed import MILLION

COMPARED_LEAST = 2
"""Answers without which there is nothing to compare."""


def work_of(deal: Deal) -> int:
    """Return what a job took, in thousandths of a millisecond of the reference class; without GPUs as one of it.

    Rules: REP-19.
    """
    return deal.metered_ms * (deal.class_milli or REFERENCE_MILLI)


def reference_of(works: Iterable[int]) -> int | None:
    """Return the lower median of what equal answers took; None if fewer than two are known. Rules: REP-19."""
    known = sorted(work for work in works if work > 0)
    return known[(len(known) - 1) // 2] if len(known) >= COMPARED_LEAST else None


def ratio_of(reference: int, deal: Deal) -> int:
    """Return the reference over what a deal took, millionths.

    Args:
        reference: Of `reference_of`.
        deal: It has a metered time.

    Rules: REP-19.
    """
    return reference * MILLION // work_of(deal)


class Paces:
    """The receipts of a ledger by the answers that they are about."""

    def __init__(self) -> None:
        self._deals: defaultdict[Answered, dict[bytes, Deal]] = defaultdict(dict)
        """Answer -> receipt -> deal: two may name one result."""

    def put(self, deal: Deal) -> None:
        """Take a receipt in, or with another half."""
        self._deals[deal.answered][deal.receipt] = deal

    def drop(self, deal: Deal) -> None:
        """Forget a receipt."""
        of_answer = self._deals[deal.answered]
        of_answer.pop(deal.receipt, None)
        if not of_answer:
            del self._deals[deal.answered]

    def reference(self, deal: Deal, check: Check) -> int | None:
        """Return what a deal is measured by; None if it is in no comparison, or no other receipt is held.

        A receipt counts if both sides have signed it and its requester is the deal's: else anybody could sign one that
        says how fast somebody else's answer was.

        Rules: REP-19.
        """
        if deal.answered not in check.compared or not deal.metered_ms:
            return None
        works = []
        for answer in check.compared:
            held = self._deals[answer].values() if answer in self._deals else ()
            of_answer = [its for its in held if its.is_cosigned and its.requester == deal.requester]
            if of_answer:
                works.append(work_of(min(of_answer, key=lambda its: its.receipt)))
        return reference_of(works)
