"""Chapter 07b read a second time, without the package: names, joins, buckets and proofs."""

from functools import reduce
from operator import xor
from typing import Any

from tests.vectors import second_crypto as crypto
from tests.vectors import second_settlement as settlement
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError
from tests.vectors.second_settlement import sha

Fields = dict[str, Any]
PARTIES = ("requester", "worker")


def open_named(data: bytes, case: Fields) -> bytes:
    """Return the name of a SignedReceipt of the market. RCP-2, RCP-3."""
    receipt, _ = settlement.open_receipt(data, case["chain_id"], bytes.fromhex(case["disputes"]))
    if receipt["network"] != case["network"]:
        raise RefusedError("wrong_network")
    if (receipt["contract"].hex(), receipt["token"].hex()) != (case["settlement"], case["token"]):
        raise RefusedError("wrong_contract")
    if receipt["requester"] == receipt["worker"]:
        raise RefusedError("bad_receipt")
    return name_of(wire.message(data, "signed-receipt"))


def name_of(signed: Fields) -> bytes:
    """RCP-2."""
    links = [_place(signed, party)[1] if party in signed else bytes(32) for party in PARTIES]
    return sha(b"skyops/receipt-name/1", sha(signed["receipt"]), *links)


def join(parts: list[bytes]) -> Fields:
    """Return the receipt with the earliest half of each party. RCP-4."""
    opened = [wire.message(part, "signed-receipt") for part in parts]
    whole = {"receipt": opened[0]["receipt"]}
    for party in PARTIES:
        found = [signed for signed in opened if party in signed]
        if found:
            whole[party] = min(found, key=lambda signed: _place(signed, party))[party]
    return whole


def _place(signed: Fields, party: str) -> tuple[int, bytes]:
    half = signed[party]
    return half["sequence"], settlement.link(signed["receipt"], half["previous"])


def digests(names: list[bytes]) -> bytes:
    """RCP-10."""
    buckets: list[list[int]] = [[] for _ in range(64)]
    for name in names:
        buckets[name[0] % 64].append(int.from_bytes(name[:8], "big"))
    return b"".join(reduce(xor, bucket, 0).to_bytes(8, "big") for bucket in buckets)


def differing(names: list[bytes], asked: bytes, after: bytes) -> tuple[list[bytes], bool]:
    """RCP-10."""
    ours = digests(names)
    differs = {n for n in range(64) if ours[8 * n : 8 * n + 8] != asked[8 * n : 8 * n + 8]}
    found = sorted(name for name in names if name[0] % 64 in differs and name > after)
    return found[:512], len(found) <= 512


def check_proof(data: bytes, case: Fields) -> bytes:
    """Return who has two histories. RCP-12."""
    proof = wire.message(data, "double-history")
    if proof["chain_id"] != case["chain_id"]:
        raise RefusedError("wrong_network")
    if proof["contract"].hex() != case["disputes"]:
        raise RefusedError("wrong_contract")
    if proof["first"] >= proof["second"]:
        raise RefusedError("malformed")
    for which in ("first", "second"):
        digest = settlement.statement_digest(
            proof["sequence"], proof[which], proof["chain_id"], proof["contract"]
        )
        if crypto.recover(digest, proof[f"{which}_signature"]) != proof["account"]:
            raise RefusedError("bad_signature")
    account: bytes = proof["account"]
    return account
