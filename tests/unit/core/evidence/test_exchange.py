"""RCP-3 to RCP-13: what one exchange takes, refuses, asks and tells, and what a liar costs it."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence import events as ev
from skyops_p2p.core.evidence.exchange import Exchange
from skyops_p2p.core.evidence.items import open_evidence
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.settlement.receipts import NO_LINK, ChainPlace, link_of
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.evidence import (
    DoubleHistoryProof,
    ReceiptNames,
    ReceiptRangeRequest,
    ReceiptsReply,
    ReceiptsRequest,
)
from skyops_p2p.wire.messages.settlement import SignedReceipt
from skyops_p2p.wire.model import decode_message, encode_message
from tests.vectors.evidence_cases import SCOPE
from tests.vectors.people import BOB, MALLORY, NOW
from tests.vectors.settlement_cases import PAIR
from tests.vectors.signed_receipt_cases import receipt, signed_receipt

BOB_PEER, CAROL_PEER = PeerId("bob"), PeerId("carol")
LATER = UnixMs(NOW + 3_600_000)
"""An hour after the receipts of the vectors ended: a half is due."""
PLACES = (ChainPlace(), ChainPlace())


def at(seconds: float) -> MonotonicS:
    return MonotonicS(seconds)


class Desk:
    """One exchange and what it has wanted done; its neighbours are bob and carol."""

    def __init__(self, *, is_funded: bool | None = True, members: frozenset[bytes] = frozenset()) -> None:
        self.exchange = Exchange(SCOPE, salt=bytes(32), is_member=members.__contains__)
        self.now = 0.0
        self.is_funded = is_funded
        self.compares = False
        """Comparisons are left to the test; else nothing ever differs."""
        self.do(pull.Restored((), LATER))
        self.wait(0.0)

    def do(self, event: ev.Event) -> list[Effect]:
        effects = self.exchange.handle(event, at(self.now))
        for effect in list(effects):
            if isinstance(effect, ev.JudgePair):
                effects += self.do(ev.PairJudged(effect.pair, self.is_funded, LATER))
            if isinstance(effect, pull.AskNames) and not self.compares:
                effects += self.do(pull.NamesAnswered(effect.peer, (), is_complete=True))
        self.exchange.check_invariants()
        return effects

    def wait(self, seconds: float) -> list[Effect]:
        self.now += seconds
        return self.do(pull.TimeCame((BOB_PEER, CAROL_PEER), LATER))

    def name(self, *names: bytes, by: PeerId = BOB_PEER) -> list[Effect]:
        payload = encode_message(ReceiptNames(names=names))
        return self.do(ev.GossipAccepted(by, payload, LATER))

    def give(self, *items: bytes, by: PeerId = BOB_PEER) -> list[Effect]:
        return self.do(pull.ItemsAnswered(by, items, LATER))

    def fetch(self, data: bytes) -> list[Effect]:
        """Have bob name a receipt; whoever is asked for it gives it."""
        effects = [*self.name(name(data)), *self.wait(1.0)]
        (asked,) = [one for one in effects if isinstance(one, pull.AskItems) and one.names == (name(data),)]
        return self.give(data, by=asked.peer)


def name(data: bytes) -> bytes:
    return open_evidence(data, SCOPE)[0].name


def second_of(wallet: Wallet | None, number: int = 2, **changes: object) -> bytes:
    """Return alice's second receipt, behind the first of the vectors."""
    before = ChainPlace(1, link_of(encode_message(receipt()), NO_LINK))
    return signed_receipt(receipt(number, **changes), worker=wallet, places=(before, before))


def doubled() -> tuple[bytes, bytes]:
    """Return two receipts for alice's first place; bob's are in order."""
    first = signed_receipt(receipt())
    bobs = ChainPlace(1, link_of(encode_message(receipt()), NO_LINK))
    return first, signed_receipt(receipt(2), places=(ChainPlace(), bobs))


