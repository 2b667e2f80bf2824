"""Both sides of a pair: how a lane is paid, and what each refuses."""

from dataclasses import replace

import pytest

from skyops_p2p import limits
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.amounts import wei_to_bytes
from skyops_p2p.core.settlement.lanes import offer_of
from skyops_p2p.core.settlement.payee import PayeeState
from skyops_p2p.core.settlement.payer import PayerState
from skyops_p2p.core.settlement.receipts import open_signed
from skyops_p2p.core.settlement.vouchers import check_voucher, digest_of, sign_voucher
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.errors import StoreError
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages import settlement as msg
from tests.unit.core.settlement.pair_world import ALICE, FACTS, HOUR_WEI, MALLORY, PAIR, RICH, World, terms

MS_WEI = HOUR_WEI // 3_600_000


@pytest.fixture
def world() -> World:
    found = World()
    found.both(RICH)
    return found


def metered(world: World) -> tuple[bytes, msg.Voucher]:
    """Let a lane run until alice has signed its first voucher; return lane and voucher, which is still under way."""
    lane = world.begin(terms())
    world.settle()
    world.pass_time(10, is_linked=False)
    world.deliver()
    ((_, voucher),) = world.queue
    assert isinstance(voucher, msg.Voucher)
    return lane, voucher


def answer_to(world: World, voucher: msg.Voucher) -> str:
    """Return what bob says to a voucher; unless he takes it, nothing of his changes."""
    before = world.payee.account.encode()
    (effect,) = [e for e in world.tell("bob", ev.VoucherHeard(voucher)) if isinstance(e, ev.SendToPeer)]
    assert isinstance(effect.message, msg.VoucherAnswer)
    assert effect.message.code == "taken" or world.payee.account.encode() == before
    return effect.message.code


def resigned(voucher: msg.Voucher, *, cumulative: int, wallet: Wallet = ALICE, **pair: object) -> msg.Voucher:
    return sign_voucher(
        replace(PAIR, **pair), wallet, cumulative=cumulative, receipts_root=voucher.receipts_root,
        items=voucher.items, receipts=voucher.receipts,
    )  # fmt: skip


def test_intervals_double_and_the_receipt_comes_with_the_last_voucher(world: World) -> None:  # SET-7, SET-13
    lane = world.begin(terms())
    world.settle()
    world.pass_time(100)
    assert world.vouchers == [10_000 * MS_WEI, 30_000 * MS_WEI, 70_000 * MS_WEI]
    world.finish(lane)
    world.settle()
    assert world.vouchers[-1] == 100_000 * MS_WEI
    (kept,) = world.effects_of("bob", ev.KeepReceipt)
    (same,) = world.effects_of("alice", ev.KeepReceipt)
    assert kept == same
    assert isinstance(kept, ev.KeepReceipt)
    receipt, signed = open_signed(kept.data, PAIR.domain)
    assert signed.requester is not None
    assert signed.worker is not None
    assert receipt.amount == receipt.cumulative == wei_to_bytes(100_000 * MS_WEI)
    assert (world.payer.state, world.payee.state) == (PayerState.CLEAR, PayeeState.QUIET)


def test_prepaid_lane_starts_once_it_is_paid_ahead(world: World) -> None:  # SET-5
    lane = world.begin(terms(prepaid_ms=10_000))
    world.deliver()
    assert not world.runs[lane].is_running
    world.settle()
    assert world.runs[lane].is_running
    assert world.vouchers == [10_000 * MS_WEI]


def test_one_voucher_pays_what_waited_for_the_answer_to_the_one_before(world: World) -> None:  # SET-11
    lanes = [world.begin(terms(number)) for number in (1, 2, 3)]
    world.settle()
    world.pass_time(10)
    vouchers = {m.cumulative: m for m in world.sent("alice", msg.Voucher) if isinstance(m, msg.Voucher)}
    assert [len(voucher.items) for voucher in vouchers.values()] == [1, 2]
    assert len(lanes) == 3


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"chain_id": 1}, "wrong_network"),
        ({"contract": bytes(20)}, "wrong_contract"),
        ({"worker": bytes(20)}, "wrong_pair"),
        ({"token": bytes(20)}, "wrong_pair"),
        ({"requester": bytes(20)}, "wrong_pair"),
        ({"holdback_bps": 2000}, "wrong_terms"),
        ({"wallet": MALLORY}, "bad_signature"),
        ({"cumulative": 10_000 * MS_WEI + 1}, "wrong_amount"),
        ({"cumulative": 10_000 * MS_WEI - 1}, "wrong_amount"),
    ],
)
def test_voucher_that_is_not_exactly_right_is_refused_with_its_code(
    world: World, change: dict[str, object], code: str
) -> None:  # SET-9, SET-10
    _, voucher = metered(world)
    forged = resigned(voucher, **{"cumulative": 10_000 * MS_WEI} | change)  # type: ignore[arg-type]
    assert answer_to(world, forged) == code
    assert answer_to(world, voucher) == "taken"


