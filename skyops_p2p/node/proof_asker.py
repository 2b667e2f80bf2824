"""Have workers prove what they compute: challenge all at once, time the roots, then open and check.

Roots are timed before any answer is checked, so that our own work is in nobody's time. What was proven counts for a day
and is kept across restarts. Spec: protocol/04-auction.md, AUC-37 to AUC-39.
"""

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.core.auction.attestation import Attested, check_answer
from skyops_p2p.core.auction.codes import explain, known_code
from skyops_p2p.core.auction.device_watch import DeviceWatch
from skyops_p2p.core.auction.poc import Parameters, challenge_of, throughput_of
from skyops_p2p.core.auction.poc_memory import BLOCK_BYTES, Layout
from skyops_p2p.core.auction.poc_sizes import parameters_of, sizes_for
from skyops_p2p.core.auction.poc_verifier import ProofCheck
from skyops_p2p.core.auction.proven import Proven, ProvenThroughput, hardware_class
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.calling import Caller
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.proven_journal import ProvenJournal
from skyops_p2p.node.views import ProofView
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.peering import NodeRecord
from skyops_p2p.wire.messages.proof import Openings, ProofChallenge, ProofRoot, ProofRowPart
from skyops_p2p.wire.model import decode_message, encode_message

log = logging.getLogger(__name__)

_TRANSIENT = frozenset({"proof_not_ready", "proof_busy", "busy", "flood"})
"""Refusals that are gone in a moment."""
MEMORY_LANES = 64
"""Lanes of the memory that is asked for."""
_TOO_LATE = frozenset({"request_timeout", "timeout"})
"""What we say of a request, and what the worker's side says of one that it did not get done."""
_ROOT_PART = limits.PROOF_ROOT_S / (limits.PROOF_ROOT_S + limits.PROOF_OPEN_S)
"""Of the time for a round of proofs, until the last root."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A root that came in time."""

    peer: PeerId
    challenge: bytes
    """Its seed, 32 bytes."""
    asked: ProofChallenge
    root: ProofRoot
    elapsed_ms: int
    hardware: bytes
    """The class that the worker's record shows, 32 bytes."""
    sent_unix_ms: UnixMs
    shares_with: PeerId | None = None
    """Another worker that computed on the same device meanwhile, as both say."""

    @property
    def throughput(self) -> int:
        """10^6 operations a second, if the answer is right."""
        return throughput_of(parameters_of(self.asked), self.elapsed_ms)


@dataclass(frozen=True, slots=True)
class Examined:
    """An answer that was checked."""

    answer: Answered
    secret: bytes
    rows: tuple[ProofRowPart, ...]
    """All that `secret` draws, in order."""


def proof_view(peer: PeerId, proven: Proven, answer: Answered | None) -> ProofView:
    """Show a proof; with the answer if it is new."""
    return ProofView(
        peer_id=peer,
        throughput=proven.throughput,
        is_new=answer is not None,
        proven_unix_ms=proven.unix_ms,
        took_ms=answer.elapsed_ms if answer else 0,
        size=answer.asked.size if answer else 0,
        operations=parameters_of(answer.asked).operations if answer else 0,
        memory_bytes=answer.asked.lanes * answer.asked.rows * BLOCK_BYTES if answer else 0,
    )


