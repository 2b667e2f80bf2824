"""Workers that lie: honest nodes of which one, the first that comes to it, says or seals other than it should."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from skyops_p2p.crypto import chunks
from skyops_p2p.node.content import sealing
from skyops_p2p.node.execution.keeping import RunKeeping
from skyops_p2p.node.execution.log_book import LogBook
from skyops_p2p.node.execution.run_link import RunLink
from skyops_p2p.node.execution.run_pulse import RunPulse
from skyops_p2p.node.execution.steps import RunSteps
from skyops_p2p.node.lease_link import LeaseLink
from skyops_p2p.node.misbehaving import Conduct
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import peek, seal
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import CheckpointReceipt, LogBatch, ResultReceipt, WorkerBeat

OTHER_KEY = b"another job's content key, 32 b."


@dataclass
class Liar:
    """Whoever comes first to a lie is the liar, and the only one; the others stay honest."""

    peer: PeerId | None = None
    lies: int = 0

    def is_(self, peer: PeerId) -> bool:
        """Tell whether this one lies; counts the lies."""
        self.peer = self.peer or peer
        self.lies += self.peer == peer
        return self.peer == peer


def first_lies(monkeypatch: pytest.MonkeyPatch) -> Liar:
    """Have whoever seals outputs first spoil all of its own."""
    liar = Liar()
    monkeypatch.setattr(Conduct, "is_spoiling", lambda _conduct, _job_id, _allowed, own: liar.is_(own))
    return liar


def lie_in_results(monkeypatch: pytest.MonkeyPatch, **changes: object) -> Liar:
    """Have one worker sign results with other fields."""
    liar, honest = Liar(), RunKeeping._sign_result

    def sign(keeping: RunKeeping, *arguments: Any, **options: Any) -> bytes:
        data = honest(keeping, *arguments, **options)
        if not liar.is_(keeping._opened.facts.worker):
            return data
        told = peek(data, ResultReceipt).model_copy(update=changes)
        return seal(told, keeping._tools.node_key, keeping._opened.facts.network)

    monkeypatch.setattr(RunKeeping, "_sign_result", sign)
    return liar


def keep_results_back(monkeypatch: pytest.MonkeyPatch) -> Liar:
    """Have one worker go on beating when its program has ended, and never tell a result."""
    liar, tell, again = Liar(), RunLink.send_result, RunLink._tell_again

    async def send_result(link: RunLink) -> None:
        if not liar.is_(link._facts.worker):
            await tell(link)

    async def tell_again(link: RunLink, session: LeaseLink) -> None:
        if link._facts.worker != liar.peer:
            await again(link, session)

    monkeypatch.setattr(RunLink, "send_result", send_result)
    monkeypatch.setattr(RunLink, "_tell_again", tell_again)
    return liar


def forge_results(monkeypatch: pytest.MonkeyPatch, forge: Callable[[bytes], bytes]) -> Liar:
    """Have one worker hand over other bytes than the receipt that it signed."""
    liar, honest = Liar(), RunKeeping._sign_result

    def sign(keeping: RunKeeping, *arguments: Any, **options: Any) -> bytes:
        data = honest(keeping, *arguments, **options)
        return forge(data) if liar.is_(keeping._opened.facts.worker) else data

    monkeypatch.setattr(RunKeeping, "_sign_result", sign)
    return liar


def lie_in_outputs(monkeypatch: pytest.MonkeyPatch, change: Callable[[BundleRef], BundleRef]) -> Liar:
    """Have one worker name other outputs than it has sealed."""
    liar, honest = Liar(), RunSteps.seal_outputs

    async def seal_outputs(steps: RunSteps) -> BundleRef | None:
        found = await honest(steps)
        return change(found) if found is not None and liar.is_(steps._tools.own) else found

    monkeypatch.setattr(RunSteps, "seal_outputs", seal_outputs)
    return liar


def seal_with_another_key(monkeypatch: pytest.MonkeyPatch, *purposes: chunks.Purpose) -> Liar:
    """Have one worker put chunks into its outputs that were sealed for another job."""
    liar, honest, is_lying = Liar(), RunSteps.seal_outputs, [False]
    seal_chunk, other = sealing.seal_chunk, chunks.chunk_keys(OTHER_KEY)

    async def seal_outputs(steps: RunSteps) -> BundleRef | None:
        is_lying[0] = liar.is_(steps._tools.own)
        try:
            return await honest(steps)
        finally:
            is_lying[0] = False

    def seal_one(keys: chunks.ChunkKeys, plaintext: bytes, place: chunks.Place) -> bytes:
        is_other = is_lying[0] and place.purpose in purposes
        return seal_chunk(other if is_other else keys, plaintext, place)

    monkeypatch.setattr(RunSteps, "seal_outputs", seal_outputs)
    monkeypatch.setattr(sealing, "seal_chunk", seal_one)
    return liar


def lie_in_checkpoints(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[CheckpointReceipt], CheckpointReceipt]
) -> Liar:
    """Have one worker sign other receipts of checkpoints."""
    liar, honest = Liar(), RunKeeping._sign_checkpoint

    def sign(keeping: RunKeeping, *arguments: Any) -> None:
        honest(keeping, *arguments)
        if liar.is_(keeping._opened.facts.worker):
            told = change(peek(keeping.checkpoints[-1], CheckpointReceipt))
            envelope = seal(told, keeping._tools.node_key, keeping._opened.facts.network)
            keeping.checkpoints[-1] = envelope

    monkeypatch.setattr(RunKeeping, "_sign_checkpoint", sign)
    return liar


def lie_in_logs(monkeypatch: pytest.MonkeyPatch, change: Callable[[LogBatch], LogBatch]) -> Liar:
    """Have one worker send another log than it keeps."""
    liar, honest, made = Liar(), LogBook.batch, RunKeeping.__init__
    owners: dict[int, PeerId] = {}

    def make(keeping: RunKeeping, opened: Any, tools: Any) -> None:
        made(keeping, opened, tools)
        owners[id(keeping.book)] = opened.facts.worker

    async def batch(book: LogBook, number: int) -> LogBatch | None:
        found = await honest(book, number)
        return change(found) if found is not None and liar.is_(owners[id(book)]) else found

    monkeypatch.setattr(RunKeeping, "__init__", make)
    monkeypatch.setattr(LogBook, "batch", batch)
    return liar


def lie_in_beats(monkeypatch: pytest.MonkeyPatch, change: Callable[[WorkerBeat], WorkerBeat]) -> Liar:
    """Have one worker tell another progress."""
    liar, honest = Liar(), RunPulse.beat

    async def beat(pulse: RunPulse, *arguments: Any) -> WorkerBeat:
        found = await honest(pulse, *arguments)
        return change(found) if liar.is_(pulse._opened.facts.worker) else found

    monkeypatch.setattr(RunPulse, "beat", beat)
    return liar
