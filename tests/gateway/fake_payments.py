"""Payments of a node that are always the same, for tests of the API and of commands."""

from collections.abc import Sequence

from skyops_p2p.core.evidence.exchange import Exchange
from skyops_p2p.core.evidence.items import open_evidence
from skyops_p2p.core.evidence.verdicts import VerdictShelf, open_verdict
from skyops_p2p.core.settlement.receipts import ChainPlace, link_of
from skyops_p2p.errors import ConfigError, ExecutionError
from skyops_p2p.node.evidence.views import EvidenceView, evidence_view
from skyops_p2p.node.jobs.verdict_views import VerdictsView, VerdictView, verdict_view, verdicts_view
from skyops_p2p.node.reputation.views import (
    ChangeView,
    ExplanationView,
    ReputationRowView,
    ReputationView,
    SourceView,
    VoiceView,
)
from skyops_p2p.node.settlement.settlement_views import (
    BillingView,
    EarnedJobView,
    EarnedLaneView,
    EarningRowView,
    EarningsView,
    GroupName,
    LaneView,
    PairView,
    QuoteView,
    ReceiptView,
    SettledView,
)
from skyops_p2p.wire.model import encode_message
from tests.vectors.evidence_cases import SCOPE
from tests.vectors.people import BOB
from tests.vectors.signed_receipt_cases import receipt, signed_receipt
from tests.vectors.verification_examples import Part, drawn_after, sealed_verdict


def _chain(count: int) -> tuple[bytes, ...]:
    """Return receipts of alice's, each behind the one before; bob has not signed."""
    found, place = [], ChainPlace()
    for number in range(1, count + 1):
        one = receipt(number)
        found.append(signed_receipt(one, worker=None, places=(place, ChainPlace())))
        place = ChainPlace(number, link_of(encode_message(one), place.link))
    return tuple(found)


RECEIPTS = _chain(3)
WORKER = "12D3KooWBob"
WALLET = "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B"
LANE = "ab" * 32
PAID = 2**60 + 1
"""Wei: more than a JSON number holds exactly."""


def lane_view(**changes: object) -> LaneView:
    fields: dict[str, object] = {
        "lane": LANE,
        "peer_id": WORKER,
        "wallet": WALLET,
        "job_id": "00" * 16,
        "shard": 0,
        "epoch": 1,
        "is_open": False,
        "code": "paid",
        "rate_wei": 10**18,
        "runtime_ms": 61_000,
        "metered_ms": 61_000,
        "gpu_ms": 30_000,
        "moved_bytes": 3 << 20,
        "paid_wei": PAID,
        "began_unix_ms": 1_700_000_000_000,
        "ended_unix_ms": 1_700_000_070_000,
        "has_receipt": True,
    }
    return LaneView.model_validate({**fields, **changes})


def _verdict_shelf() -> VerdictShelf:
    """Return a shelf with one verdict: bob was wrong."""
    wrong = Part(BOB, output=2)
    shelf = VerdictShelf()
    shelf.put(open_verdict(sealed_verdict([wrong, *(Part(who) for who in drawn_after(wrong)[:2])]), SCOPE))
    return shelf


def reputation_view(*, is_explained: bool) -> ReputationView:
    """Return bob's scores: a worker that alice has paid for one job."""
    rows = tuple(
        ReputationRowView(
            wallet=WALLET, peer_id=WORKER, role=role, score=score, credibility=score * 1000 + 370,
            standing="good" if score >= 400 else "below_gate", stake_micro=1_000 * 10**6, good_micro=1_234_500,
            bad_micro=0, raters=1, checked=0, own_credibility=512_000,
        )
        for role, score in (("worker", 498), ("requester", 288))
    )  # fmt: skip
    why = ExplanationView(
        role="worker", accuracy=497_000, availability=500_000, efficiency=500_000, prior=450_000, memory=10**6,
        fraud_micro=0, own_good_micro=5 * 10**6, own_bad_micro=0,
        voices=(VoiceView(wallet=WALLET, heard=10**6, good_micro=1_234_500, bad_micro=0),),
        sources=(
            SourceView(
                receipt="ab" * 32, rater=WALLET, kind="good", value_micro=1_250_000, epoch=20_000,
                outcome="succeeded",
            ),
            SourceView(
                receipt="", rater=WALLET, kind="found", value_micro=2 * 10**6, epoch=20_000,
                outcome="result_wrong", verdict="ef" * 32,
            ),
        ),
        changes=(ChangeView(code="verified_job", score=560), ChangeView(code="wrong_result", score=101)),
        slots_probed=144, slots_answered=140, slots_announced=2, slots_voices=718,
    )  # fmt: skip
    return ReputationView(
        epoch=20_000, parameters="cd" * 32, evidence="ef" * 32, receipts=1, waiting=0, is_chain_away=False,
        gate=400, rows=rows, explanations=(why,) if is_explained else (),
    )  # fmt: skip


