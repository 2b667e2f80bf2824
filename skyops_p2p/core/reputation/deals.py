"""What a receipt says of its two parties: a deal, and the ratings that all deals of a pair come to. Pure.

Only money that the pair has moved on chain counts, and each credit of it once, however the receipts are cut. Spec:
protocol/08-reputation.md, "Evidence".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from skyops_p2p.core.evidence.items import Evidence
from skyops_p2p.core.execution.outcomes import Cause, outcome_of
from skyops_p2p.core.reputation.conduct import EPOCH_MS
from skyops_p2p.core.reputation.ratings import Kind, Rating, Role
from skyops_p2p.core.reputation.standings import Comparison
from skyops_p2p.core.settlement.amounts import CREDIT_MICRO, SKYOPS, wei_from_bytes
from skyops_p2p.core.settlement.prices import HOUR_MS, charge
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.messages.settlement import Receipt

WEI_PER_MICRO = SKYOPS.one // CREDIT_MICRO
UNPROVEN_DIVISOR = 4
"""What nobody else has checked counts a quarter: good work, and complaints of one side."""
NO_RATIOS: Mapping[bytes, int] = MappingProxyType({})
LEVEL_DRAWN, LEVEL_JURY = 2, 3
"""Checks by others whom neither party chose; below it is a requester's own check."""


class Answered(NamedTuple):
    """One worker's answer."""

    worker: bytes
    """Account."""
    result: bytes
    """Digest of its enveloped ResultReceipt."""


@dataclass(frozen=True, slots=True)
class Deal:
    """A receipt whose halves are right, as far as the score looks at it."""

    receipt: bytes
    """SHA-256 of the encoded Receipt: its name."""
    requester: bytes
    worker: bytes
    outcome: str
    ended_unix_ms: UnixMs
    metered_ms: int
    """The smaller of both runtimes."""
    rate: int
    """Wei for an hour."""
    amount: int
    """Wei."""
    cumulative: int
    """Wei."""
    requester_place: ChainPlace | None = None
    """Where the requester's half stands in its chain; None: it has not signed."""
    worker_place: ChainPlace | None = None
    result: bytes = b""
    """SHA-256 of the enveloped ResultReceipt; by it verdicts name what they are about."""
    class_milli: int = 0
    """Class index of all devices together, thousandths; 0: a job without GPUs."""

    @property
    def answered(self) -> Answered:
        """Whose answer it is about."""
        return Answered(self.worker, self.result)

    @property
    def epoch(self) -> int:
        """In which it ended."""
        return self.ended_unix_ms // EPOCH_MS

    @property
    def is_cosigned(self) -> bool:
        """Both have signed."""
        return self.requester_place is not None and self.worker_place is not None


@dataclass(frozen=True, slots=True)
class Check:
    """What somebody found who looked at a result; whoever hands it in has verified its proof (chapter 06)."""

    proof: bytes
    """32 bytes: its name."""
    receipt: bytes
    """SHA-256 of the encoded Receipt."""
    level: int
    """1: the requester's own; 2: replicas drawn after the result was committed; 3: a verdict."""
    is_right: bool
    decided_unix_ms: UnixMs
    compared: tuple[Answered, ...] = ()
    """All answers that were found equal, this one among them; empty: a wrong one, or nothing was compared."""
    checkers: tuple[bytes, ...] = ()
    """Accounts of those who looked."""


@dataclass(frozen=True, slots=True)
class Offence:
    """A fault beside wrong results that is proved or adjudicated: a false award, a dispute that was lost."""

    proof: bytes
    """32 bytes: its name."""
    account: bytes
    role: Role
    """As what it did it."""
    victim: bytes
    value: int
    """Microcredits that were at stake."""
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class PairMoney:
    """What the chain says of a pair at some height."""

    redeemed: int
    """Wei that the worker has redeemed of the requester."""
    funded: int
    """That, and what is allotted now; wei."""
    height: int
    """Of the block, or another number that grows from one look to the next."""


@dataclass(frozen=True, slots=True)
class PairRatings:
    """What all deals of a pair come to."""

    ratings: Mapping[Role, tuple[Rating, ...]] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    by_receipt: Mapping[bytes, tuple[tuple[Role, Rating], ...]] = field(default_factory=dict)
    """Receipt -> what follows from it."""


def deal_of(item: Evidence, receipt: Receipt) -> Deal:
    """Return what counts of a receipt that was checked.

    Args:
        item: As `core.evidence.items.open_evidence` gave it, or as it is held.
        receipt: Its content.

    Rules: REP-3.
    """
    return Deal(
        receipt=item.digest,
        requester=item.requester,
        worker=item.worker,
        outcome=receipt.outcome,
        ended_unix_ms=item.ended_unix_ms,
        metered_ms=min(receipt.requester_counts.runtime_ms, receipt.worker_counts.runtime_ms),
        rate=wei_from_bytes(receipt.rate, bits=96),
        amount=wei_from_bytes(receipt.amount, bits=96),
        cumulative=wei_from_bytes(receipt.cumulative, bits=96),
        class_milli=receipt.class_milli,
        requester_place=item.requester_place,
        worker_place=item.worker_place,
        result=receipt.result,
    )


