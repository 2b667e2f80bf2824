"""Vectors of chapter 08b: who is drawn, what a statement says, and what several come to."""

from typing import Any

from skyops_p2p.core.probes.answering import check_answer
from skyops_p2p.core.probes.draw import StakeFacts, bar_of, lot_of, rank_of
from skyops_p2p.core.probes.shelf import StatementShelf
from skyops_p2p.core.probes.statements import Statement, make_statement, open_statement, packed, unpacked
from skyops_p2p.core.probes.tally import Evidence, Tally
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.reputation.conduct import Outcome
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages import probes as msg
from skyops_p2p.wire.model import Message, decode_message, encode_message
from tests.vectors.people import ALICE, BOB, CAROL, NOW, RULES

Case = dict[str, Any]
TIMES = ProbeTimes()
WATCH = TIMES.watch_of(TIMES.slot_at(NOW)) - 1
"""The last one that is over."""
BEACON = sha256(b"a block")
WITNESSES = [Wallet.from_secret(bytes([number] * 32)) for number in range(0x31, 0x39)]
UNIT = 1_000_000
YES, NO, AWAY, NOT = Outcome.ANSWERED, Outcome.SILENT, Outcome.ANNOUNCED, Outcome.UNASKED


def account_of(wallet: Wallet) -> bytes:
    return address_to_bytes(wallet.address)


ALICES, BOBS, CAROLS = (account_of(one.wallet) for one in (ALICE, BOB, CAROL))


def draw_cases() -> list[Case]:
    rows = [
        (f"{name}, {stake} credits of {total}", account, stake * UNIT, total * UNIT, WATCH + later)
        for name, account in (("bob", BOBS), ("carol", CAROLS))
        for stake, total, later in ((100, 600, 0), (100, 5000, 0), (1000, 5000, 0), (100, 5000, 1), (100, 100_000, 0))
    ]  # fmt: skip
    found = []
    for name, account, stake, total, watch in rows:
        lot = lot_of(BEACON, watch, probed=account, witness=ALICES)
        rank = rank_of(lot, stake)
        found.append(
            {"name": f"{name}, watch {watch}", "beacon": BEACON.hex(), "watch": watch, "account": account.hex(),
             "witness": ALICES.hex(), "stake": stake, "total": total, "lot": str(lot), "rank": str(rank),
             "is_drawn": rank < bar_of(total)}
        )  # fmt: skip
    return found


def rows(*outcomes: Outcome) -> list[Outcome]:
    """Return a watch that begins so, and in which nobody was asked afterwards."""
    return [*outcomes, *[NOT] * (TIMES.watch_slots - len(outcomes))]


def said(
    wallet: Wallet, probed: dict[bytes, list[Outcome]], *, watch: int = WATCH, network: str = RULES.network
) -> Statement:
    statement = make_statement(probed, watch, wallet, network)
    assert statement is not None
    return statement


def statement_cases() -> list[Case]:
    good = said(ALICE.wallet, {BOBS: rows(YES, NO, AWAY, YES, YES), CAROLS: [YES] * TIMES.watch_slots})
    plain = decode_message(msg.ProbeStatement, decode_message(msg.SignedStatement, good.data).statement)
    bob, carol = sorted(plain.probed, key=lambda part: part.account)
    bad: list[tuple[str, dict[str, Any], str]] = [
        ("of another network", {"network": "elsewhere"}, "wrong_network"),
        ("accounts descend", {"probed": (carol, bob)}, "malformed"),
        ("an account twice", {"probed": (bob, bob)}, "malformed"),
        ("of the witness itself", {"probed": (bob.model_copy(update={"account": ALICES}),)}, "malformed"),
        ("too few slots", {"probed": (bob.model_copy(update={"outcomes": bytes([1] * 8)}),)}, "malformed"),
        ("too many slots", {"probed": (bob.model_copy(update={"outcomes": bytes([1] * 10)}),)}, "malformed"),
        ("nobody was asked", {"probed": (bob.model_copy(update={"outcomes": bytes(9)}),)}, "malformed"),
        ("of this watch", {"watch": WATCH + 1}, "not_yet_valid"),
        ("of 28 days and a watch ago", {"watch": WATCH - 28 * 4 - 2}, "expired"),
    ]  # fmt: skip
    cases = [_statement("two accounts", good)]
    cases.append(_statement("as old as may be", said(ALICE.wallet, {BOBS: rows(NO)}, watch=WATCH - 112)))
    for name, changes, code in bad:
        inner = encode_message(plain.model_copy(update=changes))
        digest = sha256(b"skyops/probe-statement/1" + sha256(inner))
        data = encode_message(
            msg.SignedStatement(statement=inner, signature=ALICE.wallet.sign_digest(digest))
        )
        cases.append({"name": name, "network": RULES.network, "now": NOW, "bytes": data.hex(), "code": code})
    inner = encode_message(plain)
    data = encode_message(
        msg.SignedStatement(statement=inner, signature=BOB.wallet.sign_digest(sha256(inner)))
    )
    cases.append({"name": "signed by another", "network": RULES.network, "now": NOW, "bytes": data.hex(),
                  "code": "bad_signature"})  # fmt: skip
    return cases


def _statement(name: str, one: Statement) -> Case:
    return {"name": name, "network": RULES.network, "now": NOW, "bytes": one.data.hex(), **fields(one)}


