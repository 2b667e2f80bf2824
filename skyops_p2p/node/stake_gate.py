"""What this node asks of the stake of those whom it gives jobs to. Spec: protocol/04-auction.md, AUC-40.

A worker is looked at before it is invited, and when it offers a bid unasked; so whoever has too little stands in no bid
book, and an audit needs no chain. Requesters need no stake.
"""

from collections.abc import Iterable, Sequence

from skyops_p2p.core.auction.events import Bidder, Outcome
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.records import VerifiedRecord
from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount, wei_of_credits
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.node.settlement.stakes import AskStake, StakeBook
from skyops_p2p.types import MicroCredits


class StakeGate:
    """Lets workers pass that have enough at stake.

    Args:
        least_wei: What every job of this node asks for.
    """

    def __init__(self, least_wei: int) -> None:
        self._least_wei = least_wei
        self.book: StakeBook | None = None
        """What is known of stakes; None: this node has no contracts, and knows nothing."""

    def open_book(self, ask: AskStake) -> None:
        """Look at stakes from now on.

        Args:
            ask: Asks the chain.
        """
        self.book = StakeBook(ask)

    def least_wei(self, spec: JobSpec) -> int:
        """Return what a job's worker must have at stake: the larger of what the job and this node ask for."""
        return max(self._least_wei, wei_of_credits(MicroCredits(spec.placement.stake_min)))

    async def look(self, records: Iterable[VerifiedRecord | None], least_wei: int) -> None:
        """Ask the chain about those whose stake is not known, if any is asked for."""
        if least_wei and self.book is not None:
            await self.book.look(address_to_bytes(one.binding.wallet) for one in records if one is not None)

    def code(self, record: VerifiedRecord | None, least_wei: int) -> str:
        """Return `stake`, `stake_unknown`, or nothing if a worker has enough.

        Args:
            record: Says which wallet is its own.
            least_wei: See `least_wei`.

        Rules: AUC-40.
        """
        if not least_wei or record is None:
            return ""  # a node without a record is out for that
        stake = None if self.book is None else self.book.of(address_to_bytes(record.binding.wallet))
        if stake is None:
            return "stake_unknown"
        return "stake" if stake < least_wei else ""

    def detail(self, record: VerifiedRecord | None, least_wei: int) -> str:
        """Return what was asked for and what there is, for people; nothing where there is nothing to say."""
        if record is None:
            return ""
        if self.book is None:
            return "this node has no contracts: payment.directory is empty"
        stake = self.book.of(address_to_bytes(record.binding.wallet))
        has = "an unknown amount" if stake is None else format_amount(stake, SKYOPS)
        return f"needs {format_amount(least_wei, SKYOPS)}, has {has}"

    async def split(
        self, bidders: Sequence[Bidder], least_wei: int
    ) -> tuple[tuple[Bidder, ...], tuple[Outcome, ...]]:
        """Split those who would be asked into those who have enough and those who have not, with reasons."""
        if not least_wei:
            return tuple(bidders), ()
        await self.look([bidder.record for bidder in bidders], least_wei)
        passed, others = list[Bidder](), list[Outcome]()
        for bidder in bidders:
            code = self.code(bidder.record, least_wei)
            if code:
                others.append(Outcome(bidder.peer, code, self.detail(bidder.record, least_wei)))
            else:
                passed.append(bidder)
        return tuple(passed), tuple(others)
