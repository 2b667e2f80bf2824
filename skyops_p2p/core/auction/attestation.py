"""A proof of compute that convinces others: what a drawn verifier signs of an answer, and how anybody checks it.

The worker signs what it computed, on what, and for whom; the verifier what it asked, how long the answer took, and the
first rows that its secret draws. So whoever reads it works the rows out again, sees that this worker gave this answer,
and believes the verifier the time alone: that is why nobody chooses the verifier. Pure. Spec: protocol/04-auction.md,
"Attestations".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.auction import poc
from skyops_p2p.core.auction.poc_sizes import check_challenge, parameters_of
from skyops_p2p.core.auction.poc_verifier import opening_of
from skyops_p2p.core.reputation.conduct import EPOCH_MS
from skyops_p2p.core.verification.draw import candidates_of, draw
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.messages.proof import ProofAnswer, ProofAttestation, ProofChallenge, ProofRoot
from skyops_p2p.wire.messages.verification import CandidatePart
from skyops_p2p.wire.model import decode_message

VERIFIERS = 5
"""Drawn for each worker and day, whom it may ask."""
VERIFIERS_TAKEN = 2 * VERIFIERS
"""Of the draw as the reader's own map gives it: two maps are never quite the same."""
_DRAW_DOMAIN = b"skyops/poc-verifier/1"


@dataclass(frozen=True, slots=True)
class Attested:
    """An attestation that holds."""

    worker: PeerId
    verifier: PeerId
    throughput: int
    """10^6 operations a second, at least 1."""
    unix_ms: UnixMs
    """When the challenge was sent, by the verifier's clock."""
    hardware: bytes
    """`hardware_class` of the worker's record as it computed, 32 bytes."""
    devices: tuple[str, ...]
    """On which it says that it computed."""


def challenge_digest(challenge: bytes) -> bytes:
    """Return what a ProofAnswer says of the challenge that it is the answer to.

    Args:
        challenge: The encoded ProofChallenge.
    """
    return sha256(challenge)


def check_answer(
    root: ProofRoot, challenge: bytes, *, worker: PeerId, asker: PeerId, network: str
) -> ProofAnswer:
    """Return what a worker signed of its answer.

    Args:
        root: The answer as it came.
        challenge: The encoded ProofChallenge.
        worker: Who was asked.
        asker: Who asked.
        network: Ours.

    Raises:
        RemoteProtocolError: `proof_fails`: it signed nothing, or something else; or what opening an envelope raises.

    Rules: AUC-42.
    """
    if root.answer is None:
        raise _refusal("the worker has not signed its answer", rule="AUC-42")
    signed = open_envelope(root.answer, ProofAnswer, network)
    said = signed.message
    is_so = (
        signed.signer == worker
        and said.asker == peer_id_to_bytes(asker)
        and said.challenge == challenge_digest(challenge)
        and (said.root, said.memory) == (root.root, root.memory)
    )
    if not is_so:
        raise _refusal("the worker has signed something else than it answered", rule="AUC-42")
    return said


def open_attestation(data: bytes, *, worker: PeerId, network: str, now: UnixMs) -> Attested:
    """Check an attestation from its bytes alone; whether its verifier was drawn is for `is_drawn` to say.

    Takes up to a second for the sizes of GPUs without numpy: call it in a worker thread.

    Args:
        data: The enveloped ProofAttestation.
        worker: Of whom it must be.
        network: Ours.
        now: It is at most PROOF_FRESH_MS old.

    Raises:
        RemoteProtocolError: `proof_fails`, `expired`, `not_yet_valid`, `challenge_refused` for a size that nobody
            takes, or what opening an envelope raises.

    Rules: AUC-44.
    """
    signed = open_envelope(data, ProofAttestation, network)
    said = signed.message
    if now - said.sent_unix_ms >= limits.PROOF_FRESH_MS:
        raise RemoteProtocolError("older than a day", code="expired", rule="AUC-44")
    if said.sent_unix_ms - now > limits.CLOCK_SKEW_MS_MAX:
        raise RemoteProtocolError("from the future", code="not_yet_valid", rule="AUC-44")
    asked = decode_message(ProofChallenge, said.challenge)
    check_challenge(asked)
    answer = open_envelope(said.answer, ProofAnswer, network).message
    root = ProofRoot(root=answer.root, memory=answer.memory, answer=said.answer)
    answer = check_answer(root, said.challenge, worker=worker, asker=signed.signer, network=network)
    if signed.signer == worker:
        raise _refusal("a worker's word for itself", rule="AUC-44")
    parameters = parameters_of(asked)
    poc.check_openings(
        poc.challenge_of(asked.beacon, peer_id_to_bytes(worker)),
        answer.root,
        [opening_of(part, 4 * parameters.size) for part in said.rows],
        parameters=parameters,
        secret=said.secret,
        count=limits.PROOF_ROWS_ATTESTED,
    )
    return Attested(
        worker=worker,
        verifier=signed.signer,
        throughput=poc.throughput_of(parameters, said.elapsed_ms),
        unix_ms=UnixMs(said.sent_unix_ms),
        hardware=answer.hardware,
        devices=answer.devices,
    )


def drawn_verifiers(
    known: Iterable[CandidatePart], worker: PeerId, wallet: bytes, *, network: str, now: UnixMs
) -> tuple[CandidatePart, ...]:
    """Return who may attest a worker on the day of `now`, the first drawn first, as one node's map has them.

    Args:
        known: Nodes with their wallet and weight; the worker may be among them.
        worker: Who is attested.
        wallet: Its own, 20 bytes: nodes of it are never drawn.
        network: Ours.
        now: Says the day.

    Rules: AUC-43.
    """
    seed = sha256(
        _DRAW_DOMAIN + network.encode() + peer_id_to_bytes(worker) + (now // EPOCH_MS).to_bytes(8, "big")
    )
    return draw(candidates_of(known), seed, computing={wallet})


def is_drawn(verifier: PeerId, drawn: Iterable[CandidatePart]) -> bool:
    """Tell whether a verifier is near enough to the top of a draw. Rules: AUC-43."""
    first = [one.peer for _, one in zip(range(VERIFIERS_TAKEN), drawn, strict=False)]
    return peer_id_to_bytes(verifier) in first


def _refusal(text: str, *, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code="proof_fails", rule=rule)
