"""Draws, answers, statements, the shelf and the answers from it: each rule, and one step beyond."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.probes.answering import Answerer, challenge_of, check_answer
from skyops_p2p.core.probes.draw import StakeFacts, bar_of, is_heard, lot_of, rank_of
from skyops_p2p.core.probes.serving import StatementService
from skyops_p2p.core.probes.shelf import StatementShelf
from skyops_p2p.core.probes.statements import Statement, make_statement, open_statement
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.reputation.conduct import Outcome
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, UnixMs
from skyops_p2p.wire.messages.probes import (
    ProbeStatement,
    SignedStatement,
    StatementsReply,
    StatementsRequest,
    StatementSyncReply,
    StatementSyncRequest,
)
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.core.people import ALICE, BOB, MALLORY, NOW, RULES, START

TIMES = ProbeTimes()
SLOT = TIMES.slot_at(NOW)
WATCH = TIMES.watch_of(SLOT) - 1
UNIT = 1_000_000
YES, NO = Outcome.ANSWERED, Outcome.SILENT


def account(number: int) -> bytes:
    return sha256(b"account %d" % number)[:20]


def said(*accounts: int, watch: int = WATCH, outcome: Outcome = YES) -> Statement:
    probed = {account(number): [outcome] * TIMES.watch_slots for number in accounts}
    made = make_statement(probed, watch, ALICE.wallet, RULES.network)
    assert made is not None
    return made


def code_of(call: object, *args: object, **named: object) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        call(*args, **named)  # type: ignore[operator]
    return caught.value.code


# --- slots and draws ----------------------------------------------------------------------------------------------
def test_a_watch_is_six_hours_and_begins_with_the_day() -> None:  # PRB-1
    assert TIMES.watch_ms == 6 * 3_600_000
    assert TIMES.watch_start(TIMES.watch_of(TIMES.slot_at(NOW))) <= NOW
    assert TIMES.watch_start(4 * 20_000) == 20_000 * 86_400_000
    assert set(TIMES.epochs(4 * 20_000 + 3)) == {20_000}
    assert TIMES.beacon_unix_s(WATCH) == TIMES.watch_start(WATCH) // 1000 - 600
    assert TIMES.beacon_unix_s(0) == 0


def test_witnesses_are_drawn_by_stake_whatever_their_number() -> None:  # PRB-3
    total = 2**32
    bar = bar_of(total)

    def drawn(stake: int, names: int) -> int:
        return sum(
            rank_of(lot_of(bytes(32), watch, probed=account(0), witness=account(1 + name)), stake) < bar
            for watch in range(2000 // names)
            for name in range(names)
        )

    whole, split = drawn(2**28, 1) / 2000, drawn(2**25, 8) / 250
    assert 0.33 < whole < 0.42  # 6 of 16
    assert 0.33 < split < 0.42
    assert bar_of(0) == 0
    assert bar_of(2 * total - 1) == bar == 2 * bar_of(2 * total)


def test_who_is_heard_was_staked_before_the_beacon() -> None:  # PRB-3
    stakes = {account(1): Stake(UNIT, 0, registered_unix_s=100), account(2): Stake(0, 0)}
    stakes[account(3)] = Stake(UNIT, 0, is_slashed=True)
    facts = StakeFacts(stakes, 10 * UNIT, out=frozenset({account(4)}))
    stakes[account(4)] = Stake(UNIT, 0)
    assert is_heard(account(1), facts, 100)
    assert not is_heard(account(1), facts, 99)
    assert not any(is_heard(account(number), facts, 100) for number in (2, 3, 4, 5))


# --- questions ----------------------------------------------------------------------------------------------------
def test_an_answer_is_bound_to_slot_nonce_and_both_peers() -> None:  # PRB-5, PRB-6, PRB-15
    answerer = Answerer(BOB.node_key, RULES.network, TIMES)
    nonce = bytes(16)
    reply = answerer.answer(ALICE.peer, challenge_of(SLOT, nonce), now=START, unix_ms=NOW)
    right = {
        "slot": SLOT,
        "nonce": nonce,
        "witness": ALICE.peer,
        "probed": BOB.peer,
        "network": RULES.network,
    }
    check_answer(reply, **right)  # type: ignore[arg-type]
    assert code_of(check_answer, reply, **right | {"slot": SLOT + 1}) == "wrong_nonce"
    assert code_of(check_answer, reply, **right | {"nonce": bytes([1] * 16)}) == "wrong_nonce"
    assert code_of(check_answer, reply, **right | {"witness": MALLORY.peer}) == "wrong_nonce"
    assert code_of(check_answer, reply, **right | {"probed": MALLORY.peer}) == "wrong_signer"
    assert code_of(check_answer, reply, **right | {"network": "elsewhere"}) == "bad_signature"


def test_other_slots_and_floods_are_refused() -> None:  # PRB-5
    answerer = Answerer(BOB.node_key, RULES.network, TIMES)

    def ask(slot: int, peer: object = ALICE.peer) -> object:
        return answerer.answer(peer, challenge_of(slot, bytes(16)), now=START, unix_ms=NOW)  # type: ignore[arg-type]

    assert ask(SLOT - 1)
    assert ask(SLOT + 1)
    assert code_of(ask, SLOT + 2) == "not_yet_valid"
    assert code_of(ask, SLOT - 2) == "expired"
    for _ in range(round(limits.PROBE_BURST)):
        ask(SLOT, MALLORY.peer)
    assert code_of(ask, SLOT, MALLORY.peer) == "flood"
    assert ask(SLOT)


# --- statements ---------------------------------------------------------------------------------------------------
def test_a_statement_names_at_most_sixty_four_and_the_fullest_of_them() -> None:  # PRB-4, PRB-8
    rows = {account(number): [YES] * TIMES.watch_slots for number in range(limits.PROBED_MAX)}
    rows[account(99)] = [YES, *[Outcome.UNASKED] * (TIMES.watch_slots - 1)]
    made = make_statement(rows, WATCH, ALICE.wallet, RULES.network)
    assert made is not None
    assert len(made.probed) == limits.PROBED_MAX
    assert account(99) not in dict(made.probed)
    assert len(made.data) < limits.GOSSIP_BYTES_MAX
    assert open_statement(made.data, network=RULES.network, times=TIMES) == made
    nobody = {account(1): [Outcome.UNASKED] * TIMES.watch_slots}
    assert make_statement(nobody, WATCH, ALICE.wallet, RULES.network) is None


def test_every_byte_of_a_statement_is_signed() -> None:  # PRB-9
    data = said(1, 2).data
    for place in range(len(data)):
        twisted = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert code_of(open_statement, twisted, network=RULES.network, times=TIMES)


def test_a_statement_of_shorter_watches_is_another_networks() -> None:  # PRB-9
    data = said(1).data
    assert code_of(open_statement, data, network=RULES.network, times=ProbeTimes(60_000, 6)) == "malformed"
    signed = decode_message(SignedStatement, data)
    elsewhere = decode_message(ProbeStatement, signed.statement).model_copy(update={"network": "elsewhere"})
    moved = encode_message(signed.model_copy(update={"statement": encode_message(elsewhere)}))
    assert code_of(open_statement, moved, network=RULES.network, times=TIMES) == "wrong_network"


# --- shelf --------------------------------------------------------------------------------------------------------
def test_of_several_statements_of_one_watch_two_stay_in_whatever_order_they_come() -> None:  # PRB-10
    variants = [said(1), said(2), said(3), said(4)]
    wanted = sorted(one.name for one in variants)[:2]
    for order in (variants, variants[::-1], variants[1:] + variants[:1]):
        shelf = StatementShelf()
        for one in order:
            shelf.put(one)
            shelf.check_invariants()
        assert sorted(one.name for one in shelf.all()) == wanted
        assert shelf.doubled() == {variants[0].witness}
    shelf.drop(next(iter(shelf.all())))
    assert shelf.doubled() == frozenset()
    assert shelf.has_of(variants[0].witness, WATCH)
    shelf.check_invariants()


def test_the_latest_watches_stay_at_the_bound() -> None:  # PRB-10
    shelf = StatementShelf(held_max=2)
    kept = [said(1, watch=WATCH - age) for age in (2, 0)]
    assert all(shelf.put(one)[0] for one in kept)
    assert shelf.put(kept[0]) == (False, [])
    assert not shelf.wants(kept[0])
    newer = said(1, watch=WATCH - 1)
    assert shelf.put(newer) == (True, [kept[0]])
    assert shelf.put(kept[0]) == (False, [])
    assert set(shelf.watches()) == {WATCH - 1, WATCH}
    shelf.check_invariants()


def test_neighbours_are_told_what_differs_page_by_page() -> None:  # PRB-12
    shelf, empty = StatementShelf(), StatementShelf()
    for number in range(600):
        shelf.put(Statement(b"", sha256(b"%d" % number), account(number), WATCH - number % 3, ()))
    service = StatementService(shelf)

    def ask(after: bytes, digests: bytes = empty.digests()) -> StatementSyncReply:
        request = encode_message(StatementSyncRequest(digests=digests, after=after))
        return decode_message(StatementSyncReply, service.answer(BOB.peer, request, START))

    first = ask(b"")
    second = ask(first.names[-1])
    assert (len(first.names), first.is_complete) == (limits.PROBE_SYNC_NAMES_MAX, False)
    assert second.is_complete
    assert [*first.names, *second.names] == sorted(one.name for one in shelf.all())
    assert ask(b"", shelf.digests()) == StatementSyncReply(names=(), is_complete=True)


def test_who_asks_for_statements_gets_those_that_are_held() -> None:  # PRB-12
    shelf = StatementShelf()
    one = said(1)
    shelf.put(one)
    service = StatementService(shelf)
    request = encode_message(StatementsRequest(names=(one.name, bytes(32), one.name)))
    reply = decode_message(StatementsReply, service.answer(BOB.peer, request, START))
    assert reply.items == (one.data,)
    assert code_of(service.answer, BOB.peer, challenge_of(SLOT, bytes(16)), START) == "wrong_type"
    for _ in range(round(limits.PROBE_REQUEST_BURST)):
        service.answer(MALLORY.peer, request, START)
    assert code_of(service.answer, MALLORY.peer, request, START) == "flood"
    later = MonotonicS(START + 1 / limits.PROBE_REQUESTS_PER_S)
    assert service.answer(MALLORY.peer, request, later)


def test_old_is_what_ended_before_the_days_that_count() -> None:  # PRB-9
    day = NOW // 86_400_000 * 86_400_000
    first = TIMES.watch_of(TIMES.slot_at(day)) - 28 * 4
    assert not TIMES.is_old(first, UnixMs(NOW))
    assert TIMES.is_old(first - 1, UnixMs(NOW))
