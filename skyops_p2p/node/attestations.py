"""A node's part in attestations: it attests those that drew it, shows its own, has itself attested, reads others'.

A worker that is up for a while asks the verifiers of the day one after the other, so that requesters need not
challenge it themselves. What it has is in memory only: after a restart it asks again. Spec: protocol/04-auction.md,
"Attestations".
"""

import logging
from collections.abc import Sequence
from functools import partial

import trio

from skyops_p2p import limits
from skyops_p2p.core.auction.attestation import (
    VERIFIERS,
    Attested,
    drawn_verifiers,
    is_drawn,
    open_attestation,
)
from skyops_p2p.core.auction.proof_desk import Intervals
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.node_map import NodeEntry
from skyops_p2p.core.presence import NodeState
from skyops_p2p.crypto.node_key import NodeKey, peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.calling import Caller
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.proof_asker import ProofAsker
from skyops_p2p.node.standing import StandingSource
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.proof import AttestationRequest, ProofAttestation
from skyops_p2p.wire.messages.verification import CandidatePart
from skyops_p2p.wire.model import encode_message

log = logging.getLogger(__name__)

_LIVE = frozenset({NodeState.ACTIVE, NodeState.SUSPECT})


class Attestations:
    """Asks for attestations, makes them, shows them and reads them.

    Args:
        core: Its map.
        caller: Asks peers.
        proofs: Challenges workers, and takes what others have proven.
        standing: Says who has which stake.
        ports: Clock, and a place for long computations.
        node_key: Signs.
    """

    def __init__(
        self,
        core: NodeCore,
        caller: Caller,
        proofs: ProofAsker,
        standing: StandingSource,
        *,
        ports: NodePorts,
        node_key: NodeKey,
    ) -> None:
        self._core = core
        self._caller = caller
        self._proofs = proofs
        self._standing = standing
        self._ports = ports
        self._node_key = node_key
        self._own: tuple[Attested, bytes] | None = None
        """Of this node, with its envelope."""
        self._attested = Intervals()
        self._turns = trio.CapacityLimiter(limits.ATTESTING_AT_ONCE)

    # --- as a worker ----------------------------------------------------------------------------------------------
    async def seek(self) -> None:
        """Have this node attested, again before the attestation ends, until cancelled."""
        await trio.sleep(limits.ATTESTATION_FIRST_S)
        while True:
            until_ms = 0 if self._own is None else self._own[0].unix_ms + limits.PROOF_FRESH_MS
            left_s = (until_ms - limits.ATTESTATION_RENEW_MS - self._now_ms()) / 1000
            if left_s > 0:
                await trio.sleep(left_s)
            elif not await self.renew():
                await trio.sleep(limits.ATTESTATION_RETRY_S)

    async def renew(self) -> bool:
        """Ask the verifiers of the day, in their order, until one has attested this node; return whether one has."""
        for verifier in self._verifiers(self._core.peer_id, self._now_ms())[:VERIFIERS]:
            peer = peer_id_from_bytes(verifier.peer)
            try:
                data = await self._request(peer, self._core.peer_id, limits.ATTESTATION_ASK_S)
                attested = await self._opened(data, self._core.peer_id)
            except SkyopsError as error:
                log.info("not_attested by=%s code=%s", peer[-8:], error.code)
                continue
            self._own = (attested, data)
            log.info("attested by=%s throughput=%d", peer[-8:], attested.throughput)
            return True
        return False

    # --- as a reader ----------------------------------------------------------------------------------------------
    async def collect(self, peers: Sequence[PeerId], *, timeout_s: float) -> None:
        """Ask workers for their attestations, all at once, and count those that hold as proofs.

        Args:
            peers: Who is asked, the first PROOFS_ASKED_MAX.
            timeout_s: For all of it.
        """
        with trio.move_on_after(timeout_s):
            async with trio.open_nursery() as nursery:
                for peer in peers[: limits.PROOFS_ASKED_MAX]:
                    nursery.start_soon(self._collect, peer, timeout_s)

    async def _collect(self, peer: PeerId, timeout_s: float) -> None:
        try:
            attested = await self._opened(await self._request(peer, peer, timeout_s), peer)
        except SkyopsError as error:
            log.debug("no_attestation peer=%s code=%s", peer[-8:], error.code)
            return
        if not await self._proofs.take(attested):
            log.info("attestation_of_other_hardware peer=%s", peer[-8:])

    # --- for others -----------------------------------------------------------------------------------------------
    async def answer(self, asker: PeerId, request: AttestationRequest) -> bytes:
        """Show this node's attestation, or attest the asker.

        Raises:
            RemoteProtocolError: The coded refusal to be sent.

        Rules: AUC-43, AUC-44.
        """
        worker = peer_id_from_bytes(request.worker)
        if worker == asker:
            return await self._attest(asker)
        if worker != self._core.peer_id or self._own is None:
            raise _refusal("no attestation here", "attestation_missing", "AUC-43")
        attested, data = self._own
        if self._now_ms() - attested.unix_ms >= limits.PROOF_FRESH_MS:
            raise _refusal("it is older than a day", "attestation_missing", "AUC-44")
        return data

    async def _attest(self, worker: PeerId) -> bytes:
        now = MonotonicS(trio.current_time())
        entry = self._core.nodes.get(worker)
        if entry is None or not self._is_live(entry):
            raise _refusal("no bound node of our map", "asker_unbound", "AUC-43")
        if not is_drawn(self._core.peer_id, self._verifiers(worker, self._now_ms())):
            raise _refusal("others were drawn for it", "not_drawn", "AUC-43")
        if self._attested.is_recent(worker, now):
            raise _refusal("it was attested, or tried to be, before", "proof_spent", "AUC-43")
        try:
            self._turns.acquire_on_behalf_of_nowait(worker)
        except (trio.WouldBlock, RuntimeError) as error:  # all turns are taken, or this worker has one
            raise _refusal("others are attested here", "proof_busy", "AUC-43") from error
        try:
            self._attested.note(worker, now)
            return await self._examined(worker)
        finally:
            self._turns.release_on_behalf_of(worker)

    async def _examined(self, worker: PeerId) -> bytes:
        try:
            found = await self._proofs.examine(worker)
        except NetworkError as error:
            raise _refusal(error.message, "proof_late", "AUC-37") from error
        answer = found.answer
        if answer.root.answer is None:
            raise _refusal("the answer is not signed", "proof_fails", "AUC-42")
        if answer.shares_with is not None:
            raise _refusal("another node computed on the same device", "device_shared", "AUC-45")
        attestation = ProofAttestation(
            network=self._core.rules.network,
            challenge=encode_message(answer.asked),
            sent_unix_ms=answer.sent_unix_ms,
            elapsed_ms=answer.elapsed_ms,
            answer=answer.root.answer,
            secret=found.secret,
            rows=found.rows[: limits.PROOF_ROWS_ATTESTED],
        )
        log.info("attests peer=%s throughput=%d", worker[-8:], answer.throughput)
        return seal(attestation, self._node_key, self._core.rules.network)

    # --- within ---------------------------------------------------------------------------------------------------
    async def _request(self, peer: PeerId, worker: PeerId, timeout_s: float) -> bytes:
        request = AttestationRequest(worker=peer_id_to_bytes(worker))
        return await self._caller.ask(peer, encode_message(request), timeout_s=timeout_s)

    async def _opened(self, data: bytes, worker: PeerId) -> Attested:
        """Check an attestation, and whether its verifier was drawn as this node's map has it. Rules: AUC-44."""
        network, now = self._core.rules.network, self._now_ms()
        check = partial(open_attestation, data, worker=worker, network=network, now=now)
        attested = await self._ports.compute(check)
        if not is_drawn(attested.verifier, self._verifiers(worker, attested.unix_ms)):
            raise _refusal("its verifier was not drawn", "not_drawn", "AUC-44")
        return attested

    def _verifiers(self, worker: PeerId, now: UnixMs) -> tuple[CandidatePart, ...]:
        """Return who may attest a worker, as this node's map has them; nobody where the worker's wallet is unknown."""
        entry = self._core.nodes.get(worker)
        if entry is None or entry.wallet is None:
            return ()
        known = [
            CandidatePart(
                peer=peer_id_to_bytes(other.peer),
                wallet=address_to_bytes(other.wallet),
                weight=max(1, self._standing.of(other.peer).stake_weight),
            )
            for other in self._core.nodes
            if other.wallet is not None and self._is_live(other)
        ]
        network, wallet = self._core.rules.network, address_to_bytes(entry.wallet)
        return drawn_verifiers(known, worker, wallet, network=network, now=now)

    def _is_live(self, entry: NodeEntry) -> bool:
        is_heard = entry.peer == self._core.peer_id or entry.presence.state in _LIVE
        return entry.is_record_live and is_heard

    def _now_ms(self) -> UnixMs:
        return self._ports.wall_clock.now_ms()


def _refusal(text: str, code: str, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code=code, rule=rule)