def test_replayed_stale_and_wrong_lane_vouchers_change_nothing(world: World) -> None:  # SET-10, SET-11
    _, voucher = metered(world)
    elsewhere = voucher.items[0].model_copy(update={"lane": bytes(32)})
    later = voucher.items[0].model_copy(update={"interval": 2})
    wrong_root = {"receipts_root": bytes([1] * 32)}
    signature = ALICE.sign_digest(digest_of(PAIR, 10_000 * MS_WEI, bytes([1] * 32)))
    assert answer_to(world, voucher.model_copy(update={"items": (elsewhere,)})) == "unknown_lane"
    assert answer_to(world, voucher.model_copy(update={"items": (later,)})) == "wrong_interval"
    assert answer_to(world, voucher.model_copy(update={"items": voucher.items * 2})) == "wrong_interval"
    assert answer_to(world, voucher.model_copy(update=wrong_root | {"signature": signature})) == "bad_receipt"
    assert answer_to(world, voucher) == "taken"
    assert answer_to(world, voucher) == "taken"
    assert world.vouchers == [10_000 * MS_WEI]
    assert answer_to(world, resigned(voucher, cumulative=9 * MS_WEI)) == "stale_voucher"
    assert world.payee.account.voucher == voucher
    assert check_voucher(voucher, PAIR) == 10_000 * MS_WEI


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"chain_id": 1}, "wrong_network"),
        ({"contract": bytes(20)}, "wrong_contract"),
        ({"token": bytes(20)}, "wrong_pair"),
        ({"holdback_bps": 1}, "wrong_terms"),
        ({"rate": wei_to_bytes(1)}, "wrong_terms"),
        ({"rate": wei_to_bytes(0)}, "malformed"),
        ({"rate": wei_to_bytes(1 << 96)}, "malformed"),
        ({"lane": bytes(32)}, "wrong_terms"),
    ],
)
def test_offer_on_other_terms_is_refused(world: World, change: dict[str, object], code: str) -> None:
    """SET-1, SET-3, SET-4, SET-5."""
    world.tell("bob", ev.LaneExpected(terms()))
    world.tell("bob", ev.LaneOfferHeard(offer_of(terms(), PAIR).model_copy(update=change)))
    (answer,) = world.sent("bob", msg.LaneAnswer)
    assert isinstance(answer, msg.LaneAnswer)
    assert answer.code == code
    assert world.payee.state is PayeeState.QUIET


def test_offer_of_a_lease_that_nobody_knows_and_of_one_lane_too_many_is_refused(
    world: World,
) -> None:  # SET-5
    world.tell("bob", ev.LaneOfferHeard(offer_of(terms(), PAIR)))
    world.queue.clear()
    for number in range(limits.LANES_PER_PAIR_MAX):
        world.begin(terms(number, rate_wei=1000))
    world.settle()
    extra = terms(200)
    world.tell("bob", ev.LaneExpected(extra))
    world.tell("bob", ev.LaneOfferHeard(offer_of(extra, PAIR)))
    codes = [m.code for m in world.sent("bob", msg.LaneAnswer) if isinstance(m, msg.LaneAnswer)]
    assert (codes[0], codes[-1], set(codes[1:-1])) == ("unknown_lane", "busy", {"taken"})
    world.begin(extra)
    assert ev.StopLane(extra.lane, "busy") in world.effects_of("alice", ev.StopLane)


