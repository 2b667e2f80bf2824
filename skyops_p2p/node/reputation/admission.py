"""Which workers a job is offered to, and at what gate: scores, exposure, and the places that are kept for newcomers.

What decides stands in the tender and its bid book: the gate as `reputation_min`, each bidder's C in its observation. So
an audit runs the award again from the book alone. Spec: protocol/08-reputation.md, "Uses"; protocol/04-auction.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from skyops_p2p.core.auction.events import Bidder, Outcome
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.reputation.parameters import DEFAULTS
from skyops_p2p.core.reputation.ratings import Role
from skyops_p2p.core.reputation.uses import has_room, is_in_probation_lane, may_bid
from skyops_p2p.core.settlement.prices import HOUR_S
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.node.reputation.book import ReputationBook
from skyops_p2p.node.reputation.standing import ReputedStanding
from skyops_p2p.types import PeerId

_LANE_DOMAIN = b"skyops/probation/1"


@dataclass(frozen=True, slots=True)
class Admission:
    """To whom a job is offered."""

    bidders: tuple[Bidder, ...]
    """In the order in which they came."""
    unfit: tuple[Outcome, ...]
    """The others, each with a reason."""
    gate: int
    """Least C of a bidder, millionths: the tender's `reputation_min`."""
    is_lane: bool = False
    """It is kept for workers on probation: the award is by lot, and nobody else is invited."""

    @property
    def refused(self) -> frozenset[PeerId]:
        """Whose bid is not taken either if gossip brings it."""
        return frozenset(outcome.peer for outcome in self.unfit)


def admit(bidders: Sequence[Bidder], spec: JobSpec, *, job_id: bytes, standing: ReputedStanding) -> Admission:
    """Sort candidates by what this node knows of them.

    Args:
        bidders: Nodes that could run the job.
        spec: The job.
        job_id: Of its tender; draws the lane.
        standing: Scores; without any, everybody is admitted.

    Rules: REP-24, REP-25, REP-26, REP-34.
    """
    asked, book = spec.placement.reputation_min, standing.book
    if book is None or book.scores is None:
        return Admission(tuple(bidders), (), asked)
    gate = asked or DEFAULTS.gate
    takes_risk = gate < DEFAULTS.gate
    views = [_view(bidder, spec, standing, book) for bidder in bidders]
    lot = int.from_bytes(sha256(_LANE_DOMAIN + job_id)[:4], "big")
    if not asked and spec.award.policy == "composite" and is_in_probation_lane(lot):
        newcomers = [view for view in views if view.is_newcomer]
        if 0 < len(newcomers) < len(views):
            return _kept_for(newcomers, views)
    fit, unfit = [], list[Outcome]()
    for view in views:
        if view.bidder.reputation < gate:
            text = f"{view.bidder.reputation // 1000} of the {gate // 1000} that are asked for"
            unfit.append(Outcome(view.bidder.peer, "reputation", text))
        elif not takes_risk and not view.has_room:
            text = "its stake does not cover what it computes for this node already, and this job"
            unfit.append(Outcome(view.bidder.peer, "exposure", text))
        else:
            fit.append(view.bidder)
    return Admission(tuple(fit), tuple(unfit), gate)


@dataclass(frozen=True, slots=True)
class _View:
    bidder: Bidder
    has_room: bool
    is_newcomer: bool
    """It may have a job of the probation lane."""


def _view(bidder: Bidder, spec: JobSpec, standing: ReputedStanding, book: ReputationBook) -> _View:
    account = standing.account_of(bidder.peer)
    if account is None or not book.is_known(account):
        return _View(bidder, has_room=True, is_newcomer=False)
    value = value_of(spec, standing.price_of(bidder.peer))
    record = book.record(account, open_value=standing.open_value(account))
    found = book.standing(account, Role.WORKER)
    assert found is not None, "what is known was scored"
    is_newcomer = may_bid(found, record, value, is_lane=True)
    return _View(bidder, has_room(record, value), is_newcomer)


def _kept_for(newcomers: Sequence[_View], all_of_them: Sequence[_View]) -> Admission:
    peers = {view.bidder.peer for view in newcomers}
    others = [view.bidder.peer for view in all_of_them if view.bidder.peer not in peers]
    return Admission(
        tuple(view.bidder for view in newcomers),
        tuple(Outcome(peer, "kept_for_newcomers") for peer in others),
        gate=0,
        is_lane=True,
    )


def value_of(spec: JobSpec, price: int) -> int:
    """Return what a job exposes at an announced price, microcredits: its first hour, or its budget. Rules: REP-25."""
    hour = price * min(spec.timeouts.execution, HOUR_S) // HOUR_S
    total = spec.price.total_max
    return hour if total is None else min(hour, total)
