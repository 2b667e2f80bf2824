"""What a verdict charges whom with, read a second time, without the package."""

from typing import Any

from tests.vectors import second_verification as verification
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import keccak256


def charges(data: bytes, network: str) -> list[dict[str, Any]]:  # VER-28
    """Return what a dispute about each worker who can be charged must say."""
    said = verification.check_verdict(data, network)
    verdict, signer = wire.envelope(data, "verdict", network)
    if "rules" in said or "binding" not in verdict:
        return []
    requester = verification.wallet_of(verdict, {"signer": signer}, verdict)
    assert requester is not None
    found = []
    for part, fault, wallet in zip(verdict["answers"], said["faults"], said["wallets"], strict=True):
        answer = verification.opened(part, network)
        price = answer["commit"]["price"]
        if fault not in ("wrong", "lied") or wallet is None or not price:
            continue
        hours = answer["receipt"]["usage"]["wall_ms"]
        amount = max(price, price * hours // 3_600_000) * 10**12
        claim: dict[str, Any] = {
            "requester": requester.hex(),
            "worker": wallet,
            "amount": str(amount),
            "made_unix_s": verdict["made_unix_ms"] // 1000,
            "commitment": answer["digest"].hex(),
            "proof": verification.sha(data).hex(),
        }
        words = (
            bytes(12) + requester,
            bytes(12) + bytes.fromhex(wallet),
            amount.to_bytes(32, "big"),
            claim["made_unix_s"].to_bytes(32, "big"),
            answer["digest"],
            verification.sha(data),
        )
        found.append(claim | {"dispute": keccak256(b"".join(words)).hex()})
    return found
