"""The delay function of the policy `vdf`: a seed that nobody could know before everything was revealed.

Spec: protocol/04-auction.md, "VDF". Wesolowski 2019 (eprint 2018/623) over class groups, through the PyPI package
`chiavdf`, which is imported only when it is used (the extra `vdf`). One honest evaluator is enough: the
output is unique, and a proof is checked in milliseconds. It gives no fairness by itself, so the lot is stake-weighted.
"""

from collections.abc import Iterable
from typing import Any

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import ExecutionError, RemoteProtocolError

DISCRIMINANT_BITS = 1024
ITERATIONS_PER_REVEAL_MS = 1600
"""So long that a tenfold faster evaluator than one of today's cores (160 a millisecond) cannot evaluate within the
reveal window, and so cannot choose whether to withhold the last reveal."""
FORM_BYTES = 100
"""One class group element of chiavdf at 1024 bits; output and proof are one each."""
PROOF_BYTES = 2 * FORM_BYTES
_INPUT_DOMAIN = b"skyops/vdf/1"
_GENERATOR = b"\x08" + bytes(FORM_BYTES - 1)
"""The element that chiavdf writes as its generator (2, 1, ...)."""


def challenge_of(root: bytes, salts: Iterable[bytes]) -> bytes:
    """Return the input: the commit set's root and all revealed salts, in the order of the commits. Rules: AUC-23."""
    return sha256(_INPUT_DOMAIN + root + b"".join(salts))


def iterations_of(reveal_ms: int) -> int:
    """Return how many squarings a tender's reveal window asks for. Rules: AUC-23."""
    return reveal_ms * ITERATIONS_PER_REVEAL_MS


def evaluate(challenge: bytes, iterations: int) -> bytes:
    """Return output and proof, 200 bytes. Takes iterations / 160 ms of one core: call it in a worker thread.

    Raises:
        ExecutionError: Code `vdf_missing`: `chiavdf` is not installed.

    Rules: AUC-23.
    """
    chiavdf = _library()
    return bytes(chiavdf.prove(challenge, _GENERATOR, DISCRIMINANT_BITS, iterations, ""))


def check_proof(challenge: bytes, iterations: int, proof: bytes) -> None:
    """Refuse a wrong output.

    Raises:
        RemoteProtocolError: Code `proof_fails`.
        ExecutionError: Code `vdf_missing`: `chiavdf` is not installed.

    Rules: AUC-23.
    """
    chiavdf = _library()
    if len(proof) != PROOF_BYTES:
        raise RemoteProtocolError("not the length of a VDF's proof", code="proof_fails", rule="AUC-23")
    discriminant = chiavdf.create_discriminant(challenge, DISCRIMINANT_BITS)
    try:
        is_good = chiavdf.verify_n_wesolowski(
            discriminant, _GENERATOR, proof, iterations, DISCRIMINANT_BITS, 0
        )
    except (RuntimeError, ValueError) as error:  # its C++ code: not the encoding of an element
        raise RemoteProtocolError("not an element of the group", code="proof_fails", rule="AUC-23") from error
    if not is_good:
        raise RemoteProtocolError("the VDF's proof does not hold", code="proof_fails", rule="AUC-23")


def seed_of(proof: bytes) -> bytes:
    """Return the seed of the lots: the SHA-256 of the output, without the proof. Rules: AUC-23."""
    return sha256(proof[:FORM_BYTES])


def _library() -> Any:
    try:
        import chiavdf
    except ImportError as error:
        raise ExecutionError(
            "the policy `vdf` needs the package chiavdf",
            code="vdf_missing",
            hint="Run `pip install chiavdf` in the environment of skyops.",
        ) from error
    return chiavdf