def test_what_is_named_is_asked_for_held_and_written_down() -> None:  # RCP-8
    desk, data = Desk(), signed_receipt(receipt())
    effects = desk.fetch(data)
    assert pull.KeepItem(sha256(encode_message(receipt())).hex(), data) in effects
    assert desk.exchange.shelf.named(name(data)) is not None
    assert desk.name(name(data)) == []  # it is held


def test_who_was_named_first_is_asked_first_and_then_a_neighbour() -> None:  # RCP-8
    desk, wanted = Desk(), bytes([7] * 32)
    assert pull.AskItems(CAROL_PEER, (wanted,)) in desk.name(wanted, by=CAROL_PEER)
    desk.give(by=CAROL_PEER)
    effects = [*desk.wait(2.0), *desk.wait(limits.RECEIPT_ASK_PAUSE_S)]
    asked = [effect for effect in effects if isinstance(effect, pull.AskItems)]
    assert asked == [pull.AskItems(BOB_PEER, (wanted,))]


def test_a_receipt_that_nobody_has_is_given_up() -> None:
    desk, wanted = Desk(), bytes([7] * 32)
    desk.name(wanted)
    for _ in range(2 * limits.WANT_TRIES_MAX):
        for peer in (BOB_PEER, CAROL_PEER):
            desk.give(by=peer)
        desk.wait(limits.WANT_BACKOFF_S_MAX)
    assert len(desk.exchange.asking) == 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (signed_receipt(receipt(network="elsewhere")), "wrong_network"),
        (signed_receipt(receipt(chain_id=1)), "wrong_network"),
        (signed_receipt(receipt(contract=bytes(20))), "wrong_contract"),
        (signed_receipt(receipt(token=bytes(20))), "wrong_contract"),
    ],
)
def test_receipts_of_another_market_are_refused_and_their_giver_rests(
    data: bytes, code: str
) -> None:  # RCP-3
    desk, wanted = Desk(), bytes([7] * 32)
    desk.name(wanted)
    effects = desk.give(data)
    assert desk.exchange.gate.refusals[code] == 1
    assert len(desk.exchange.shelf) == 0
    assert not any(isinstance(effect, pull.BlamePeer) for effect in effects)
    assert desk.exchange.gate.is_resting(BOB_PEER, at(desk.now))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (signed_receipt(receipt(), worker=MALLORY.wallet), "bad_signature"),
        (signed_receipt(receipt(), requester=None, worker=None), "bad_receipt"),
        (b"\x80", "malformed"),
    ],
)
def test_forged_receipts_cost_their_giver_and_no_memory(data: bytes, code: str) -> None:  # RCP-8
    desk = Desk()
    desk.name(bytes([7] * 32))
    assert pull.BlamePeer(BOB_PEER, code) in desk.give(data, signed_receipt(receipt()))
    assert len(desk.exchange.shelf) == 0


def test_what_was_not_asked_for_is_not_taken() -> None:  # RCP-8
    desk, data = Desk(), signed_receipt(receipt())
    assert desk.give(data) == []  # no question at all
    desk.name(bytes([7] * 32))
    desk.give(data)
    assert desk.exchange.gate.refusals["unsolicited"] == 1
    assert len(desk.exchange.shelf) == 0


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (LATER + limits.CLOCK_SKEW_MS_MAX + 1, "not_yet_valid"),
        (LATER - limits.RECEIPT_AGE_MS_MAX - 1, "expired"),
    ],
)
def test_receipts_of_no_date_are_refused_without_blame(ended: int, code: str) -> None:  # RCP-3
    desk = Desk()
    effects = desk.fetch(signed_receipt(receipt(ended_unix_ms=ended)))
    assert not any(isinstance(effect, pull.BlamePeer) for effect in effects)
    assert (len(desk.exchange.shelf), desk.exchange.gate.refusals[code]) == (0, 1)


@pytest.mark.parametrize("ended", [LATER + limits.CLOCK_SKEW_MS_MAX, LATER - limits.RECEIPT_AGE_MS_MAX])
def test_receipts_at_the_bounds_of_their_date_are_held(ended: int) -> None:  # RCP-3
    desk = Desk()
    desk.fetch(signed_receipt(receipt(ended_unix_ms=ended)))
    assert len(desk.exchange.shelf) == 1


