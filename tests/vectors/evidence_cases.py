"""Vectors of chapter 07b: names of receipts, halves that are joined, buckets that differ, proofs of two histories."""

from typing import Any

from skyops_p2p.core.evidence.items import Scope, check_proof, joined, open_evidence, proof_of
from skyops_p2p.core.evidence.shelf import Shelf
from skyops_p2p.core.settlement.receipts import ChainPlace, DisputesDomain, equivocation
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire.messages import evidence as msg
from skyops_p2p.wire.messages.evidence import DoubleHistoryProof
from skyops_p2p.wire.model import Message, encode_message
from tests.vectors.people import ALICE, MALLORY
from tests.vectors.settlement_cases import DISPUTES, PAIR, Case
from tests.vectors.signed_receipt_cases import THIRD, receipt, signed_receipt

SCOPE = Scope(PAIR.network, PAIR.chain_id, PAIR.contract, PAIR.disputes, PAIR.token)
SECOND = (ChainPlace(1, sha256(b"alice's first")), ChainPlace(1, sha256(b"bob's first")))


def scope_fields() -> Case:
    return {
        "network": SCOPE.network,
        "chain_id": SCOPE.chain_id,
        "settlement": SCOPE.settlement.hex(),
        "disputes": SCOPE.disputes.hex(),
        "token": SCOPE.token.hex(),
    }


def name_cases() -> list[Case]:
    first = receipt()
    good = [
        ("both halves", signed_receipt(first)),
        ("the requester's half alone", signed_receipt(first, worker=None)),
        ("the worker's half alone", signed_receipt(first, requester=None)),
        ("later ones", signed_receipt(receipt(2), places=THIRD)),
    ]
    other = DisputesDomain(1, DISPUTES)
    bad = [
        ("of another network", signed_receipt(receipt(network="elsewhere")), "wrong_network"),
        ("of another chain", signed_receipt(receipt(chain_id=1), domain=other), "wrong_network"),
        ("of another chain, signed for this one", signed_receipt(receipt(chain_id=1)), "wrong_network"),
        ("of another Settlement", signed_receipt(receipt(contract=DISPUTES)), "wrong_contract"),
        ("in another token", signed_receipt(receipt(token=bytes(20))), "wrong_contract"),
        ("of an account with itself",
         signed_receipt(receipt(worker=first.requester), worker=ALICE.wallet), "bad_receipt"),
        ("by somebody else", signed_receipt(first, worker=MALLORY.wallet), "bad_signature"),
    ]  # fmt: skip
    return [
        *(
            {
                "name": name,
                **scope_fields(),
                "bytes": data.hex(),
                "is": open_evidence(data, SCOPE)[0].name.hex(),
            }
            for name, data in good
        ),
        *({"name": name, **scope_fields(), "bytes": data.hex(), "code": code} for name, data, code in bad),
    ]


def join_cases() -> list[Case]:
    one = receipt()
    requester, worker = signed_receipt(one, worker=None), signed_receipt(one, requester=None)
    rows = [
        ("one half and the other", [requester, worker]),
        ("a half and both", [worker, signed_receipt(one)]),
        ("signed twice by its requester: the earlier place stays",
         [requester, signed_receipt(one, worker=None, places=SECOND)]),
        ("three parts", [signed_receipt(one, places=SECOND), worker, requester]),
    ]  # fmt: skip
    found = []
    for name, parts in rows:
        opened = [open_evidence(part, SCOPE)[0] for part in parts]
        whole = opened[0]
        for more in opened[1:]:
            whole = joined(whole, more)
        found.append(
            {
                "name": name,
                "parts": [part.hex() for part in parts],
                "bytes": whole.data.hex(),
                "is": whole.name.hex(),
            }
        )
    return found


def held(count: int) -> Shelf:
    """Return a shelf with so many receipts."""
    shelf = Shelf()
    for number in range(1, count + 1):
        places = (ChainPlace(number - 1, _link(number - 1)), ChainPlace())
        data = signed_receipt(receipt(number), worker=None, places=places)
        shelf.put(open_evidence(data, SCOPE)[0])
    return shelf


def _link(number: int) -> bytes:
    return sha256(b"alice's %d" % number) if number else bytes(32)


def sync_cases() -> list[Case]:
    many, few = held(24), held(18)
    middle = sorted(item.name for item in many.all())[11]
    rows = [
        ("all is new", held(24), Shelf(), b""),
        ("six are new", many, few, b""),
        ("nothing differs", many, held(24), b""),
        ("the asker has more", few, many, b""),
        ("from the middle on", many, Shelf(), middle),
    ]
    found = []
    for name, holder, asker, after in rows:
        names, is_complete = holder.differing(asker.digests(), after=after, count_max=512)
        found.append(
            {
                "name": name,
                "held": [item.name.hex() for item in holder.all()],
                "digests": holder.digests().hex(),
                "asked": asker.digests().hex(),
                "after": after.hex(),
                "names": [one.hex() for one in names],
                "is_complete": is_complete,
            }
        )
    return found


def _double() -> DoubleHistoryProof:
    first, second = signed_receipt(receipt()), signed_receipt(receipt(2), places=(ChainPlace(), SECOND[1]))
    history = equivocation(first, second, SCOPE.domain)
    assert history is not None
    return proof_of(history, SCOPE.domain)


def proof_cases() -> list[Case]:
    good = _double()
    turned = {
        "first": good.second,
        "first_signature": good.second_signature,
        "second": good.first,
        "second_signature": good.first_signature,
    }
    bad: list[tuple[str, dict[str, Any], str]] = [
        ("for another chain", {"chain_id": 1}, "wrong_network"),
        ("for another contract", {"contract": bytes(20)}, "wrong_contract"),
        ("the greater link first", turned, "malformed"),
        ("one link twice", {"second": good.first, "second_signature": good.first_signature}, "malformed"),
        ("of somebody else", {"account": PAIR.worker}, "bad_signature"),
        ("of another place", {"sequence": 2}, "bad_signature"),
        ("with a signature over another link", {"second_signature": good.first_signature}, "bad_signature"),
    ]
    return [
        {"name": "two receipts for alice's first place", **scope_fields(), "bytes": encode_message(good).hex(),
         "account": check_proof(good, SCOPE).account.hex()},
        *(
            {"name": name, **scope_fields(), "code": code,
             "bytes": encode_message(good.model_copy(update=changes)).hex()}
            for name, changes, code in bad
        ),
    ]  # fmt: skip


def evidence_examples() -> list[Message]:
    """Return one message of every kind."""
    names = tuple(item.name for item in held(3).all())
    return [
        msg.ReceiptNames(names=names),
        msg.ReceiptsRequest(names=names),
        msg.ReceiptRangeRequest(account=PAIR.requester, first=2, count=24),
        msg.ReceiptsReply(items=tuple(item.data for item in held(2).all())),
        msg.ReceiptSyncRequest(digests=held(3).digests(), after=names[0]),
        msg.ReceiptSyncReply(names=names, is_complete=True),
        _double(),
    ]


FAMILIES = {
    "receipt-names": ("07b-receipts.md, Names", name_cases),
    "receipt-joins": ("07b-receipts.md, What is held", join_cases),
    "receipt-sync": ("07b-receipts.md, Catching up", sync_cases),
    "history-proofs": ("07b-receipts.md, Double histories", proof_cases),
}
