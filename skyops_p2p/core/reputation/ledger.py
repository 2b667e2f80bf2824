"""All evidence that a node holds, kept so that scores come from what changed. Pure.

Evidence may come in any order and any number of times: the scores are those of the set. Receipts are taken only of
pairs that have money on chain, so that to fill a ledger costs what trading costs. Spec: protocol/08-reputation.md,
"Evidence".
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from skyops_p2p import limits
from skyops_p2p.core.reputation.conduct import EPOCH_MS, Day
from skyops_p2p.core.reputation.deals import (
    LEVEL_DRAWN,
    Check,
    Deal,
    Offence,
    PairMoney,
    PairRatings,
    deciding,
    own_ratings,
    ratings_of,
)
from skyops_p2p.core.reputation.explanation import Source
from skyops_p2p.core.reputation.findings import LEVEL_OWN, Finding, Findings, rating_of
from skyops_p2p.core.reputation.newest import Newest
from skyops_p2p.core.reputation.pace import Paces, ratio_of
from skyops_p2p.core.reputation.parameters import DEFAULTS, Parameters
from skyops_p2p.core.reputation.ratings import Kind, Pair, Rating, RatingBook, Role, Sums
from skyops_p2p.core.reputation.standings import Assessment, Inputs
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.types import UnixMs

NOTHING = PairMoney(redeemed=0, funded=0, height=0)


class Ledger:
    """Evidence of one market.

    Args:
        parameters: The network's.
        deals_max: Receipts that are kept.
    """

    def __init__(
        self, parameters: Parameters = DEFAULTS, *, deals_max: int = limits.REPUTATION_DEALS_MAX
    ) -> None:
        self._parameters = parameters
        self._deals: Newest[Deal] = Newest(deals_max)
        self._of_pair: dict[Pair, Newest[Deal]] = {}
        """(requester, worker) -> its deals."""
        self._checks: Newest[Check] = Newest(limits.REPUTATION_CHECKS_MAX)
        self._checks_of: defaultdict[bytes, dict[bytes, Check]] = defaultdict(dict)
        """Receipt -> proof -> check."""
        self._findings = Findings()
        self._lone: dict[Pair, tuple[Finding, ...]] = {}
        """What the books hold of each pair that no receipt says."""
        self._paces = Paces()
        self._offences: Newest[Offence] = Newest(limits.REPUTATION_OFFENCES_MAX)
        self._money: dict[Pair, PairMoney] = {}
        self._days: Mapping[bytes, Mapping[int, Day]] = {}
        self._doubled: frozenset[bytes] = frozenset()
        self._banned: OrderedDict[bytes, None] = OrderedDict()
        self._books = {role: RatingBook(parameters) for role in Role}
        self._given: dict[Pair, PairRatings] = {}
        """What the books hold of each pair."""
        self._changed: set[Pair] = set()

    def __len__(self) -> int:
        return len(self._deals)

    @property
    def banned(self) -> frozenset[bytes]:
        """Accounts with a double history."""
        return frozenset(self._banned)

    def set_money(self, requester: bytes, worker: bytes, money: PairMoney) -> None:
        """Say what a pair has moved on chain; what is of an older height than is known changes nothing."""
        pair = (requester, worker)
        known = self._money.get(pair, NOTHING)
        if money.height >= known.height:
            self._money[pair] = money
            if (money.redeemed, money.funded) != (known.redeemed, known.funded):
                self._changed.add(pair)

    def add_deal(self, deal: Deal, *, now: UnixMs) -> bool:
        """Take a receipt in; return whether it is held now.

        It is not if it ends in the future, if its pair has no money on chain, or if it is older than all that fits.
        A receipt that is there already gains the halves that it lacked.

        Rules: REP-4, REP-8, REP-23.
        """
        pair = (deal.requester, deal.worker)
        is_due = deal.ended_unix_ms <= now + limits.CLOCK_SKEW_MS_MAX
        if not is_due or not self._money.get(pair, NOTHING).funded:
            return False
        known = self._deals.get(deal.receipt)
        if known is not None:
            deal = _joined(known, deal)
        is_in, gone = self._deals.put(deal.receipt, deal.ended_unix_ms, deal)
        if gone is not None:
            self._drop(gone, is_of_pair=True)
        if not is_in:
            return False
        of_pair = self._of_pair.setdefault(pair, Newest(limits.REPUTATION_DEALS_PER_PAIR_MAX))
        is_in, gone = of_pair.put(deal.receipt, deal.ended_unix_ms, deal)
        for lost in [gone] if gone is not None else [] if is_in else [deal]:
            self._deals.discard(lost.receipt)
            self._drop(lost, is_of_pair=False)
        if is_in:
            self._paces.put(deal)
            self._touch_compared(deal)
        self._changed.add(pair)
        return is_in

    def forget_deal(self, receipt: bytes) -> None:
        """Take a receipt out that is not held any more; nothing happens if it is not there."""
        deal = self._deals.get(receipt)
        if deal is not None:
            self._deals.discard(receipt)
            self._drop(deal, is_of_pair=True)

    def add_check(self, check: Check) -> bool:
        """Take in what somebody found of a result; return whether it is held now. Rules: REP-6."""
        if self._checks.get(check.proof) is not None:
            return True
        is_in, gone = self._checks.put(check.proof, check.decided_unix_ms, check)
        if gone is not None:
            self._checks_of[gone.receipt].pop(gone.proof)
            self._touch(gone.receipt)
            if not self._checks_of[gone.receipt]:
                del self._checks_of[gone.receipt]
        if is_in:
            self._checks_of[check.receipt][check.proof] = check
            self._touch(check.receipt)
        return is_in

    def add_finding(self, finding: Finding) -> bool:
        """Take in what a verdict says of a result; return whether it is held now. Rules: REP-6, REP-37."""
        is_in, changed = self._findings.add(finding)
        self._changed |= changed
        return is_in

    def forget_finding(self, proof: bytes) -> None:
        """Take a finding out whose verdict is not held any more; nothing happens if it is not there."""
        pair = self._findings.forget(proof)
        if pair is not None:
            self._changed.add(pair)

    def add_offence(self, offence: Offence) -> bool:
        """Take in a fault beside wrong results; return whether it is held now. Rules: REP-8."""
        if self._offences.get(offence.proof) is not None:
            return True
        is_in, gone = self._offences.put(offence.proof, offence.unix_ms, offence)
        if gone is not None:
            self._books[gone.role].remove([_offence_rating(gone)])
        if is_in:
            self._books[offence.role].add([_offence_rating(offence)])
        return is_in

    def ban(self, account: bytes) -> None:
        """Count nothing of an account any more, and give it no score: it has two pasts, as core/evidence found.

        Rules: REP-21.
        """
        self._banned.setdefault(account)
        while len(self._banned) > limits.REPUTATION_BANNED_MAX:
            self._banned.popitem(last=False)

    def set_days(
        self, days: Mapping[bytes, Mapping[int, Day]], *, doubled: frozenset[bytes] = frozenset()
    ) -> None:
        """Say what all probes came to, in the place of what was said before. Rules: REP-17, REP-18.

        Args:
            days: Account -> epoch -> its slots.
            doubled: Witnesses that have contradicted themselves.
        """
        self._days, self._doubled = days, doubled

    def assess(self, role: Role, stakes: Mapping[bytes, Stake], *, epoch: int) -> Assessment:
        """Return the scores of all accounts in one role.

        Args:
            role: Which.
            stakes: Of all registered accounts, at one block.
            epoch: Days since 1970.
        """
        self._changed |= self._findings.know(stakes, self._banned)
        for pair in self._changed:
            self._rate(pair)
        self._changed.clear()
        comparisons = tuple(found for given in self._given.values() for found in given.comparisons)
        inputs = Inputs(stakes, self._days, comparisons, self.banned, self._doubled)
        return Assessment(self._books[role], role, inputs, epoch=epoch, parameters=self._parameters)

    def sources_of(self, account: bytes, role: Role) -> list[Source]:
        """Return the receipts and verdicts that rate an account in a role, as of the last assessment."""
        found = []
        for given in self._given.values():
            for receipt, ratings in given.by_receipt.items():
                deal = self._deals.get(receipt)
                found += [
                    Source(rating, deal.ended_unix_ms, deal, self._verdict_about(deal))
                    for its, rating in ratings
                    if deal is not None and its is role and rating.rated == account
                ]
        if role is Role.WORKER:
            found += [
                Source(rating_of(one), one.decided_unix_ms, None, one.verdict)
                for pair, lone in self._lone.items()
                for one in lone
                if pair[1] == account
            ]
        return found

    def experience(self, own: bytes, other: bytes, role: Role, *, epoch: int) -> Sums:
        """Return what an account has seen of another, at full value, whether it was settled or not. Rules: REP-22.

        Args:
            own: Whose view.
            other: Of whom.
            role: As what the other dealt with it.
            epoch: Days since 1970.
        """
        deals = self._of_pair.get((own, other) if role is Role.WORKER else (other, own))
        book = RatingBook(self._parameters)
        if deals is not None:
            checks = {deal.receipt: deciding(self._checks_of_deal(deal), deal) for deal in deals}
            book.add(own_ratings(deals, checks, role))
        if role is Role.WORKER:
            lone = self._findings.lone_of((own, other), deals or (), level=LEVEL_OWN)
            book.add(replace(rating_of(one), kind=Kind.WRONG) for one in lone)
        return book.sums(epoch).get((own, other), Sums())

    def check_of(self, receipt: bytes) -> Check | None:
        """Return the check that decides about a receipt; None: nobody has checked it, or the receipt is not held."""
        deal = self._deals.get(receipt)
        return None if deal is None else deciding(self._checks_of_deal(deal), deal)

    def worker_checks(self) -> dict[bytes, tuple[int, int]]:
        """Return for each worker with a checked result: right ones in a row until now, and all of them. Rules: REP-27.

        Only checks count that neither side of the deal chose; as of the last assessment.
        """
        found: defaultdict[bytes, list[tuple[int, bytes, bool]]] = defaultdict(list)
        for deal in self._checked_deals():
            check = deciding(self._checks_of_deal(deal), deal)
            if check is not None and check.level >= LEVEL_DRAWN:
                found[deal.worker].append((check.decided_unix_ms, check.proof, check.is_right))
        for (_, worker), lone in self._lone.items():
            found[worker] += [(one.decided_unix_ms, one.proof, False) for one in lone]
        return {worker: _streak(one[2] for one in sorted(rows)) for worker, rows in found.items()}

    def _rate(self, pair: Pair) -> None:
        deals = list(self._of_pair.get(pair, ()))
        given = PairRatings()
        if deals:
            checks = {deal.receipt: deciding(self._checks_of_deal(deal), deal) for deal in deals}
            decided = {receipt: check for receipt, check in checks.items() if check is not None}
            given = ratings_of(deals, decided, self._money.get(pair, NOTHING), self._ratios(deals, decided))
        before = self._given.pop(pair, PairRatings())
        for role, book in self._books.items():
            book.remove(before.ratings.get(role, ()))
            book.add(given.ratings.get(role, ()))
        if deals:
            self._given[pair] = given
        self._rate_lone(pair, deals)

    def _ratios(self, deals: Iterable[Deal], checks: Mapping[bytes, Check]) -> dict[bytes, int]:
        """Return by receipt how fast it was beside equal answers, where that is known. Rules: REP-19."""
        found = {}
        for deal in deals:
            check = checks.get(deal.receipt)
            reference = None if check is None else self._paces.reference(deal, check)
            if reference is not None:
                found[deal.receipt] = ratio_of(reference, deal)
        return found

    def _rate_lone(self, pair: Pair, deals: Iterable[Deal]) -> None:
        lone, book = tuple(self._findings.lone_of(pair, deals)), self._books[Role.WORKER]
        book.remove(rating_of(one) for one in self._lone.pop(pair, ()))
        book.add(rating_of(one) for one in lone)
        if lone:
            self._lone[pair] = lone

    def _checks_of_deal(self, deal: Deal) -> list[Check]:
        checks = self._checks_of[deal.receipt].values() if deal.receipt in self._checks_of else ()
        return [*checks, *self._findings.checks_of(deal)]

    def _checked_deals(self) -> Iterable[Deal]:
        """Return the deals of which anybody has checked anything, once each."""
        found = {
            receipt: deal for receipt in self._checks_of if (deal := self._deals.get(receipt)) is not None
        }
        for pair in self._findings.pairs:
            found |= {deal.receipt: deal for deal in self._of_pair.get(pair, ())}
        return found.values()

    def _verdict_about(self, deal: Deal) -> bytes:
        check = deciding(self._checks_of_deal(deal), deal)
        return b"" if check is None else self._findings.verdict_of(check.proof)

    def _touch(self, receipt: bytes) -> None:
        deal = self._deals.get(receipt)
        if deal is not None:
            self._changed.add((deal.requester, deal.worker))

    def _touch_compared(self, deal: Deal) -> None:
        """A deal's time is a part of the reference of all whose answers were equal to its own. Rules: REP-19."""
        for check in self._checks_of_deal(deal):
            self._changed |= {(deal.requester, answer.worker) for answer in check.compared}

    def _drop(self, deal: Deal, *, is_of_pair: bool) -> None:
        self._paces.drop(deal)
        self._touch_compared(deal)
        pair = (deal.requester, deal.worker)
        if is_of_pair and pair in self._of_pair:
            self._of_pair[pair].discard(deal.receipt)
            if not len(self._of_pair[pair]):
                del self._of_pair[pair]
                self._money.pop(pair, None)
        self._changed.add(pair)


def _streak(rights: Iterable[bool]) -> tuple[int, int]:
    """Return how many of the last in a row are right, and how many there are."""
    streak = count = 0
    for is_right in rights:
        streak, count = (streak + 1 if is_right else 0), count + 1
    return streak, count


def _joined(known: Deal, more: Deal) -> Deal:
    return replace(
        known,
        requester_place=_earlier(known.requester_place, more.requester_place),
        worker_place=_earlier(known.worker_place, more.worker_place),
    )


def _earlier(one: ChainPlace | None, other: ChainPlace | None) -> ChainPlace | None:
    """Return the earlier place of a half that was given twice, whichever came first."""
    there = [place for place in (one, other) if place is not None]
    return min(there, key=lambda place: (place.sequence, place.link), default=None)


def _offence_rating(offence: Offence) -> Rating:
    return Rating(offence.victim, offence.account, Kind.WRONG, offence.value, offence.unix_ms // EPOCH_MS)
