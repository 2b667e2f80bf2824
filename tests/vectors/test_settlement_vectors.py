"""The vectors of chapter 07, by skyops_p2p and by the second reader that shares no code with it."""

from typing import Any

import pytest

from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import terms_from
from skyops_p2p.core.settlement.lanes import Lane, LaneTerms
from skyops_p2p.core.settlement.meters import Counts, are_apart, smaller
from skyops_p2p.core.settlement.payee import Payee
from skyops_p2p.core.settlement.receipts import (
    DisputesDomain,
    equivocation,
    leaf_of,
    link_of,
    open_signed,
)
from skyops_p2p.core.settlement.trees import GrowingTree, Inclusion, prove
from skyops_p2p.core.settlement.vouchers import PairTerms, check_voucher, digest_of
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages.settlement import CountsPart, LaneAnswer, LaneOffer, Voucher
from skyops_p2p.wire.model import decode_message
from tests.vectors import second_settlement as second
from tests.vectors import second_wire as wire
from tests.vectors.people import BOB
from tests.vectors.price_cases import worked_out
from tests.vectors.second_crypto import RefusedError
from tests.vectors.test_vectors import Case, cases, everything, expect, raw

START = MonotonicS(0.0)


def pair_of(case: Case) -> PairTerms:
    accounts = {name: raw(case, name) for name in ("contract", "disputes", "token", "requester", "worker")}
    numbers = {name: case[name] for name in ("network", "chain_id", "holdback_bps")}
    return PairTerms(**accounts, **numbers, unit_wei=int(case["unit_wei"]))


@everything("lanes")
def test_lanes(case: Case) -> None:  # SET-1, SET-3, SET-4, SET-5, SET-12
    def ours(case: Case) -> Any:
        payee = Payee(pair_of(case["pair"]), BOB.wallet, ev.ReceiptChain(), START)
        payee.handle(ev.FundsSeen(0, int(case["allotted"]), 0), START)
        payee.handle(ev.LaneExpected(terms_from(decode_message(LaneOffer, raw(case, "agreed")))), START)
        offer = decode_message(LaneOffer, raw(case))
        sent = [
            effect
            for effect in payee.handle(ev.LaneOfferHeard(offer), START)
            if isinstance(effect, ev.SendToPeer)
        ]
        answer = sent[0].message
        assert isinstance(answer, LaneAnswer)
        if answer.code != "taken":
            raise RemoteProtocolError("refused", code=answer.code)
        return answer.lane.hex(), str(payee.account.lanes[answer.lane].terms.rate_wei)

    def theirs(case: Case) -> Any:
        offer, agreed = (wire.message(raw(case, name), "lane-offer") for name in ("bytes", "agreed"))
        second.check_offer(offer, case["pair"], {agreed["lane"]: agreed})
        rate = second.wei(offer["rate"])
        if second.need(rate, second.FIRST_MS, offer["prepaid_ms"]) > int(case["allotted"]):
            raise RefusedError("deposit_too_small")
        return offer["lane"].hex(), str(rate)

    expect(case, (case.get("lane"), case.get("rate")), ours, theirs)


@everything("vouchers")
def test_vouchers(case: Case) -> None:  # SET-1, SET-9, SET-10
    def ours(case: Case) -> Any:
        pair, voucher = pair_of(case["pair"]), decode_message(Voucher, raw(case))
        cumulative = check_voucher(voucher, pair)
        return digest_of(pair, cumulative, voucher.receipts_root).hex(), str(cumulative)

    def theirs(case: Case) -> Any:
        voucher = wire.message(raw(case), "voucher")
        cumulative = second.check_voucher(voucher, case["pair"])
        return second.voucher_digest(voucher).hex(), str(cumulative)

    expect(case, (case.get("digest"), case.get("cumulative")), ours, theirs)


@everything("meters")
def test_meters(case: Case) -> None:  # SET-6
    requester, worker = (Counts.of(CountsPart(**case[who])) for who in ("requester", "worker"))
    assert smaller(requester, worker).part().model_dump() == case["smaller"]
    assert are_apart(requester, worker) == are_apart(worker, requester) == case["are_apart"]
    assert second.smaller(case["requester"], case["worker"]) == case["smaller"]
    assert second.are_apart(case["requester"], case["worker"]) == case["are_apart"]