class ProofAsker:
    """Asks workers, and remembers what they have proven.

    Args:
        core: Read for records.
        caller: Asks.
        journal: Where proofs are kept.
        ports: Clock, entropy, and a place for long computations.
    """

    def __init__(self, core: NodeCore, caller: Caller, journal: ProvenJournal, *, ports: NodePorts) -> None:
        self._core = core
        self._caller = caller
        self._journal = journal
        self._ports = ports
        self._table = ProvenThroughput()
        self._devices = DeviceWatch()
        self._round = trio.Lock()
        """Matches that begin together share one round of challenges."""
        self._checks = trio.CapacityLimiter(limits.PROOFS_CHECKED_AT_ONCE)

    async def restore(self) -> None:
        """Take up what was proven before a restart."""
        for peer, proven in await self._journal.read():
            self._table.note(peer, proven)

    def fresh(self, peer: PeerId) -> Proven | None:
        """Return what a worker has proven in the last day with the hardware that it has now. Rules: AUC-39."""
        entry = self._core.nodes.get(peer)
        if entry is None or entry.record is None:
            return None
        return self._table.of(peer, hardware_class(entry.record.hardware), self._now_ms())

    def throughput(self, peer: PeerId) -> int:
        """Return a worker's proven throughput, 10^6 operations a second; 0 if nothing is proven. Rules: AUC-39."""
        proven = self.fresh(peer)
        return proven.throughput if proven is not None else 0

    def why_not(self, peer: PeerId) -> str:
        """Return the code of why a worker has proven nothing."""
        return self._table.why_not(peer)

    async def refresh(self, peers: Sequence[PeerId], *, timeout_s: float) -> None:
        """Challenge those whose proof is not fresh, the first PROOFS_ASKED_MAX of them, all at once.

        Args:
            peers: Best first.
            timeout_s: For all of it.
        """
        until = trio.current_time() + timeout_s
        with trio.move_on_at(until):
            async with self._round:
                now = self._now_ms()
                stale = [p for p in peers if self.fresh(p) is None and self._table.may_ask(p, now)]
                asked = stale[: limits.PROOFS_ASKED_MAX]
                answers: list[Answered] = []
                root_until = until - (until - trio.current_time()) * (1 - _ROOT_PART)
                async with trio.open_nursery() as nursery:
                    for peer in asked:
                        nursery.start_soon(self._try_challenge, peer, root_until, answers)
                async with trio.open_nursery() as nursery:
                    for answer in answers:
                        nursery.start_soon(self._try_check, answer, until)

    async def prove(self, peer: PeerId, *, again: bool = False, memory_mib: int = 0) -> ProofView:
        """Return what a worker has proven in the last day; where it has not, have it prove it now.

        Args:
            peer: A node of the map.
            again: Have it prove it now in any case; a worker does so once in PROOF_INTERVAL_S for each asker.
            memory_mib: What it is to fill besides, 0 to PROOF_MEMORY_MIB_MAX; then it proves it now, and the proof is
                not kept, for the filling is in its time.

        Raises:
            NetworkError: `proof_late`, `own_peer`, or it cannot be reached.
            SkyopsError: It refused, or its proof is wrong (`proof_fails`).
        """
        if peer == self._core.peer_id:
            raise NetworkError("that is this node itself", code="own_peer", hint="Name another node.")
        proven = self.fresh(peer)
        if proven is not None and not again and not memory_mib:
            return proof_view(peer, proven, None)
        rows = (memory_mib << 20) // BLOCK_BYTES // MEMORY_LANES
        memory = Layout(MEMORY_LANES, rows) if rows else None
        try:
            answer = (await self.examine(peer, memory)).answer
        except RemoteProtocolError as error:
            told = explain(error.code)
            raise SkyopsError(
                f"{error.message}: {told.meaning}", code=error.code, hint=told.change
            ) from error
        return proof_view(peer, Proven(answer.throughput, self._now_ms(), answer.hardware), answer)

    async def examine(self, peer: PeerId, memory: Layout | None = None) -> Examined:
        """Have a worker prove itself now; without memory, the proof is kept.

        Raises:
            NetworkError: `proof_late`, or it cannot be reached.
            RemoteProtocolError: It refused, or its proof is wrong (`proof_fails`).
        """
        answer = await self._challenge(peer, trio.current_time() + limits.PROOF_ASK_S, memory)
        found = await self._check(answer, trio.current_time() + limits.PROOF_OPEN_S)
        if memory is None:
            await self._keep(peer, Proven(answer.throughput, self._now_ms(), answer.hardware))
        return found

    async def take(self, attested: Attested) -> bool:
        """Count an attestation that holds as a proof; return whether it is of the hardware that the worker has now."""
        proven = Proven(attested.throughput, attested.unix_ms, attested.hardware)
        entry = self._core.nodes.get(attested.worker)
        if entry is None or entry.record is None or hardware_class(entry.record.hardware) != proven.hardware:
            return False
        await self._keep(attested.worker, proven)
        return True

    # --- the steps ----------------------------------------------------------------------------------------------
    async def _try_challenge(self, peer: PeerId, until: float, answers: list[Answered]) -> None:
        try:
            answers.append(await self._challenge(peer, until, None))
        except SkyopsError as error:
            self._fail(peer, error)

    async def _try_check(self, answer: Answered, until: float) -> None:
        try:
            await self._check(answer, until)
        except SkyopsError as error:
            self._fail(answer.peer, error)
        else:
            await self._keep(answer.peer, Proven(answer.throughput, self._now_ms(), answer.hardware))

    async def _challenge(self, peer: PeerId, until: float, memory: Layout | None) -> Answered:
        """Challenge a worker with the largest size that it takes."""
        entry = self._core.nodes.get(peer)
        if entry is None or entry.record is None:
            raise NetworkError(f"no record of {peer} is known", code="unknown_peer")
        target = _Target(peer, entry.record, memory, until)
        await self._caller.reach(peer, timeout_s=target.left_s())
        sizes = sizes_for(entry.record, is_quick=importlib.util.find_spec("numpy") is not None)
        for size in sizes[:-1]:
            try:
                return await self._when_ready(target, size)
            except RemoteProtocolError as error:
                if error.code != "challenge_refused":
                    raise
        return await self._when_ready(target, sizes[-1])

    async def _when_ready(self, target: "_Target", size: Parameters) -> Answered:
        """Challenge a worker, again while it says that it is not ready yet and there is time to do the work."""
        while True:
            try:
                return await self._timed(target, size)
            except RemoteProtocolError as error:
                if (
                    error.code not in _TRANSIENT
                    or target.left_s() <= limits.PROOF_RETRY_S + limits.PROOF_WORK_S
                ):
                    raise
            await trio.sleep(limits.PROOF_RETRY_S)

    async def _timed(self, target: "_Target", size: Parameters) -> Answered:
        """Challenge a worker once, with a beacon that nobody could know before. Rules: AUC-37."""
        record, memory = target.record, target.memory
        asked = ProofChallenge(
            beacon=self._ports.entropy.token(32),
            size=size.size,
            checkpoints=size.checkpoints,
            stride=size.stride,
            lanes=memory.lanes if memory else 0,
            rows=memory.rows if memory else 0,
        )
        data, started_at, sent_unix_ms = encode_message(asked), trio.current_time(), self._now_ms()
        answer = await self._ask(target.peer, data, target.until)
        ended_at = trio.current_time()
        root = decode_message(ProofRoot, answer)
        return Answered(
            peer=target.peer,
            challenge=challenge_of(asked.beacon, record.peer),
            asked=asked,
            root=root,
            elapsed_ms=round((ended_at - started_at) * 1000),
            hardware=hardware_class(record.hardware),
            sent_unix_ms=sent_unix_ms,
            shares_with=self._look_at_devices(target.peer, data, root, (started_at, ended_at)),
        )

    def _look_at_devices(
        self, peer: PeerId, challenge: bytes, root: ProofRoot, window: tuple[float, float]
    ) -> PeerId | None:
        """Return who else computed meanwhile on a device that a signed answer names, and tell of it. Rules: AUC-45.

        Raises:
            RemoteProtocolError: Something else is signed than was asked and answered.
        """
        if root.answer is None:
            return None
        own, network = self._core.peer_id, self._core.rules.network
        said = check_answer(root, challenge, worker=peer, asker=own, network=network)
        began, ended = (MonotonicS(at) for at in window)
        other = self._devices.note(peer, said.devices, began=began, ended=ended)
        if other is not None:
            log.warning("device_shared peer=%s other=%s devices=%s", peer[-8:], other[-8:], said.devices)
        return other

    async def _check(self, answer: Answered, until: float) -> Examined:
        """Draw rows of an answer with a secret that nobody knows yet, and check them. Rules: AUC-38."""
        secret = self._ports.entropy.token(32)
        check = ProofCheck(answer.challenge, answer.asked, answer.root, secret=secret)
        while (request := check.next_request()) is not None:
            shown = await self._ask(answer.peer, encode_message(request), until)
            check.take(decode_message(Openings, shown))
        async with self._checks:
            await self._ports.compute(check.verify)
        return Examined(answer, secret, check.rows)

    async def _ask(self, peer: PeerId, data: bytes, until: float) -> bytes:
        try:
            return await self._caller.ask(peer, data, timeout_s=max(0.0, until - trio.current_time()))
        except (NetworkError, RemoteProtocolError) as error:
            if error.code not in _TOO_LATE:
                raise
            raise NetworkError(f"the proof of {peer} came too late", code="proof_late") from error

    async def _keep(self, peer: PeerId, proven: Proven) -> None:
        forgotten = self._table.note(peer, proven)
        log.info("proven peer=%s throughput=%d", peer[-8:], proven.throughput)
        await self._journal.keep(peer, proven, forgotten=forgotten)

    def _fail(self, peer: PeerId, error: SkyopsError) -> None:
        """Note why a worker has no proof, and when it may be asked again."""
        log.info("not_proven peer=%s code=%s", peer[-8:], error.code)
        code, rests_ms = error.code, round(limits.PROOF_FAILED_S * 1000)
        if code in _TRANSIENT:
            rests_ms = 0
        elif code == "proof_fails":
            rests_ms = limits.PROOF_FRESH_MS
        if isinstance(error, RemoteProtocolError) and known_code(code) != code:
            code = "answer_invalid"  # peers choose the text of what they refuse with
        self._table.fail(peer, code, until=UnixMs(self._now_ms() + rests_ms))

    def _now_ms(self) -> UnixMs:
        return self._ports.wall_clock.now_ms()


@dataclass(frozen=True, slots=True)
class _Target:
    """A worker that is being challenged."""

    peer: PeerId
    record: NodeRecord
    memory: Layout | None
    until: float
    """When its root must be here."""

    def left_s(self) -> float:
        return max(0.0, self.until - trio.current_time())