class FakePayments:
    """What alice pays, and what she is paid."""

    def __init__(self) -> None:
        self.is_configured = True
        self.vouchers = 2
        self.settled = 0
        self.asked_for = ""

    def billing(self, job_id: bytes, name: str, replicas: Sequence[bytes] = ()) -> BillingView:
        lanes = (lane_view(),) if self.is_configured else ()
        return BillingView(
            job_id=job_id.hex(),
            name=name,
            symbol="SKYOPS",
            is_paid=bool(lanes),
            paid_wei=sum(lane.paid_wei for lane in lanes),
            runtime_ms=61_000,
            gpu_ms=30_000,
            fee_wei=10**16,
            budget_wei=None,
            refund_wei=5 * 10**18,
            promised_wei=2 * 10**18,
            redeemed_wei=10**18,
            lanes=lanes,
        )

    def earnings(self, *, by: GroupName = "job") -> EarningsView:
        self._check()
        key = {"job": "00" * 16, "day": "2026-11-26", "mode": "flex"}[by]
        row = EarningRowView(key=key, leases=1, runtime_ms=61_000, gpu_ms=0, paid_wei=PAID, receipts=1)
        return EarningsView(
            symbol="SKYOPS",
            by=by,
            rows=(row,),
            paid_wei=PAID,
            unredeemed_wei=10**17,
            unsecured_wei=10**16,
            held_wei=0,
        )

    def earned(self, job: str) -> EarnedJobView:
        self._check()
        lane = EarnedLaneView(
            lane=lane_view(),
            outcome="succeeded",
            class_milli=1000,
            requester_ms=61_000,
            worker_ms=61_200,
            receipt_wei=PAID,
            fee_wei=PAID * 3 // 100,
            holdback_bps=2000,
            held_wei=PAID // 5,
        )
        return EarnedJobView(job_id=job.ljust(32, "0"), name="train", mode="flex", fee_bps=300, lanes=(lane,))

    def pairs(self) -> tuple[PairView, ...]:
        self._check()
        pair = PairView(
            peer_id=WORKER,
            wallet=WALLET,
            role="requester",
            is_linked=True,
            lanes=1,
            state="clear",
            promised_wei=PAID,
            redeemed_wei=0,
            held_wei=0,
            allotted_wei=10**18,
            shared_wei=0,
            runway_s=3600,
            receipts=1,
            chain_trouble="",
        )
        return (pair,)

    def receipt(self, lane: bytes) -> ReceiptView:
        self._check()
        if lane.hex() != LANE:
            raise ExecutionError("this node knows no such lease", code="unknown_lane")
        return ReceiptView(
            lane=LANE,
            receipt="00",
            is_signed_by_both=True,
            index=0,
            count=1,
            path=(),
            leaf="11" * 32,
            root="11" * 32,
            is_on_chain=True,
            amount_wei=PAID,
            outcome="succeeded",
            result="22" * 32,
        )

    def evidence(self, who: str = "") -> EvidenceView:
        self._check()
        self.asked_for = who
        exchange = Exchange(SCOPE, salt=bytes(32), is_member=lambda _account: False)
        for data in RECEIPTS:
            exchange.shelf.put(open_evidence(data, SCOPE)[0])
        return evidence_view(exchange, account=None, job="", inclusions={}, check_of=lambda _digest: None)

    def verdicts(self) -> VerdictsView:
        self._check()
        return verdicts_view(_verdict_shelf())

    def verdict(self, name: str) -> VerdictView:
        (item,) = _verdict_shelf().all()
        if not item.name.hex().startswith(name):
            raise ExecutionError("none begins so", code="no_verdict", hint="`skyops verdict` lists them.")
        return verdict_view(item.checked, item.data)

    async def reputation(self, who: str = "") -> ReputationView:
        self._check()
        self.asked_for = who
        return reputation_view(is_explained=bool(who))

    async def quote(self) -> QuoteView:
        self._check()
        return QuoteView(
            vouchers=self.vouchers,
            credited_wei=10**17,
            gas=120_000,
            fee_wei=10**14,
            cost_bps=10_000,
            is_worth=False,
        )

    async def settle(self) -> SettledView:
        self._check()
        self.settled += 1
        return SettledView(vouchers=self.vouchers, transaction_hash="0x" + "33" * 32, fee_wei=10**14)

    def _check(self) -> None:
        if not self.is_configured:
            raise ConfigError("nothing is paid here", code="payment_not_configured")