@pytest.mark.parametrize(
    ("is_funded", "rest_s"), [(False, limits.PAIR_UNFUNDED_S), (None, limits.CHAIN_SILENT_S)]
)
def test_a_pair_without_money_is_not_held_and_asked_for_again_later(
    is_funded: bool | None, rest_s: float
) -> None:  # RCP-6
    desk, data = Desk(is_funded=is_funded), signed_receipt(receipt())
    desk.fetch(data)
    assert len(desk.exchange.shelf) == 0
    assert desk.name(name(data)) == []  # refused for now
    desk.is_funded = True
    desk.wait(rest_s + 1)
    desk.fetch(data)
    assert len(desk.exchange.shelf) == 1


def test_a_pair_that_stays_without_money_is_looked_up_ever_less_often() -> None:  # RCP-6
    desk, data = Desk(is_funded=False), signed_receipt(receipt())
    for rest_s in (30, 60, 120, 240, 480, 600, 600):
        assert any(isinstance(effect, ev.JudgePair) for effect in desk.fetch(data))
        desk.wait(rest_s - 1)
        assert desk.name(name(data)) == []
        desk.wait(1.0)
    desk.is_funded = True
    desk.fetch(data)
    desk.is_funded = False
    desk.wait(limits.PAIR_JUDGED_S)
    desk.fetch(second_of(BOB.wallet))  # of the same pair, whose money is gone
    assert len(desk.exchange.shelf) == 1
    desk.wait(limits.PAIR_UNFUNDED_S)
    desk.is_funded = True
    desk.fetch(second_of(BOB.wallet))
    assert len(desk.exchange.shelf) == 2


def test_an_own_receipt_is_told_with_both_halves_at_once_and_with_one_later() -> None:  # RCP-5
    desk, half, whole = Desk(), signed_receipt(receipt(), worker=None), signed_receipt(receipt())
    early = UnixMs(receipt().ended_unix_ms + limits.RECEIPT_HALF_WAIT_MS - 1)
    assert desk.do(ev.OwnReceiptKept(half, early)) == []
    assert len(desk.exchange.shelf) == 0
    desk.do(ev.OwnReceiptKept(whole, early))
    told = [effect for effect in desk.wait(limits.RECEIPT_TELL_S) if isinstance(effect, pull.Gossip)]
    assert told == [pull.Gossip(encode_message(ReceiptNames(names=(name(whole),))))]

    other = Desk()
    other.do(ev.OwnReceiptKept(half, UnixMs(early + 1)))
    told = [effect for effect in other.wait(limits.RECEIPT_TELL_S) if isinstance(effect, pull.Gossip)]
    assert told == [pull.Gossip(encode_message(ReceiptNames(names=(name(half),))))]


def test_halves_from_two_peers_become_one_receipt() -> None:  # RCP-4
    desk, whole = Desk(), signed_receipt(receipt())
    for half in (signed_receipt(receipt(), worker=None), signed_receipt(receipt(), requester=None)):
        desk.fetch(half)
        desk.wait(1.0)
    assert [item.data for item in desk.exchange.shelf.all()] == [whole]
    halves = (name(signed_receipt(receipt(), worker=None)), name(signed_receipt(receipt(), requester=None)))
    request = encode_message(ReceiptsRequest(names=(*halves, name(whole))))
    reply = decode_message(ReceiptsReply, desk.exchange.answer(BOB_PEER, request, at(desk.now)))
    assert reply.items == (whole,)  # RCP-9


