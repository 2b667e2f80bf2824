"""What workers have proven to compute, as this node measured it, and why others have proven nothing.

A table without a clock and without a disk; the shell keeps it across restarts. Spec: protocol/04-auction.md, AUC-39.
"""

from collections import OrderedDict
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.peering import HardwarePart

UNASKED = "proof_missing"
"""Why a worker has no proof that was not asked for one yet."""


@dataclass(frozen=True, slots=True)
class Proven:
    """One proof that was checked."""

    throughput: int
    """10^6 operations a second, at least 1."""
    unix_ms: UnixMs
    """When."""
    hardware: bytes
    """`hardware_class` of the worker's record at that time, 32 bytes."""


@dataclass(frozen=True, slots=True)
class _Failure:
    code: str
    until: UnixMs


class ProvenThroughput:
    """The newest proof of each worker; PROVEN_PEERS_MAX of them, and as many failures; the oldest makes room."""

    def __init__(self) -> None:
        self._proven: OrderedDict[PeerId, Proven] = OrderedDict()
        self._failures: OrderedDict[PeerId, _Failure] = OrderedDict()

    def __len__(self) -> int:
        return len(self._proven)

    def note(self, peer: PeerId, proven: Proven) -> list[PeerId]:
        """Take a proof, which ends what stood against the worker; return those whose proofs make room."""
        self._failures.pop(peer, None)
        self._proven[peer] = proven
        self._proven.move_to_end(peer)
        excess = len(self._proven) - limits.PROVEN_PEERS_MAX
        return [self._proven.popitem(last=False)[0] for _ in range(excess)]

    def fail(self, peer: PeerId, code: str, *, until: UnixMs) -> None:
        """Note why a worker has no proof, and until when it is not asked again."""
        self._failures[peer] = _Failure(code, until)
        self._failures.move_to_end(peer)
        while len(self._failures) > limits.PROVEN_PEERS_MAX:
            self._failures.popitem(last=False)

    def of(self, peer: PeerId, hardware: bytes, now: UnixMs) -> Proven | None:
        """Return a worker's proof if it is fresh, and of the hardware that it has now. Rules: AUC-39."""
        proven = self._proven.get(peer)
        if proven is None or proven.hardware != hardware:
            return None
        age_ms = now - proven.unix_ms
        return proven if -limits.CLOCK_SKEW_MS_MAX <= age_ms < limits.PROOF_FRESH_MS else None

    def may_ask(self, peer: PeerId, now: UnixMs) -> bool:
        """Return whether nothing stands against asking a worker again."""
        failure = self._failures.get(peer)
        return failure is None or now >= failure.until

    def why_not(self, peer: PeerId) -> str:
        """Return the code of what went wrong with a worker's last proof; UNASKED if nothing did."""
        failure = self._failures.get(peer)
        return failure.code if failure is not None else UNASKED


def hardware_class(hardware: HardwarePart) -> bytes:
    """Return the digest of what a proof of compute depends on: the GPUs and the processor, 32 bytes.

    What the node itself has measured of them is none of it.
    """
    seen = {
        0: [gpu.model_copy(update={"benchmark": None}).to_wire() for gpu in hardware.gpus],
        1: hardware.cpu_model,
        2: hardware.cpu_cores,
    }
    return sha256(canonical.encode(seen))