def ratings_of(
    deals: Iterable[Deal],
    checks: Mapping[bytes, Check],
    money: PairMoney,
    ratios: Mapping[bytes, int] = NO_RATIOS,
) -> PairRatings:
    """Return what all deals of one pair come to; their order does not matter.

    Args:
        deals: Of one requester with one worker.
        checks: Receipt -> the check that decides (`deciding`).
        money: What the pair has moved.
        ratios: Receipt -> reference over metered time, millionths, where speed was compared (`pace`).

    Rules: REP-4 to REP-8.
    """
    purse = _Purse(money)
    comparisons: list[Comparison] = []
    found: dict[bytes, tuple[tuple[Role, Rating], ...]] = {}
    for deal in sorted(deals, key=lambda deal: (deal.cumulative, deal.receipt)):
        check = checks.get(deal.receipt)
        settled = purse.settled(deal) if deal.is_cosigned else 0
        found[deal.receipt] = tuple(_ratings(deal, check, settled, purse))
        ratio = ratios.get(deal.receipt)
        if check and check.level >= LEVEL_DRAWN and settled and ratio is not None:
            comparisons.append(
                Comparison(deal.requester, deal.worker, settled // WEI_PER_MICRO, deal.epoch, ratio)
            )
    by_role = {
        role: tuple(rating for pairs in found.values() for its, rating in pairs if its is role)
        for role in Role
    }
    return PairRatings(by_role, tuple(comparisons), found)


def deciding(checks: Iterable[Check], deal: Deal) -> Check | None:
    """Return the check that decides: of the highest level; of two that contradict each other, the worse.

    A check by a party of the deal is none.

    Rules: REP-6.
    """
    parties = {deal.requester, deal.worker}
    valid = [check for check in checks if check.level < LEVEL_DRAWN or parties.isdisjoint(check.checkers)]
    return max(
        valid,
        key=lambda check: (check.level, not check.is_right, check.proof),
        default=None,
    )


def own_ratings(deals: Iterable[Deal], checks: Mapping[bytes, Check | None], role: Role) -> list[Rating]:
    """Return what one side of deals has seen itself of the other, each at its full value. Rules: REP-22.

    Args:
        deals: Of one requester with one worker.
        checks: Receipt -> the check that decides, also a requester's own.
        role: Of the other side.
    """
    found = []
    for deal in deals:
        cause, check = outcome_of(deal.outcome).cause, checks.get(deal.receipt)
        if role is Role.REQUESTER:
            has_paid = deal.requester_place is not None
            kind, wei = (Kind.GOOD, deal.amount) if has_paid else (Kind.SOFT, _failure(deal))
            found.append(_of_requester(deal, kind, wei, 1)[1])
        elif check is not None and not check.is_right:
            found.append(_of_worker(deal, Kind.WRONG, _failure(deal), 1)[1])
        elif cause is Cause.WORKER:
            found.append(_of_worker(deal, Kind.SOFT, _failure(deal), 1)[1])
        elif cause is Cause.NONE and deal.is_cosigned:
            found.append(_of_worker(deal, Kind.GOOD, deal.amount, 1)[1])
    return found


class _Purse:
    """The pair's money on chain, of which each part counts once."""

    def __init__(self, money: PairMoney) -> None:
        self._redeemed, self._funded = money.redeemed, max(money.funded, money.redeemed)
        self._settled = self._failed = 0

    def settled(self, deal: Deal) -> int:
        """Return the wei of a deal that were redeemed and are counted in no earlier one. Rules: REP-4."""
        free = min(deal.cumulative, self._redeemed) - self._settled
        part = max(0, min(deal.amount, free))
        self._settled += part
        return part

    def failed(self, deal: Deal) -> int:
        """Return the wei that a failure counts for: an hour at its rate at least, all failures no more than is funded.

        Rules: REP-7.
        """
        part = min(_failure(deal), self._funded - self._failed)
        self._failed += part
        return part

    def judged(self, deal: Deal) -> int:
        """Return the wei that a verdict is about: a wrong result costs no less than none. Rules: REP-6."""
        return min(_failure(deal), self._funded)


def _ratings(deal: Deal, check: Check | None, settled: int, purse: _Purse) -> Iterable[tuple[Role, Rating]]:
    cause = outcome_of(deal.outcome).cause
    is_drawn = check is not None and check.level >= LEVEL_DRAWN
    if not deal.is_cosigned:
        if deal.requester_place is None:  # its worker says that it does not pay
            yield _of_requester(deal, Kind.SOFT, purse.failed(deal), UNPROVEN_DIVISOR)
        elif cause is Cause.WORKER:
            yield _of_worker(deal, Kind.SOFT, purse.failed(deal), UNPROVEN_DIVISOR)
        return
    divisor = 1 if is_drawn else UNPROVEN_DIVISOR  # REP-5
    if settled:
        yield _of_requester(deal, Kind.GOOD, settled, divisor)
    if is_drawn and check is not None and not check.is_right:
        yield _of_worker(deal, Kind.WRONG, purse.judged(deal), 1)
    elif cause is Cause.NONE and settled:
        yield _of_worker(deal, Kind.GOOD, settled, divisor)
    elif cause is Cause.WORKER:
        yield _of_worker(deal, Kind.SOFT, purse.failed(deal), 1)


def _failure(deal: Deal) -> int:
    """Return the wei that a failure counts for where money is no bound: an hour at its rate at least. Rules: REP-7."""
    return max(deal.amount, charge(deal.rate, HOUR_MS))


def _of_worker(deal: Deal, kind: Kind, wei: int, divisor: int) -> tuple[Role, Rating]:
    value = wei // WEI_PER_MICRO // divisor
    return Role.WORKER, Rating(deal.requester, deal.worker, kind, value, deal.epoch)


def _of_requester(deal: Deal, kind: Kind, wei: int, divisor: int) -> tuple[Role, Rating]:
    value = wei // WEI_PER_MICRO // divisor
    return Role.REQUESTER, Rating(deal.worker, deal.requester, kind, value, deal.epoch)
