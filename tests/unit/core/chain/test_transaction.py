"""The life of a transaction, step by step, with time as an argument."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.chain.facts import Block, Fees, Order, Receipt
from skyops_p2p.core.chain.outbox import Outbox
from skyops_p2p.core.chain.transaction import (
    AskReceipts,
    Attempt,
    CancelWanted,
    End,
    Ending,
    Looked,
    Offer,
    ReceiptFound,
    ReceiptMissing,
    Replace,
    Replaced,
    Transaction,
    TransactionState,
)
from skyops_p2p.errors import ChainError, LocalProtocolError, UnexpectedEvent
from skyops_p2p.types import MonotonicS, Wei

AT = MonotonicS
GWEI = 10**9
FIRST = Attempt(b"raw", b"\1" * 32, Fees(Wei(2 * GWEI), Wei(GWEI)))


def transaction(key: str = "rent", nonce: int = 7, *, fee_wei_max: int = 100 * GWEI) -> Transaction:
    return Transaction(
        key,
        Order(None),
        nonce=nonce,
        gas=21_000,
        attempts=[FIRST],
        confirmations=3,
        fee_wei_max=Wei(fee_wei_max),
    )


def looked(nonce: int, *, deep: int | None = None, head: int = 100) -> Looked:
    block = Block(head, bytes(32), bytes(32), 0, Wei(GWEI))
    return Looked(block, nonce, nonce if deep is None else deep)


def receipt(number: int, *, is_success: bool = True, of: Attempt = FIRST) -> Receipt:
    return Receipt(of.hash, number, bytes(32), is_success, 21_000, Wei(5), None, ())


def test_it_is_offered_at_once_and_again_only_after_a_while() -> None:
    rent = transaction()
    assert rent.handle(looked(7), AT(0.0)) == [Offer(FIRST)]
    assert rent.handle(looked(7), AT(1.0)) == []
    assert rent.handle(looked(7), AT(limits.CHAIN_RESEND_S)) == [Offer(FIRST)]


def test_it_ends_once_its_block_is_deep_enough() -> None:
    rent = transaction()
    rent.handle(looked(7), AT(0.0))
    assert rent.handle(looked(8), AT(1.0)) == [AskReceipts((FIRST.hash,))]
    assert rent.handle(ReceiptFound(receipt(100), 102), AT(1.0)) == []
    assert rent.state is TransactionState.MINED
    [end] = rent.handle(ReceiptFound(receipt(100), 103), AT(2.0))
    assert isinstance(end, End)
    assert end.outcome.ending is Ending.CONFIRMED
    rent.check_invariants()


def test_a_revert_ends_so() -> None:
    rent = transaction()
    rent.handle(looked(7), AT(0.0))
    [end] = rent.handle(ReceiptFound(receipt(100, is_success=False), 110), AT(1.0))
    assert isinstance(end, End)
    assert end.outcome.ending is Ending.REVERTED


def test_a_reorganisation_puts_it_back_and_it_is_offered_at_once() -> None:
    rent = transaction()
    rent.handle(looked(7), AT(0.0))
    rent.handle(ReceiptFound(receipt(100), 101), AT(1.0))
    assert rent.view().taken_back == 0
    assert rent.handle(ReceiptMissing(7), AT(1.5)) == [Offer(FIRST)]
    assert (rent.state, rent.view().taken_back) == (TransactionState.OFFERED, 1)
    rent.check_invariants()


def test_it_pays_more_only_when_it_is_next_and_has_waited() -> None:
    rent = transaction()
    rent.handle(looked(6), AT(0.0))
    late = AT(limits.CHAIN_BUMP_AFTER_S)
    assert not any(isinstance(effect, Replace) for effect in rent.handle(looked(6), late))
    [replace] = rent.handle(looked(7), late)
    assert isinstance(replace, Replace)
    assert replace.fees.max_fee_wei > FIRST.fees.max_fee_wei
    second = Attempt(b"more", b"\2" * 32, replace.fees)
    assert rent.handle(Replaced(second), late) == [Offer(second)]
    assert rent.handle(looked(8), AT(late + 1)) == [AskReceipts((second.hash, FIRST.hash))]


def test_it_stops_paying_more_at_the_owners_bound_and_is_still_offered() -> None:
    rent = transaction(fee_wei_max=2 * GWEI)
    rent.handle(looked(7), AT(0.0))
    assert rent.handle(looked(7), AT(limits.CHAIN_BUMP_AFTER_S)) == [Offer(FIRST)]
    assert rent.is_at_bound


def test_replacements_are_bounded() -> None:
    rent = transaction(fee_wei_max=10**30)
    rent.handle(looked(7), AT(0.0))
    now = 0.0
    for number in range(limits.CHAIN_BUMPS_MAX + 5):
        now += limits.CHAIN_BUMP_AFTER_S
        for effect in rent.handle(looked(7), AT(now)):
            if isinstance(effect, Replace):
                rent.handle(Replaced(Attempt(b"", bytes([number]) * 32, effect.fees)), AT(now))
    assert len(rent.attempts) == 1 + limits.CHAIN_BUMPS_MAX


def cancelled(rent: Transaction, now: float = 1.0) -> Attempt:
    """Have a transaction cancelled; return the attempt that does it."""
    [replace] = rent.handle(CancelWanted(Wei(GWEI)), AT(now))
    assert isinstance(replace, Replace)
    assert replace.is_cancel
    nothing = Attempt(b"nothing", b"\3" * 32, replace.fees, is_cancel=True)
    assert rent.handle(Replaced(nothing), AT(now)) == [Offer(nothing)]
    rent.check_invariants()
    return nothing


def test_a_wish_to_cancel_pays_more_at_once_and_every_bump_after_it_still_does_nothing() -> None:
    rent = transaction()
    rent.handle(looked(7), AT(0.0))
    nothing = cancelled(rent)
    assert nothing.fees.max_fee_wei * 10 >= FIRST.fees.max_fee_wei * 11
    assert nothing.fees.tip_wei * 10 >= FIRST.fees.tip_wei * 11
    assert rent.handle(CancelWanted(Wei(GWEI)), AT(2.0)) == [], "twice is as once"
    [bump] = rent.handle(looked(7), AT(1.0 + limits.CHAIN_BUMP_AFTER_S))
    assert isinstance(bump, Replace)
    assert bump.is_cancel


@pytest.mark.parametrize(
    ("is_first", "ending"), [(False, Ending.CANCELLED), (True, Ending.CONFIRMED)], ids=["nothing", "order"]
)
def test_how_a_cancelled_order_ends_is_for_the_block_to_say(is_first: bool, ending: Ending) -> None:
    rent = transaction()
    rent.handle(looked(7), AT(0.0))
    nothing = cancelled(rent)
    assert rent.handle(looked(8), AT(2.0)) == [AskReceipts((nothing.hash, FIRST.hash))]
    [end] = rent.handle(ReceiptFound(receipt(100, of=FIRST if is_first else nothing), 103), AT(2.0))
    assert isinstance(end, End)
    assert end.outcome.ending is ending


def test_what_may_pay_no_more_or_is_in_a_block_is_not_cancelled() -> None:
    rent = transaction(fee_wei_max=2 * GWEI)
    rent.handle(looked(7), AT(0.0))
    assert rent.handle(CancelWanted(Wei(GWEI)), AT(1.0)) == []
    assert not rent.is_cancelled
    rent.handle(ReceiptFound(receipt(100), 101), AT(2.0))
    with pytest.raises(UnexpectedEvent):
        rent.handle(CancelWanted(Wei(GWEI)), AT(3.0))


def test_an_order_that_has_paid_more_as_often_as_it_may_can_still_be_cancelled() -> None:
    rent = transaction(fee_wei_max=10**30)
    rent.handle(looked(7), AT(0.0))
    now = 0.0
    for number in range(limits.CHAIN_BUMPS_MAX):
        now += limits.CHAIN_BUMP_AFTER_S
        for effect in rent.handle(looked(7), AT(now)):
            if isinstance(effect, Replace):
                rent.handle(Replaced(Attempt(b"", bytes([number + 10]) * 32, effect.fees)), AT(now))
    assert rent.is_at_bound
    cancelled(rent, now + 1)
    assert len(rent.attempts) == 2 + limits.CHAIN_BUMPS_MAX


def test_its_nonce_counts_as_taken_only_deep_in_the_chain_and_after_several_looks() -> None:
    rent = transaction()
    rent.handle(looked(7), AT(0.0))
    for _ in range(5):
        assert rent.handle(ReceiptMissing(7), AT(1.0)) == []  # not deep: it could still come back
    assert rent.handle(ReceiptMissing(8), AT(2.0)) == []
    assert rent.handle(ReceiptMissing(8), AT(3.0)) == []
    [end] = rent.handle(ReceiptMissing(8), AT(4.0))
    assert isinstance(end, End)
    assert end.outcome.ending is Ending.NONCE_TAKEN


def test_a_restart_after_it_was_mined_asks_before_it_offers() -> None:
    rent = transaction()
    assert rent.handle(looked(8), AT(0.0)) == [AskReceipts((FIRST.hash,))]


def test_an_event_out_of_place_changes_nothing() -> None:
    rent = transaction()
    with pytest.raises(UnexpectedEvent):
        rent.handle(ReceiptFound(receipt(1), 10), AT(0.0))
    assert rent.state is TransactionState.SIGNED


def test_nonces_follow_whoever_is_ahead() -> None:
    outbox = Outbox()
    assert outbox.next_nonce(4) == 4
    outbox.add(transaction("a", 4))
    assert outbox.next_nonce(4) == 5  # the chain lags behind us
    assert outbox.next_nonce(9) == 9  # somebody else signs too
    with pytest.raises(LocalProtocolError):
        outbox.add(transaction("b", 4))


def test_a_lagging_endpoint_does_not_make_an_ended_nonce_be_used_again() -> None:
    outbox = Outbox()
    rent = transaction("a", 4)
    outbox.add(rent)
    rent.handle(looked(4), AT(0.0))
    [end] = rent.handle(ReceiptFound(receipt(1), 10), AT(1.0))
    assert isinstance(end, End)
    assert outbox.end(end.outcome, nonce=4) == []
    assert outbox.next_nonce(4) == 5
    assert outbox.outcome("a") == end.outcome


def test_the_outbox_is_bounded() -> None:
    outbox = Outbox()
    for number in range(limits.CHAIN_OUTBOX_MAX):
        outbox.check_room()
        outbox.add(transaction(f"k{number}", number))
    with pytest.raises(ChainError) as raised:
        outbox.check_room()
    assert raised.value.code == "outbox_full"
