"""Turns a node's scores into what it shows."""

from skyops_p2p import limits
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.reputation.explanation import Explanation
from skyops_p2p.core.reputation.parameters import DEFAULTS
from skyops_p2p.core.reputation.ratings import Role
from skyops_p2p.core.reputation.standings import Standing
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.node.reputation.book import ReputationBook, Scores
from skyops_p2p.node.reputation.standing import account_in
from skyops_p2p.node.reputation.views import (
    ChangeView,
    ExplanationView,
    ReputationRowView,
    ReputationView,
    SourceView,
    StandingName,
    VoiceView,
)
from skyops_p2p.types import PeerId

_ROLES: dict[Role, int] = {Role.WORKER: 0, Role.REQUESTER: 1}
"""In which order they are shown."""


async def read_scores(
    book: ReputationBook, core: NodeCore, account: bytes | None, *, evidence: str
) -> ReputationView:
    """Return all scores, or those of one account with their reasons.

    Args:
        book: Has them.
        core: Its map says who is whose node.
        account: 20 bytes; None: all.
        evidence: Digest of what is held, hex.
    """
    peers = {found: entry.peer for entry in core.nodes if (found := account_in(entry)) is not None}
    rows, explanations = [], list[ExplanationView]()
    scores = book.scores
    if scores is not None:
        wanted = [account] if account is not None else _known(scores, peers)
        rows = [_row(book, scores, role, who, peer=peers.get(who)) for who in wanted for role in Role]
        if account is None:
            rows = [row for row in rows if _is_worth_a_row(row, core)]
    if account is not None:
        reasons = [await book.explain(account, role) for role in Role]
        explanations = [_explanation(book, one) for one in reasons if one is not None]
    rows.sort(key=lambda row: (_ROLES[Role(row.role)], -row.credibility, row.wallet))
    return ReputationView(
        epoch=0 if scores is None else scores.epoch,
        parameters=DEFAULTS.digest.hex(),
        evidence=evidence,
        probes="" if book.conduct is None else book.conduct.digest().hex(),
        receipts=book.held,
        waiting=book.waiting,
        is_behind=book.is_behind,
        is_chain_away=book.is_chain_away,
        gate=DEFAULTS.gate // 1000,
        rows=tuple(rows[: limits.REPUTATION_ROWS_MAX]),
        explanations=tuple(explanations),
    )


def _known(scores: Scores, peers: dict[bytes, PeerId]) -> list[bytes]:
    found = {who for assessment in scores.of.values() for who in assessment.accounts()}
    return sorted(found | set(peers))


def _is_worth_a_row(row: ReputationRowView, core: NodeCore) -> bool:
    """Leave out roles in which nobody knows anything of an account, but for workers of the map."""
    entry = core.nodes.get(PeerId(row.peer_id)) if row.peer_id else None
    is_worker = entry is not None and entry.record is not None and entry.record.is_worker
    return bool(row.raters or row.standing == "banned" or (row.role == "worker" and is_worker))


def _row(
    book: ReputationBook, scores: Scores, role: Role, account: bytes, *, peer: PeerId | None
) -> ReputationRowView:
    found = scores.of[role].standing(account)
    own, stake = book.own_view(account, role), scores.stakes.get(account)
    return ReputationRowView(
        wallet=address_from_bytes(account),
        peer_id=peer or "",
        role=role.value,
        score=found.permille,
        credibility=found.credibility,
        standing=_standing(found, is_known=stake is not None),
        stake_micro=0 if stake is None else stake.amount,
        good_micro=found.tally.good,
        bad_micro=found.tally.bad,
        raters=found.raters,
        checked=scores.checks.get(account, (0, 0))[1] if role is Role.WORKER else 0,
        own_credibility=found.credibility if own is None else own.credibility,
    )


def _standing(found: Standing, *, is_known: bool) -> StandingName:
    if found.is_banned:
        return "banned"
    if found.credibility >= DEFAULTS.gate:
        return "good"
    return "below_gate" if is_known else "not_looked_up"


def _explanation(book: ReputationBook, found: Explanation) -> ExplanationView:
    its = found.standing
    own = book.own_experience(its.account, its.role)
    return ExplanationView(
        role=its.role.value,
        accuracy=its.accuracy,
        availability=its.availability,
        efficiency=its.efficiency,
        prior=its.prior,
        memory=its.memory,
        fraud_micro=its.tally.fraud,
        own_good_micro=own.good,
        own_bad_micro=own.wrong + own.soft,
        voices=tuple(
            VoiceView(
                wallet=address_from_bytes(one.rater), heard=one.part, good_micro=one.good, bad_micro=one.bad
            )
            for one in found.voices
        ),
        sources=tuple(
            SourceView(
                receipt=one.receipt.hex(),
                rater=address_from_bytes(one.rating.rater),
                kind=one.rating.kind.value,
                value_micro=one.rating.value,
                epoch=one.rating.epoch,
                outcome=one.outcome,
                verdict=one.verdict.hex(),
            )
            for one in found.sources
        ),
        changes=tuple(ChangeView(code=one.code, score=one.credibility // 1000) for one in found.changes),
        slots_probed=found.slots.probed,
        slots_answered=found.slots.answered,
        slots_announced=found.slots.announced,
        slots_voices=found.slots.voices,
        has_contradicted=found.has_contradicted,
    )
