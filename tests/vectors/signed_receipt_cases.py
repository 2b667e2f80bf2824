"""Vectors of chapter 07, "Receipts": both halves, trees of a pair, and double histories."""

from typing import Any

from skyops_p2p.core.settlement.amounts import wei_to_bytes
from skyops_p2p.core.settlement.lanes import Lane, receipt_of
from skyops_p2p.core.settlement.meters import Counts
from skyops_p2p.core.settlement.receipts import (
    RECEIPT_CHAIN,
    ChainPlace,
    DisputesDomain,
    equivocation,
    leaf_of,
    link_of,
    open_signed,
    sign_half,
    with_half,
)
from skyops_p2p.core.settlement.trees import GrowingTree, prove
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.typed_data import statement_digest
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.wire.messages.settlement import HalfPart, Receipt
from skyops_p2p.wire.model import encode_message
from tests.vectors.people import ALICE, BOB, MALLORY, NOW
from tests.vectors.settlement_cases import DISPUTES, FACTS, PAIR, Case, terms


def receipt(number: int = 1, **changes: Any) -> Receipt:
    """Return the receipt of a lane of one interval, or another one."""
    lane = Lane(terms(number), facts=FACTS, is_last=True)
    counts = Counts(10_000, 5000)
    paid = lane.paid_with(counts, counts, 10**16)
    return receipt_of(PAIR, paid, counts, counts, cumulative=number * 10**16).model_copy(update=changes)


def signed_receipt(
    one: Receipt, *, requester: Wallet | None = ALICE.wallet, worker: Wallet | None = BOB.wallet,
    places: tuple[ChainPlace, ChainPlace] = (ChainPlace(), ChainPlace()), domain: DisputesDomain = PAIR.domain,
) -> bytes:  # fmt: skip
    data = encode_message(one)
    halves = [
        None if wallet is None else sign_half(data, place, wallet, domain)[0]
        for wallet, place in zip((requester, worker), places, strict=True)
    ]
    return with_half(data, requester=halves[0], worker=halves[1])


THIRD = (ChainPlace(2, sha256(b"alice's second")), ChainPlace(40, sha256(b"bob's fortieth")))


def receipt_cases() -> list[Case]:
    first = receipt()
    high = receipt(cumulative=wei_to_bytes(2**96))
    good = [
        ("both halves, each the first", signed_receipt(first)),
        ("later ones", signed_receipt(receipt(2), places=THIRD)),
        ("the requester's half alone", signed_receipt(first, worker=None)),
        ("the worker's half alone", signed_receipt(first, requester=None, places=THIRD)),
        ("of a program that failed", signed_receipt(receipt(outcome="program_failed", amount=bytes(32)))),
        ("that ended in the last millisecond of a second", signed_receipt(receipt(ended_unix_ms=NOW + 999))),
    ]
    other = DisputesDomain(1, DISPUTES)
    bad = [
        ("nobody's", signed_receipt(first, requester=None, worker=None), "bad_receipt"),
        ("halves the wrong way round", signed_receipt(first, requester=BOB.wallet, worker=ALICE.wallet),
         "bad_signature"),
        ("somebody else's", signed_receipt(first, worker=MALLORY.wallet), "bad_signature"),
        ("of another chain, though signed for this one", signed_receipt(receipt(chain_id=1)), "wrong_network"),
        ("signed for another chain", signed_receipt(first, domain=other), "bad_signature"),
        ("a first one behind another", signed_receipt(first, places=(ChainPlace(0, THIRD[0].link), ChainPlace())),
         "bad_receipt"),
        ("a later one behind none", signed_receipt(first, places=(ChainPlace(7), ChainPlace())), "bad_receipt"),
        ("more than a voucher can say", signed_receipt(high), "malformed"),
        ("no receipt inside", with_half(b"\x80", requester=_half(first)), "malformed"),
    ]  # fmt: skip
    return [
        *({"name": name, **_domain(), "bytes": data.hex(), **_read(data)} for name, data in good),
        *({"name": name, **_domain(), "bytes": data.hex(), "code": code} for name, data, code in bad),
    ]


def _half(one: Receipt) -> HalfPart:
    return sign_half(encode_message(one), ChainPlace(), ALICE.wallet, PAIR.domain)[0]


def _domain() -> Case:
    return {"chain_id": PAIR.chain_id, "disputes": DISPUTES.hex()}


def _read(data: bytes) -> Case:
    """Write what a good receipt comes to."""
    found, signed = open_signed(data, PAIR.domain)
    halves = {}
    for party, half in (("requester", signed.requester), ("worker", signed.worker)):
        if half is not None:
            link = link_of(signed.receipt, half.previous)
            digest = statement_digest(
                chain_id=PAIR.chain_id,
                contract=DISPUTES,
                lane=RECEIPT_CHAIN,
                sequence=half.sequence,
                content=link,
            )
            halves[party] = {"sequence": half.sequence, "link": link.hex(), "digest": digest.hex()}
    return {"leaf": leaf_of(found).hex(), "halves": halves}


def tree_cases() -> list[Case]:
    found = []
    for count in (0, 1, 2, 3, 4, 5, 7, 8, 13):
        leaves = tuple(leaf_of(receipt(number + 1)) for number in range(count))
        tree = GrowingTree()
        for leaf in leaves:
            tree = tree.with_leaf(leaf)
        paths = [[node.hex() for node in prove(leaves, index).path] for index in range(count)]
        hexes = [leaf.hex() for leaf in leaves]
        found.append({"name": f"{count} leaves", "leaves": hexes, "root": tree.root.hex(), "paths": paths})
    return found


def history_cases() -> list[Case]:
    one = signed_receipt(receipt())
    second = (ChainPlace(1, sha256(b"bob's first")), ChainPlace(1, sha256(b"bob's first")))
    rows = [
        ("two receipts for alice's first place", one, signed_receipt(receipt(2), places=(ChainPlace(), second[1]))),
        ("two receipts for bob's first place", one, signed_receipt(receipt(2), places=(second[0], ChainPlace()))),
        ("both parties have two pasts: the requester's is shown", one, signed_receipt(receipt(2))),
        ("one receipt behind two others", signed_receipt(receipt(), requester=None, places=THIRD),
         signed_receipt(receipt(), requester=None, places=(THIRD[0], ChainPlace(40, sha256(b"another fortieth"))))),
        ("the same receipt", one, one),
        ("one with both halves, and with one", one, signed_receipt(receipt(), worker=None)),
        ("one behind the other", one, signed_receipt(receipt(2), places=second)),
    ]  # fmt: skip
    forged = signed_receipt(receipt(2), worker=MALLORY.wallet)
    return [
        *(
            {"name": name, **_domain(), "first": a.hex(), "second": b.hex(), "proof": _proof(a, b)}
            for name, a, b in rows
        ),
        {"name": "a forged one proves nothing", **_domain(), "first": one.hex(), "second": forged.hex(),
         "code": "bad_signature"},
    ]  # fmt: skip


def _proof(first: bytes, second: bytes) -> Case | None:
    found = equivocation(first, second, PAIR.domain)
    if found is None:
        return None
    pairs = {"contents": found.contents, "signatures": found.signatures}
    said = {"account": found.account.hex(), "lane": found.lane.hex(), "sequence": found.sequence}
    return {**said, **{name: [one.hex() for one in both] for name, both in pairs.items()}}


FAMILIES = {
    "signed-receipts": ("07-settlement.md, Receipts", receipt_cases),
    "receipt-trees": ("07-settlement.md, Receipts", tree_cases),
    "double-histories": ("07-settlement.md, Receipts", history_cases),
}
