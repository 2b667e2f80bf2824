"""A worker's answers to challenges: what it can compute, proven to whoever may ask, at a bounded cost.

One task owns the prover: it is loaded when somebody asks, kept while it is used, and given back after. Who is let in,
and how often, is decided by the desk. Spec: protocol/04-auction.md, AUC-36 and AUC-38.
"""

import logging
from collections.abc import Awaitable
from typing import Protocol, TypeVar

import trio

from skyops_p2p import limits
from skyops_p2p.core.auction.attestation import challenge_digest
from skyops_p2p.core.auction.devices import device_names
from skyops_p2p.core.auction.poc import challenge_of
from skyops_p2p.core.auction.proof_desk import ProofDesk
from skyops_p2p.core.auction.proven import hardware_class
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.presence import NodeState
from skyops_p2p.crypto.node_key import NodeKey, peer_id_to_bytes
from skyops_p2p.errors import ExecutionError, RemoteProtocolError
from skyops_p2p.ports import Prover, ProverSpeed
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.proof import (
    OpeningRequest,
    Openings,
    ProofAnswer,
    ProofChallenge,
    ProofRoot,
)
from skyops_p2p.wire.model import encode_message

log = logging.getLogger(__name__)

T = TypeVar("T")
_HEARD = frozenset({NodeState.ACTIVE, NodeState.SUSPECT})
"""States of nodes with a record, a binding and the stake that the network wants."""


class IsFree(Protocol):
    """Tells whether no job needs what a proof takes; see BiddingShell.is_free."""

    def __call__(self, *, is_device: bool) -> bool:
        """Return it for a proof that takes a GPU, or one that takes a core."""


class ProofService:
    """Answers challenges of one worker.

    Args:
        core: Read for who asks.
        prover: Does the work; without one every challenge is refused.
        is_free: Whether the machine has room for a proof.
        node_key: Signs answers.
    """

    def __init__(self, core: NodeCore, prover: Prover | None, is_free: IsFree, *, node_key: NodeKey) -> None:
        self._core = core
        self._node_key = node_key
        self._prover = prover
        self._is_free = is_free
        self._desk = ProofDesk()
        self._speed: ProverSpeed | None = None
        """None while the prover is not loaded."""
        self._wanted, self._failed = trio.Event(), trio.Event()
        self._turn = trio.Lock()
        """Held by who uses the prover."""
        self._used_at = 0.0
        self._is_broken = False
        """Whether the prover failed the last time."""

    async def run(self) -> None:
        """Load the prover when it is wanted and give it back when it is not, until cancelled."""
        if self._prover is None:
            return
        try:
            while True:
                await self._wanted.wait()
                await self._keep_loaded(self._prover)
                self._wanted = trio.Event()
        finally:
            with trio.CancelScope(shield=True):
                await self._prover.rest()

    async def answer_challenge(self, peer: PeerId, asked: ProofChallenge) -> ProofRoot:
        """Do the work that a peer asks for.

        Raises:
            RemoteProtocolError: The coded refusal to be sent.

        Rules: AUC-36.
        """
        now, speed = _now(), self._speed
        entry = self._core.nodes.get(peer)
        if entry is None or not entry.is_record_live or entry.presence.state not in _HEARD:
            raise _refusal("no bound node of our map", "asker_unbound", "AUC-36")
        is_free = self._is_free(is_device=speed is not None and speed.is_device)
        self._desk.look(peer, asked, now, is_free=is_free)
        if self._prover is None:
            raise _refusal("this node has nothing to compute with", "prover_failed", "AUC-36")
        if speed is None:
            self._want(peer, now)
            raise _refusal("ready in a moment", "proof_not_ready", "AUC-36")
        admitted = self._desk.admit(peer, asked, now, operations_max=speed.operations_max)
        challenge = challenge_of(asked.beacon, peer_id_to_bytes(self._core.peer_id))
        async with self._turn:
            if self._speed is not speed:  # it failed in another's turn
                raise _refusal("the prover failed", "prover_failed", "AUC-36")
            root = await self._counted(self._prover.begin(challenge, asked))
            self._desk.answered(admitted, root.root, _now())
        return root.model_copy(update={"answer": self._signed(peer, asked, root, is_device=speed.is_device)})

    def _signed(
        self, asker: PeerId, asked: ProofChallenge, root: ProofRoot, *, is_device: bool
    ) -> bytes | None:
        """Return the enveloped ProofAnswer; None while this node has no record of its own. Rules: AUC-42."""
        own = self._core.peer_id
        entry = self._core.nodes.get(own)
        if entry is None or entry.record is None:
            return None
        devices = tuple(device_names(entry.record)) if is_device else ()
        answer = ProofAnswer(
            network=self._core.rules.network,
            asker=peer_id_to_bytes(asker),
            challenge=challenge_digest(encode_message(asked)),
            root=root.root,
            memory=root.memory,
            hardware=hardware_class(entry.record.hardware),
            devices=devices or (f"{own}/cpu",),
        )
        return seal(answer, self._node_key, self._core.rules.network)

    async def answer_opening(self, peer: PeerId, request: OpeningRequest) -> Openings:
        """Show what a peer's secret draws of the answer that it got.

        Raises:
            RemoteProtocolError: The coded refusal to be sent.

        Rules: AUC-38.
        """
        async with self._turn:  # what is open is looked up when it is our turn
            self._desk.opening(peer, request, _now())
            assert self._prover is not None, "open without a prover"
            shown = await self._counted(self._prover.show(request))
            self._desk.shown(request, len(shown.rows) + len(shown.places))
            return shown

    def _want(self, peer: PeerId, now: MonotonicS) -> None:
        """Have the prover loaded for a peer, unless it is being loaded."""
        if self._wanted.is_set():
            return
        try:
            self._desk.prepare(peer, now)
        except RemoteProtocolError as error:
            if self._is_broken:
                raise _refusal("the prover does not come up", "prover_failed", "AUC-36") from error
            raise
        self._wanted.set()

    async def _keep_loaded(self, prover: Prover) -> None:
        """Load the prover and return once it has failed, or nobody asked for PROOF_WARM_S."""
        started_at, self._failed = trio.current_time(), trio.Event()
        try:
            self._speed = await prover.prepare()
        except ExecutionError as error:
            log.warning("prover_not_ready code=%s", error.code)
            self._is_broken = True
            return
        finally:
            self._desk.spend(trio.current_time() - started_at, _now())
        self._is_broken = False
        log.info("prover_ready on=%r operations_max=%d", self._speed.name, self._speed.operations_max)
        self._used_at = trio.current_time()
        while not self._failed.is_set() and self._rests_at() > trio.current_time():
            with trio.move_on_at(self._rests_at()):
                await self._failed.wait()
        self._speed = None
        self._desk.close()
        await prover.rest()

    def _rests_at(self) -> float:
        return self._used_at + limits.PROOF_WARM_S

    async def _counted(self, work: Awaitable[T]) -> T:
        """Count what a piece of work costs; where it fails or is called off, the prover is begun anew."""
        started_at, is_done = trio.current_time(), False
        self._used_at = started_at
        try:
            result = await work
            is_done = True
        except ExecutionError as error:
            self._is_broken = True
            raise _refusal("the prover failed", "prover_failed", "AUC-36") from error
        finally:
            self._used_at = trio.current_time()
            self._desk.spend(self._used_at - started_at, _now())
            if not is_done:
                self._speed = None
                self._desk.close()
                self._failed.set()
        return result


def _refusal(text: str, code: str, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code=code, rule=rule)


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
