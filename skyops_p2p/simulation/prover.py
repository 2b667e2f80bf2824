"""The prover port in virtual time: it computes in place, and waits as long as a machine of its speed would take."""

import trio

from skyops_p2p.core.auction.poc_arithmetic import best_arithmetic
from skyops_p2p.core.auction.poc_prover import ProofWork
from skyops_p2p.core.auction.poc_sizes import parameters_of
from skyops_p2p.limits import PROOF_WORK_S
from skyops_p2p.ports import ProverSpeed
from skyops_p2p.wire.messages.proof import OpeningRequest, Openings, ProofChallenge, ProofRoot


class SimProver:
    """Proves what a machine of a given speed does.

    Args:
        operations_per_s: Its speed.
        prepare_s: How long it takes to load.
        is_device: Whether it takes a GPU.
    """

    def __init__(self, operations_per_s: int, *, prepare_s: float = 0.5, is_device: bool = False) -> None:
        self.operations_per_s = operations_per_s
        self._prepare_s = prepare_s
        self._is_device = is_device
        self.work: ProofWork | None = None
        """None while it rests."""

    async def prepare(self) -> ProverSpeed:
        """See ports.Prover."""
        if self.work is None:
            await trio.sleep(self._prepare_s)
            self.work = ProofWork(best_arithmetic())
        return ProverSpeed("a simulation", int(self.operations_per_s * PROOF_WORK_S), self._is_device)

    async def begin(self, challenge: bytes, asked: ProofChallenge) -> ProofRoot:
        """See ports.Prover."""
        assert self.work is not None, "begun without being prepared"
        await trio.sleep(parameters_of(asked).operations / self.operations_per_s)
        return self.work.begin(challenge, asked)

    async def show(self, request: OpeningRequest) -> Openings:
        """See ports.Prover."""
        assert self.work is not None, "opened without being prepared"
        await trio.lowlevel.checkpoint()
        return self.work.show(request)

    async def rest(self) -> None:
        """See ports.Prover."""
        await trio.lowlevel.checkpoint()
        self.work = None