def test_a_stretch_of_a_chain_is_answered_in_its_order() -> None:  # RCP-9
    desk, first, second = Desk(), signed_receipt(receipt()), second_of(BOB.wallet)
    desk.do(ev.OwnReceiptKept(second, LATER))
    desk.do(ev.OwnReceiptKept(first, LATER))

    def ask(**changes: object) -> tuple[bytes, ...]:
        fields = {"account": PAIR.requester, "first": 1, "count": 24} | changes
        request = encode_message(ReceiptRangeRequest.model_validate(fields))
        return decode_message(ReceiptsReply, desk.exchange.answer(BOB_PEER, request, at(0))).items

    assert ask() == (first, second)
    assert ask(first=2, count=1) == (second,)
    assert ask(account=bytes(20)) == ()


def test_what_is_missing_before_a_receipt_is_asked_for_once() -> None:  # RCP-9
    desk = Desk()
    effects = desk.fetch(second_of(BOB.wallet))
    (asked,) = [effect for effect in effects if isinstance(effect, ev.AskRange)]
    assert (asked.account, asked.first, asked.count) == (PAIR.requester, 1, 1)
    desk.give(signed_receipt(receipt()), by=asked.peer)
    assert len(desk.exchange.shelf) == 2


def test_two_receipts_for_one_place_make_a_proof_that_is_told_and_kept() -> None:  # SET-17, RCP-12, RCP-13
    desk, (first, second) = Desk(), doubled()
    desk.fetch(first)
    desk.wait(1.0)
    effects = desk.fetch(second)
    (found,) = [effect.history for effect in effects if isinstance(effect, ev.HistoryFound)]
    assert (found.account, found.sequence) == (PAIR.requester, 1)
    proof = encode_message(desk.exchange.histories[PAIR.requester])
    assert pull.Gossip(proof) in effects
    assert pull.KeepItem(f"history/{PAIR.requester.hex()}", proof) in effects
    assert pull.ForgetItem(sha256(encode_message(receipt())).hex()) in effects
    assert len(desk.exchange.shelf) == 0
    request = encode_message(ReceiptsRequest(names=(name(first),)))
    reply = decode_message(ReceiptsReply, desk.exchange.answer(BOB_PEER, request, at(desk.now)))
    assert reply.items == (proof,)  # RCP-9


def test_a_receipt_of_a_proven_account_has_the_proof_told_again_but_not_often() -> None:  # RCP-13
    desk, (first, second) = Desk(), doubled()
    desk.do(ev.OwnReceiptKept(first, LATER))
    desk.do(ev.OwnReceiptKept(second, LATER))
    third = second_of(BOB.wallet, 3)
    assert not any(isinstance(effect, pull.Gossip) for effect in desk.do(ev.OwnReceiptKept(third, LATER)))
    desk.now += limits.HISTORY_TOLD_AGAIN_S
    told = desk.do(ev.OwnReceiptKept(third, LATER))
    assert told == [pull.Gossip(encode_message(desk.exchange.histories[PAIR.requester]))]
    assert len(desk.exchange.shelf) == 0


def test_a_restart_keeps_receipts_and_proofs() -> None:
    desk, (first, second) = Desk(), doubled()
    proof = None
    for data in (first, second):
        for effect in desk.do(ev.OwnReceiptKept(data, LATER)):
            if isinstance(effect, pull.KeepItem) and effect.key.startswith("history/"):
                proof = effect.data
    assert proof is not None
    kept = signed_receipt(receipt(5), requester=None)
    again = Desk()
    effects = again.do(pull.Restored((kept, proof, first), LATER))
    assert list(again.exchange.histories) == [PAIR.requester]
    assert [item.data for item in again.exchange.shelf.all()] == [kept]
    assert pull.ForgetItem(sha256(encode_message(receipt())).hex()) in effects  # a crash had left it


def proof_of_alice() -> bytes:
    desk, pair = Desk(), doubled()
    for data in pair:
        desk.do(ev.OwnReceiptKept(data, LATER))
    return encode_message(desk.exchange.histories[PAIR.requester])