def test_meters_too_far_apart_are_paid_by_the_smaller_and_end_the_lane() -> None:  # SET-6
    world = World(skew=lambda ms: ms // 2)
    world.both(RICH)
    lane = world.begin(terms())
    world.settle()
    world.pass_time(30)
    assert world.vouchers == [5000 * MS_WEI]
    assert ev.StopLane(lane, "meters_apart") in world.effects_of("alice", ev.StopLane)
    assert ev.StopLane(lane, "meters_apart") in world.effects_of("bob", ev.StopLane)
    assert world.runs[lane].used_ms <= 11_000


def test_silent_requester_pauses_the_program_then_stops_it_and_the_voucher_stays(
    world: World,
) -> None:  # SET-8
    lane = world.begin(terms())
    world.settle()
    world.pass_time(10)
    world.pass_time(400, is_linked=False)
    assert world.runs[lane].used_ms == 10_000 + 20_000 + limits.PAY_GRACE_MS
    assert world.effects_of("bob", ev.PauseLane) == [ev.PauseLane(lane, "unpaid")]
    assert world.effects_of("bob", ev.StopLane) == [ev.StopLane(lane, "unpaid")]
    assert world.payee.account.cumulative == 10_000 * MS_WEI
    assert Account.decode(world.journal["bob"][0]).voucher is not None


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "flex"},
        {"class_milli": 6200},
        {"verification": "exact"},
        {"redundancy": 2},
        {"outcome": "lost"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_receipt_that_says_something_else_of_the_job_is_refused(
    world: World, change: dict[str, object]
) -> None:  # SET-13, SET-25
    lane = world.begin(terms())
    world.settle()
    world.pass_time(5)
    world.tell("bob", ev.LaneFinished(lane, FACTS))
    world.tell("alice", ev.LaneFinished(lane, FACTS.model_copy(update=change)))
    world.settle()
    answer = world.sent("bob", msg.VoucherAnswer)[-1]
    assert isinstance(answer, msg.VoucherAnswer)
    assert (answer.code, world.payer.code) == ("bad_receipt", "voucher_refused")
    assert not world.vouchers


def test_voucher_that_was_lost_is_taken_long_after_the_run_was_stopped(world: World) -> None:  # SET-8
    lane = world.begin(terms())
    world.settle()
    world.pass_time(10, is_linked=False)
    while world.payer.state is not PayerState.OUT:
        world.deliver(0)
    world.queue.clear()
    world.pass_time(400, is_linked=False)
    assert world.effects_of("bob", ev.StopLane) == [ev.StopLane(lane, "unpaid")]
    assert world.payee.account.cumulative == 0
    world.pass_time(2 * limits.PAY_INTERVAL_MS_MAX / 1000)
    assert world.payer.state is PayerState.CLEAR
    assert world.payee.account.cumulative == world.payer.account.cumulative > 0
    assert not world.payee.account.lanes


def test_meter_that_nobody_pays_is_kept_and_forgotten_in_the_end(world: World) -> None:  # SET-8
    world.begin(terms())
    world.settle()
    world.pass_time(10, is_linked=False)
    world.queue.clear()
    world.pass_time(400, is_linked=False)
    assert world.payee.account.lanes
    asked = len(world.queue)
    world.pass_time(600, is_linked=False)
    assert len(world.queue) - asked <= 600_000 // limits.PAY_INTERVAL_MS_MAX + 1
    world.now = MonotonicS(world.now + limits.PAY_KEEP_MS / 1000)
    world.tick(0)
    assert not world.payee.account.lanes


def test_requester_that_comes_back_in_time_has_the_program_go_on(world: World) -> None:  # SET-8, SET-20
    lane = world.begin(terms())
    world.settle()
    world.pass_time(10)
    world.pass_time(60, is_linked=False)
    assert world.payee.state is PayeeState.UNPAID
    world.restart("alice")
    world.settle()
    assert world.payee.state is PayeeState.SERVING
    assert world.effects_of("bob", ev.ResumeLane) == [ev.ResumeLane(lane)]
    assert world.vouchers[-1] == 30_000 * MS_WEI


def test_silent_worker_is_given_up(world: World) -> None:  # SET-4
    lane = world.begin(terms())
    for _ in range(40):
        world.now = MonotonicS(world.now + 1)
        world.tick(0)
    assert world.effects_of("alice", ev.StopLane) == [ev.StopLane(lane, "no_answer")]
    assert len(world.sent("alice", msg.LaneOffer)) > 5
    assert not world.payer.account.lanes


def test_lane_of_a_run_that_was_over_before_its_offer_came_is_closed_at_once(world: World) -> None:  # SET-4
    lane = world.begin(terms())
    world.finish(lane)
    assert lane in world.payer.account.lanes
    world.settle()
    assert world.sent("bob", msg.LaneAnswer) == [msg.LaneAnswer(lane=lane, code="unknown_lane")]
    assert world.effects_of("alice", ev.CloseLane) == [ev.CloseLane(lane, "unknown_lane", 0)]
    assert world.effects_of("alice", ev.StopLane) == []
    assert not world.payer.account.lanes


def test_late_refusal_does_not_close_a_lane_that_was_metered(world: World) -> None:  # SET-4
    metered(world)  # its voucher is under way, so the next meter waits
    lane = world.begin(terms(2))
    world.deliver(1)
    world.deliver(1)
    world.pass_time(1, is_linked=False)
    world.finish(lane)
    world.deliver(len(world.queue) - 1)
    assert world.payer.account.lanes[lane].meter is not None
    world.tell("alice", ev.LaneAnswerHeard(msg.LaneAnswer(lane=lane, code="unknown_lane")))
    world.settle()
    assert world.vouchers == [10_000 * MS_WEI, 11_000 * MS_WEI]


def test_deposit_that_shrinks_below_promises_pauses_redeems_and_resumes(
    world: World,
) -> None:  # SET-12, SET-24
    lane = world.begin(terms())
    world.settle()
    world.pass_time(10)
    world.tell("bob", ev.FundsSeen(0, 5_000 * MS_WEI, 0))
    assert world.effects_of("bob", ev.RedeemVoucher) == [ev.RedeemVoucher("deposit_too_small")]
    assert not world.runs[lane].is_running
    world.tell("bob", RICH)
    assert world.runs[lane].is_running
    leaving = ev.FundsSeen(0, 10**21, 0, MonotonicS(world.now + limits.REDEEM_MARGIN_S - 1))
    world.tell("bob", leaving)
    assert world.effects_of("bob", ev.RedeemVoucher)[-1] == ev.RedeemVoucher("allotment_leaves")
    assert world.effects_of("bob", ev.PauseLane)[-1] == ev.PauseLane(lane, "deposit_too_small")


def test_deposit_too_small_refuses_lanes_and_warns_before_it_ends(world: World) -> None:  # SET-12, SET-22
    world.tell("alice", ev.FundsSeen(0, 10_000 * MS_WEI, 0))
    world.begin(terms())
    assert ev.StopLane(terms().lane, "deposit_too_small") in world.effects_of("alice", ev.StopLane)
    world.both(ev.FundsSeen(0, 100_000 * MS_WEI, 0))
    world.begin(terms(2))
    world.settle()
    world.pass_time(30)
    assert world.effects_of("alice", ev.WarnRunway) == [ev.WarnRunway(100)]
    assert world.payer.runway_s == 70
    assert world.payer.refund_wei == 70_000 * MS_WEI
    world.pass_time(400)
    assert world.payer.account.cumulative <= 100_000 * MS_WEI
    assert not world.runs[terms(2).lane].is_running


def test_requester_with_an_old_database_stops_signing(world: World) -> None:  # SET-21
    old = world.journal["alice"]
    lane = world.begin(terms())
    world.settle()
    world.pass_time(30)
    world.journal["alice"] = old
    world.restart("alice")
    world.settle()
    world.tell("alice", ev.LaneBegun(terms()))
    meter = world.sent("bob", msg.Meter)[-1]
    assert isinstance(meter, msg.Meter)
    world.tell("alice", ev.MeterHeard(meter))
    assert ev.StopLane(lane, "ledger_behind") in world.effects_of("alice", ev.StopLane)
    newest = wei_to_bytes(world.payee.account.cumulative)
    shown = msg.VoucherAnswer(answers=newest, newest=newest, code="taken", halves=())
    world.tell("alice", ev.VoucherAnswerHeard(shown))
    assert world.payer.state is PayerState.ENDED


def test_torn_record_is_a_coded_error() -> None:
    record = Account().encode()
    for data in (b"", record[:-1], record + b"\0", b"\x80"):
        with pytest.raises(StoreError) as torn:
            Account.decode(data)
        assert torn.value.code == "account_torn"
