"""Check what a worker signed about a lease: receipts of checkpoints and of results. Pure.

A receipt that does not fit its lease is refused as `worker_lied`, whoever signed it: the requester goes on as if it
had not come. Spec: protocol/05-execution.md, "Receipts".
"""

from dataclasses import dataclass

from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import Signed, open_envelope
from skyops_p2p.wire.messages.execution import CheckpointReceipt, ResultReceipt

ZERO32 = bytes(32)


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """What both sides know of a lease."""

    network: str
    requester: PeerId
    worker: PeerId
    job_id: bytes
    shard: int
    epoch: int
    award: bytes
    """Digest of the enveloped award."""
    spec_digest: bytes


def check_checkpoint(data: bytes, facts: LeaseFacts) -> Signed[CheckpointReceipt]:
    """Open a checkpoint's receipt and compare it with its lease.

    Raises:
        RemoteProtocolError: `worker_lied`, or what opening the envelope raises.

    Rules: EXE-12.
    """
    signed = open_envelope(data, CheckpointReceipt, facts.network)
    _compare(signed.signer, signed.message, facts, rule="EXE-12")
    if signed.message.sequence < 1:
        raise _lie("checkpoints are counted from 1", facts, rule="EXE-12")
    return signed


def check_result(data: bytes, facts: LeaseFacts) -> Signed[ResultReceipt]:
    """Open a result's receipt and compare it with its lease.

    Raises:
        RemoteProtocolError: `worker_lied`, or what opening the envelope raises.

    Rules: EXE-13.
    """
    signed = open_envelope(data, ResultReceipt, facts.network)
    message = signed.message
    _compare(signed.signer, message, facts, rule="EXE-13")
    if message.award != facts.award or message.spec_digest != facts.spec_digest:
        raise _lie("it is for another award or specification", facts, rule="EXE-13")
    if message.code == "succeeded" and (message.exit_kind, message.exit_code) != ("exited", 0):
        raise _lie("a success without exit code 0", facts, rule="EXE-13")
    if message.ended_unix_ms < message.started_unix_ms:
        raise _lie("it ended before it began", facts, rule="EXE-13")
    return signed


def follows(receipt: CheckpointReceipt, previous: Signed[CheckpointReceipt] | None) -> bool:
    """Tell whether a receipt is the next one behind another (None: behind nothing). Rules: EXE-12."""
    if previous is None:
        return receipt.sequence == 1 and receipt.previous == ZERO32
    return receipt.sequence == previous.message.sequence + 1 and receipt.previous == previous.digest


def _compare(
    signer: PeerId, message: CheckpointReceipt | ResultReceipt, facts: LeaseFacts, *, rule: str
) -> None:
    if signer != facts.worker or message.worker != peer_id_to_bytes(facts.worker):
        raise _lie("it is not the worker's", facts, rule=rule)
    found = (message.requester, message.job_id, message.shard, message.epoch)
    if found != (peer_id_to_bytes(facts.requester), facts.job_id, facts.shard, facts.epoch):
        raise _lie("it is for another lease", facts, rule=rule)


def _lie(text: str, facts: LeaseFacts, *, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"receipt: {text}", code="worker_lied", rule=rule, peer=facts.worker)