def fields(one: Statement) -> Case:
    """Return what a statement says, as a vector has it."""
    outcomes = {
        who.hex(): [int(row) for row in unpacked(data, TIMES.watch_slots)] for who, data in one.probed
    }
    assert all(packed(unpacked(data, TIMES.watch_slots)) == data for _, data in one.probed)
    return {"is": one.name.hex(), "witness": one.witness.hex(), "watch": one.watch, "outcomes": outcomes}


def count_cases() -> list[Case]:
    """Eight witnesses of bob and carol, all with a stake of their own, and what changes the count."""
    everybody = [account_of(one) for one in WITNESSES] + [BOBS, CAROLS]
    stakes = {who: Stake(100 * UNIT, 0, registered_unix_s=0) for who in everybody}
    small = StakeFacts(stakes, 1000 * UNIT)
    honest = [said(one, {BOBS: [YES] * 30 + [NO] * 6, CAROLS: [AWAY] * 2 + [YES] * 34}) for one in WITNESSES]
    liars = [said(one, {BOBS: [NO] * 36, CAROLS: [NO] * 36}) for one in WITNESSES]
    late = Stake(100 * UNIT, 0, registered_unix_s=NOW // 1000)
    slashed = Stake(100 * UNIT, 0, is_slashed=True)
    large = StakeFacts({**stakes, account_of(WITNESSES[0]): Stake(5000 * UNIT, 0)}, 8191 * UNIT)
    found = [
        ("five agree", honest, small),
        ("two are not enough", honest[:2], small),
        ("three are", honest[:3], small),
        ("two liars of five", [*liars[:2], *honest[2:5]], small),
        ("two liars of eight", [*liars[:2], *honest[2:]], small),
        ("only who is drawn counts", honest, large),
        ("without stakes", honest, StakeFacts({}, 1000 * UNIT)),
        ("witnesses registered too late", honest,
         StakeFacts({**stakes, **{account_of(one): late for one in WITNESSES[:6]}}, 1000 * UNIT)),
        ("bob registered too late, carol slashed", honest,
         StakeFacts({**stakes, BOBS: late, CAROLS: slashed}, 1000 * UNIT)),
        ("some have two pasts", honest,
         StakeFacts(stakes, 1000 * UNIT, out=frozenset(map(account_of, WITNESSES[:5])))),
        ("two watches", [*honest, *(said(one, {BOBS: rows(NO, NO)}, watch=WATCH - 1) for one in WITNESSES)], small),
        ("a watch without a beacon", [said(one, {BOBS: rows(YES)}, watch=WATCH - 2) for one in WITNESSES], small),
        ("bob witnesses, and is not heard of himself", [said(BOB.wallet, {CAROLS: [NO] * 36}), *honest], small),
    ]  # fmt: skip
    return [_count(name, statements, facts) for name, statements, facts in found]


BEACONS = {WATCH: BEACON, WATCH - 1: sha256(b"another block")}


def _count(name: str, statements: list[Statement], facts: StakeFacts) -> Case:
    shelf = StatementShelf()
    for one in statements:
        assert shelf.put(one)[0]
    days = Tally(TIMES).days(Evidence(shelf.watches(), BEACONS, facts))
    return {
        "name": name, "statements": [one.data.hex() for one in statements],
        "beacons": {str(watch): beacon.hex() for watch, beacon in BEACONS.items()},
        "stakes": {
            who.hex(): [its.amount, its.registered_unix_s, its.is_slashed] for who, its in facts.stakes.items()
        },
        "total": facts.total, "out": sorted(who.hex() for who in facts.out),
        "days": {
            who.hex(): [[epoch, day.probed, day.answered, day.announced] for epoch, day in sorted(of.items())]
            for who, of in sorted(days.items())
        },
    }  # fmt: skip


def probe_examples() -> list[Message]:
    """Return one message of every kind."""
    slot, nonce = TIMES.slot_at(NOW), bytes(range(16))
    answer = msg.ProbeAnswer(slot=slot, nonce=nonce, witness=peer_id_to_bytes(ALICE.node_key.peer_id))
    check_answer(
        seal(answer, BOB.node_key, RULES.network), slot=slot, nonce=nonce, witness=ALICE.node_key.peer_id,
        probed=BOB.node_key.peer_id, network=RULES.network,
    )  # fmt: skip
    one = said(ALICE.wallet, {BOBS: rows(YES, NO, AWAY)})
    signed = decode_message(msg.SignedStatement, one.data)
    shelf = StatementShelf()
    shelf.put(open_statement(one.data, network=RULES.network, times=TIMES))
    return [
        msg.ProbeChallenge(slot=slot, nonce=nonce),
        answer,
        decode_message(msg.ProbeStatement, signed.statement),
        signed,
        msg.StatementSyncRequest(digests=shelf.digests(), after=b""),
        msg.StatementSyncReply(names=(one.name,), is_complete=True),
        msg.StatementsRequest(names=(one.name,)),
        msg.StatementsReply(items=(one.data,)),
    ]


FAMILIES = {
    "probe-draws": ("08b-probes.md, Draw", draw_cases),
    "probe-statements": ("08b-probes.md, Statements", statement_cases),
    "probe-counts": ("08b-probes.md, Counting", count_cases),
}