def test_gossip_is_judged_before_it_is_forwarded() -> None:  # RCP-7, RCP-12
    proof, names = proof_of_alice(), encode_message(ReceiptNames(names=(bytes(32),)))
    forged = decode_message(DoubleHistoryProof, proof).model_copy(update={"sequence": 9})
    stranger, member = Desk(), Desk(members=frozenset({PAIR.requester}))

    def judge(desk: Desk, payload: bytes) -> Judgement:
        return desk.exchange.judge(BOB_PEER, payload, at(0))

    assert judge(stranger, names) is Judgement.ACCEPT
    assert judge(stranger, proof) is Judgement.IGNORE  # nobody here knows alice
    assert judge(member, proof) is Judgement.ACCEPT
    assert judge(member, encode_message(forged)) is Judgement.REJECT
    assert judge(member, b"\x80") is Judgement.REJECT
    assert judge(member, bytes(limits.GOSSIP_BYTES_MAX + 1)) is Judgement.REJECT
    assert judge(member, signed_receipt(receipt())) is Judgement.REJECT
    known = Desk()
    known.do(ev.OwnReceiptKept(signed_receipt(receipt()), LATER))
    held = encode_message(ReceiptNames(names=(name(signed_receipt(receipt())),)))
    assert judge(known, held) is Judgement.IGNORE
    assert judge(known, proof) is Judgement.ACCEPT
    known.do(ev.GossipAccepted(BOB_PEER, proof, LATER))
    assert judge(known, proof) is Judgement.IGNORE
    assert isinstance(decode_message(SignedReceipt, signed_receipt(receipt())), SignedReceipt)


def test_an_author_that_floods_is_ignored() -> None:  # RCP-7
    desk = Desk()
    judged = [
        desk.exchange.judge(BOB_PEER, encode_message(ReceiptNames(names=(bytes([n] * 32),))), at(0))
        for n in range(int(limits.RECEIPT_GOSSIP_BURST) + 1)
    ]
    assert judged[-2:] == [Judgement.ACCEPT, Judgement.IGNORE]
    assert desk.exchange.gate.refusals["flood"] == 1


def test_a_peer_that_floods_with_questions_is_refused() -> None:  # RCP-11
    desk, request = Desk(), encode_message(ReceiptsRequest(names=(bytes(32),)))
    for _ in range(int(limits.RECEIPT_REQUEST_BURST)):
        desk.exchange.answer(BOB_PEER, request, at(0))
    with pytest.raises(RemoteProtocolError) as refused:
        desk.exchange.answer(BOB_PEER, request, at(0))
    assert refused.value.code == "flood"


def test_a_peer_that_names_what_it_has_not_rests() -> None:  # RCP-8
    desk, number = Desk(), 0
    while not desk.exchange.gate.is_resting(BOB_PEER, at(desk.now)):
        number += 1
        assert number <= limits.RECEIPT_BOGUS_BURST + 2
        effects = desk.name(number.to_bytes(32, "big")) or desk.wait(limits.RECEIPT_ASK_PAUSE_S)
        assert any(isinstance(effect, pull.AskItems) for effect in effects)
        for peer in (BOB_PEER, CAROL_PEER):
            desk.give(by=peer)
    assert number >= limits.RECEIPT_BOGUS_BURST


def test_names_of_one_peer_are_bounded() -> None:
    desk = Desk()
    for number in range(limits.WANTS_PER_PEER_MAX + 1):
        desk.exchange.asking.want(number.to_bytes(32, "big"), BOB_PEER, at(0))
    assert len(desk.exchange.asking) == limits.WANTS_PER_PEER_MAX


def test_a_comparison_goes_on_where_the_answer_ended() -> None:  # RCP-10
    desk = Desk()
    desk.compares = True
    (asked,) = [effect for effect in desk.wait(limits.RECEIPT_SYNC_S) if isinstance(effect, pull.AskNames)]
    names = (bytes([1] * 32), bytes([2] * 32))
    effects = desk.do(pull.NamesAnswered(asked.peer, names, is_complete=False))
    assert pull.AskNames(asked.peer, asked.digests, names[-1]) in effects
    effects = desk.do(pull.NamesAnswered(asked.peer, names, is_complete=False))  # it does not advance
    assert not any(isinstance(effect, pull.AskNames) for effect in effects)
