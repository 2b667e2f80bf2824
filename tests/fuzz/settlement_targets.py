"""What is fuzzed of chapter 07: offers of lanes, vouchers up to the last check, receipts, and records of a pair."""

from collections.abc import Callable

from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.lanes import offer_of
from skyops_p2p.core.settlement.payee import Payee
from skyops_p2p.core.settlement.receipts import ChainPlace, equivocation, open_signed
from skyops_p2p.core.settlement.vouchers import digest_of
from skyops_p2p.errors import RemoteProtocolError, StoreError
from skyops_p2p.wire.messages.settlement import LaneAnswer, LaneOffer, Voucher, VoucherAnswer
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.core.settlement.pair_world import ALICE, BOB, PAIR, RICH, World, terms
from tests.vectors.settlement_cases import PAIR as VECTORS_PAIR
from tests.vectors.signed_receipt_cases import receipt, signed_receipt


def _world() -> World:
    """Return a pair of which alice has just signed two intervals of bob's lanes, one with its receipt."""
    world = World()
    world.both(RICH)
    lanes = [world.begin(terms(number)) for number in (1, 2, 3)]
    world.settle()
    world.pass_time(5)
    world.finish(lanes[0])
    while not any(to == "bob" for to, _ in world.queue):
        world.deliver(0)
    world.finish(lanes[1])
    world.pass_time(5, is_linked=False)
    for index in reversed([n for n, (to, _) in enumerate(world.queue) if to == "alice"]):
        world.deliver(index)
    while world.payee.account.cumulative == 0:
        world.deliver(0)
    return world


WORLD = _world()
RECORD = WORLD.payee.account.encode()
while len(WORLD.sent("alice", Voucher)) < 2:
    WORLD.deliver(0)
VOUCHERS = {encode_message(message) for message in WORLD.sent("alice", Voucher)}
RECORDS = {RECORD, Account().encode(), WORLD.payer.account.encode()}


def _payee() -> Payee:
    """Return bob's side, which waits for the newest voucher, and for the offer of another lane."""
    payee = Payee(
        PAIR, BOB, ev.ReceiptChain(ChainPlace(1, bytes([1] * 32))), WORLD.now, account=Account.decode(RECORD)
    )
    payee.handle(RICH, WORLD.now)
    payee.handle(ev.LaneExpected(terms(4)), WORLD.now)
    return payee


def _answer_to(event: ev.VoucherHeard | ev.LaneOfferHeard) -> None:
    """Have bob hear it: he answers with a code, and changes nothing unless it is taken."""
    payee = _payee()
    effects = payee.handle(event, WORLD.now)
    payee.check_invariants()
    sent = [effect.message for effect in effects if isinstance(effect, ev.SendToPeer)]
    (answer,) = [message for message in sent if isinstance(message, (VoucherAnswer, LaneAnswer))]
    if answer.code != "taken":
        assert payee.account.encode() == RECORD
        raise RemoteProtocolError("refused", code=answer.code)


def _voucher(data: bytes) -> None:
    _answer_to(ev.VoucherHeard(decode_message(Voucher, data)))


def _signed_voucher(data: bytes) -> None:
    """Sign whatever it says, so that what stands behind the signature is reached."""
    message = decode_message(Voucher, data)
    cumulative = int.from_bytes(message.cumulative, "big")
    if cumulative >> 96 == 0:
        signature = ALICE.sign_digest(digest_of(PAIR, cumulative, message.receipts_root))
        message = message.model_copy(update={"signature": signature})
    _answer_to(ev.VoucherHeard(message))


def _account(data: bytes) -> None:
    """A record that cannot be read has one code; to the fuzzer that is a refusal."""
    try:
        account = Account.decode(data)
    except StoreError as error:
        raise RemoteProtocolError("no record", code=error.code) from error
    assert Account.decode(account.encode()) == account


def _two_receipts(data: bytes) -> None:
    """A receipt proves nothing against itself."""
    open_signed(data, VECTORS_PAIR.domain)
    assert equivocation(data, data, VECTORS_PAIR.domain) is None


TARGETS: dict[str, Callable[[bytes], object]] = {
    "lane-offering": lambda data: _answer_to(ev.LaneOfferHeard(decode_message(LaneOffer, data))),
    "voucher-intake": _voucher,
    "voucher-contents": _signed_voucher,
    "pair-receipt": _two_receipts,
    "pair-record": _account,
}
FAMILIES = {
    "lane-offering": ("lanes",),
    "voucher-intake": ("vouchers",),
    "voucher-contents": ("vouchers",),
    "pair-receipt": ("signed-receipts", "double-histories"),
    "pair-record": ("receipt-trees",),
}
"""The vectors that a target begins with."""


def seeds(target: str) -> set[bytes]:
    """Return further inputs to begin with."""
    return {
        "lane-offering": {encode_message(offer_of(terms(4), PAIR))},
        "voucher-intake": VOUCHERS,
        "voucher-contents": VOUCHERS,
        "pair-receipt": {signed_receipt(receipt(3))},
        "pair-record": RECORDS,
    }.get(target, set())
