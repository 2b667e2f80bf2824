"""The vectors of chapter 04, by skyops_p2p and by the second auditor that shares no code with it."""

from typing import Any

import pytest

from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.policies import lot
from skyops_p2p.core.auction.sealing import commitment_of
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.types import NetworkName
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import envelope_kind
from skyops_p2p.wire.messages.auction import Bid
from tests.vectors import schema
from tests.vectors import second_auction as second
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError
from tests.vectors.second_handshake import Network
from tests.vectors.test_vectors import Case, everything, raw


@everything("auction-seals")
def test_seals(case: Case) -> None:  # AUC-8
    bid = Bid.from_wire(canonical.decode(raw(case, "bid")))
    tender, bidder, salt = raw(case, "tender"), raw(case, "bidder"), raw(case, "salt")
    assert commitment_of(tender, bidder, bid, salt) == raw(case, "commitment")
    fields = wire._named(wire.decode(raw(case, "bid")), wire.SCHEMA["parts"]["bid"]["fields"])
    assert second.commitment(tender, bidder, fields, salt) == raw(case, "commitment")


@everything("auction-lots")
def test_lots(case: Case) -> None:  # AUC-20
    for draw in (lot, second.lot):
        assert draw(raw(case, "seed"), raw(case, "bidder"), case["weight"]) == int(case["lot"])


@everything("auction-books")
def test_books(case: Case) -> None:  # AUC-9 to AUC-22
    name, chain_id, is_testnet = case["network"], case["chain_id"], case["is_testnet"]
    report = audit(raw(case), NetworkRules(NetworkName(name), chain_id, is_testnet))
    network = Network(name, chain_id, is_testnet=is_testnet)
    assert sorted({finding.rule for finding in report.findings}) == case.get("rules", [])
    if "ranking" in case:
        assert list(report.ranking) == case["ranking"] == second.audit(raw(case), network)
    else:
        with pytest.raises(RefusedError):
            second.audit(raw(case), network)


def _message(step: Case, network: str) -> tuple[str, dict[str, Any], str]:
    """Open one step of a conversation by the second reader: its name, its fields, and its signer if it has one."""
    data = raw(step)
    name = envelope_kind(data)
    if name is not None:
        fields, signer = wire.envelope(data, name, network)
        return name, fields, signer
    number = wire.decode(data)[0]
    (name,) = [kind for kind, entry in wire.SCHEMA["messages"].items() if entry["number"] == number]
    return name, wire.message(data, name), ""


@everything("auction-books")
def test_conversations(case: Case) -> None:  # AUC-7, AUC-10, AUC-11, AUC-12
    """Each step is a legal message, signed by its sender where it is enveloped, and the book follows from them."""
    steps = [(step, *_message(step, case["network"])) for step in case.get("steps", [])]
    if not steps:
        return
    book, requester = wire.envelope(raw(case), "bid-book", case["network"])
    for step, name, _, signer in steps:
        assert schema.kind_of(name).name == name
        assert signer == "" or (signer == requester) == (step["from"] == "alice")
    said = [(name, raw(step), fields) for step, name, fields, _ in steps]
    assert {data for name, data, _ in said if name == "tender"} == {book["tender"]}
    assert sorted(data for name, data, _ in said if name == "commit") == sorted(book["commits"])
    acknowledged = {fields["commit"] for name, _, fields in said if name == "commit-ack"}
    assert acknowledged == {second.sha(commit) for commit in book["commits"]}
    assert {f["commit_set"] for name, _, f in said if name == "reveal-request"} == {book["commit_set"]}
    revealed = [fields for name, _, fields in said if name == "reveal"]
    assert sorted(map(str, revealed)) == sorted(map(str, book["reveals"]))
    awarded = [fields for name, _, fields in said if name == "award"]
    assert [(f["winner"], f["book"]) for f in awarded] == [
        (w, second.sha(raw(case))) for w in book["ranking"][:1]
    ]


@everything("class-indices")
def test_class_indices(case: Case) -> None:  # AUC-41
    assert second.class_index(case) == case["index"]