@everything("lane-costs")
def test_lane_costs(case: Case) -> None:  # SET-7, SET-14
    rate, unit = int(case["rate"]), int(case["unit_wei"])
    lane = Lane(LaneTerms(bytes(16), 0, 1, bytes(32), rate, case["prepaid_ms"]))
    bill = second.Bill(rate, case["prepaid_ms"])
    for row in case["intervals"]:
        requester, worker = (Counts.of(CountsPart(**row[who])) for who in ("requester", "worker"))
        least, lane.is_last = unit if row["has_receipt"] else 1, row["is_last"]
        lane = lane.paid_with(requester, worker, lane.cost(requester, worker, least_wei=least))
        second_amount = bill.add(row["requester"], row["worker"], is_last=row["is_last"], least=least)
        assert str(lane.paid) == str(second_amount) == row["amount"]
    assert lane.tree.root == second.tree_root(bill.leaves) == raw(case, "metering_root")


@everything("signed-receipts")
def test_signed_receipts(case: Case) -> None:  # SET-14, SET-15
    disputes = raw(case, "disputes")

    def ours(case: Case) -> Any:
        receipt, signed = open_signed(raw(case), DisputesDomain(case["chain_id"], disputes))
        places = {
            party: (half.sequence, link_of(signed.receipt, half.previous).hex())
            for party, half in (("requester", signed.requester), ("worker", signed.worker))
            if half is not None
        }
        return leaf_of(receipt).hex(), places

    def theirs(case: Case) -> Any:
        receipt, halves = second.open_receipt(raw(case), case["chain_id"], disputes)
        places = {party: (half["sequence"], half["link"]) for party, half in halves.items()}
        assert halves == case.get("halves")
        return second.receipt_leaf(receipt).hex(), places

    halves = case.get("halves", {})
    wanted = {party: (half["sequence"], half["link"]) for party, half in halves.items()}
    expect(case, (case.get("leaf"), wanted), ours, theirs)


@everything("receipt-trees")
def test_receipt_trees(case: Case) -> None:  # SET-14
    leaves = tuple(bytes.fromhex(leaf) for leaf in case["leaves"])
    tree, root = GrowingTree(), raw(case, "root")
    for leaf in leaves:
        tree = tree.with_leaf(leaf)
    assert tree.root == second.tree_root(list(leaves)) == root
    for index, (leaf, written) in enumerate(zip(leaves, case["paths"], strict=True)):
        path = [bytes.fromhex(node) for node in written]
        proof = prove(leaves, index)
        assert proof == Inclusion(index, len(leaves), tuple(path))
        assert proof.holds(root, leaf)
        assert second.is_in_tree(root, leaf, index, len(leaves), path)
        assert not second.is_in_tree(root, bytes(32), index, len(leaves), path)


@everything("double-histories")
def test_double_histories(case: Case) -> None:  # SET-17
    first, other, disputes = raw(case, "first"), raw(case, "second"), raw(case, "disputes")

    def ours(case: Case) -> Any:
        proof = equivocation(first, other, DisputesDomain(case["chain_id"], disputes))
        if proof is None:
            return None
        said = {"account": proof.account.hex(), "lane": proof.lane.hex(), "sequence": proof.sequence}
        return said | {
            "contents": [content.hex() for content in proof.contents],
            "signatures": [signature.hex() for signature in proof.signatures],
        }

    def theirs(case: Case) -> Any:
        return second.double_history(first, other, case["chain_id"], disputes)

    expect(case, case.get("proof"), ours, theirs)


@everything("prices")
def test_prices(case: Case) -> None:  # SET-2, SET-8, SET-22, SET-23, SET-26
    given = {name: int(number) for name, number in case["given"].items()}
    gives = {name: int(number) for name, number in case["gives"].items()}
    assert worked_out(case["formula"], given) == second.price(case["formula"], given) == gives


def test_families_have_both_outcomes() -> None:
    for family in ("lanes", "vouchers", "signed-receipts", "double-histories"):
        assert {"code" in case for case in cases(family)} == {True, False}
    assert {case["are_apart"] for case in cases("meters")} == {True, False}
    assert {case.get("proof") is None for case in cases("double-histories")} == {True, False}


@pytest.mark.parametrize("number", [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53 - 1])
def test_second_encoder_writes_the_shortest_integers(number: int) -> None:  # CNV-1
    data = second._integer(number)
    assert wire.decode(data, 64) == number
