"""What does the work of a proof of compute: a part of this machine that can be given back when nobody asks."""

from dataclasses import dataclass
from typing import Protocol

from skyops_p2p.wire.messages.proof import OpeningRequest, Openings, ProofChallenge, ProofRoot


@dataclass(frozen=True, slots=True)
class ProverSpeed:
    """What a prover runs on, as it measured itself."""

    name: str
    """For people: "the GPU, through cupy"."""
    operations_max: int
    """What it does in PROOF_WORK_S, about."""
    is_device: bool
    """Whether it takes a GPU."""


class Prover(Protocol):
    """Computes answers to challenges, one after the other; whoever calls sees to it that there is one at a time.

    Every call but `rest` may raise ExecutionError, code `prover_failed`; the next `prepare` begins anew.
    """

    async def prepare(self) -> ProverSpeed:
        """Load what computes, at most PROOF_PREPARE_S_MAX long; at once if it is loaded."""

    async def begin(self, challenge: bytes, asked: ProofChallenge) -> ProofRoot:
        """Do the work, at most PROOF_WORK_S_MAX long; see `poc_prover.ProofWork.begin`."""

    async def show(self, request: OpeningRequest) -> Openings:
        """Open the last answer, at most PROOF_WORK_S_MAX long; see `poc_prover.ProofWork.show`."""

    async def rest(self) -> None:
        """Give back memory and devices, and forget the last answer."""
