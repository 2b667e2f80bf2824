"""SET-13: a worker that was restarted answers its newest voucher with the halves that it had given."""

from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.payee import Payee
from skyops_p2p.node.settlement.payee_pair import _halves_of
from skyops_p2p.node.settlement.records import KeptReceipt
from skyops_p2p.wire.messages.settlement import VoucherAnswer
from tests.unit.core.settlement.pair_world import BOB, PAIR, RICH, World, terms


def paid_lane() -> World:
    world = World()
    world.both(RICH)
    run = world.begin(terms(1))
    world.settle()
    world.pass_time(5)
    world.finish(run)
    world.settle()
    return world


def test_halves_are_in_the_journal_and_given_again() -> None:  # SET-13
    world = paid_lane()
    (given,) = [
        one for one in world.sent("bob", VoucherAnswer) if isinstance(one, VoucherAnswer) and one.halves
    ]
    account = Account.decode(world.payee.account.encode())
    assert account.voucher is not None
    kept = [
        KeptReceipt.of(effect.data, effect.index)
        for effect in world.effects_of("bob", ev.KeepReceipt)
        if isinstance(effect, ev.KeepReceipt)
    ]
    halves = _halves_of(account, kept)
    assert halves == given.halves
    again = Payee(PAIR, BOB, ev.ReceiptChain(), world.now, account=account, halves=halves)
    assert again.handle(ev.VoucherHeard(account.voucher), world.now) == [ev.SendToPeer(given)]


def test_halves_that_are_not_whole_are_left_out() -> None:
    world = paid_lane()
    assert _halves_of(world.payee.account, []) == ()
    assert _halves_of(Account(), []) == ()
    assert _halves_of(None, []) == ()
