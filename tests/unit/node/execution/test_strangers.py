"""What a worker answers to those who have no lease with it; mallory tries, bob and carol work for alice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.core.jobs.encoding import encode_spec
from skyops_p2p.core.rules import LEASE_PROTOCOL
from skyops_p2p.errors import NetworkError, StoreError
from skyops_p2p.node.execution.run_journal import RunJournal
from skyops_p2p.node.lease_link import FROM_WORKER, LeaseLink
from skyops_p2p.node.runtime import Node
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages import execution as msg
from skyops_p2p.wire.model import encode_message
from tests.unit.node.jobs.job_world import JobWorld, ended, job_world, spec, until


async def link_to(node: Node, peer: PeerId) -> LeaseLink:
    assert node._workshop is not None
    return LeaseLink(await node._workshop._open_session(peer, LEASE_PROTOCOL), FROM_WORKER)


@asynccontextmanager
async def world_with_mallory(folder: Path) -> AsyncIterator[tuple[JobWorld, Node]]:
    async with job_world(folder) as world:
        mallory = await world.start("mallory", enabled=False)
        await world.all_know_each_other()
        yield world, mallory


def opening(**changes: object) -> msg.LeaseOpen:
    fields = {
        "award": bytes(32),
        "job_id": bytes(16),
        "shard": 0,
        "shards": 1,
        "epoch": 1,
        "spec": encode_spec(spec()),
        "content_key": bytes(32),
        "inputs": (),
        "secrets": (),
        "ttl_ms": 60_000,
        "holders": (),
        "replicas": (),
        "is_warm": False,
        **changes,
    }
    return msg.LeaseOpen.model_validate(fields)


async def refusal(link: LeaseLink) -> str:
    with trio.fail_after(60):
        answer = await link.receive()
    assert isinstance(answer, msg.LeaseRefused), answer
    return answer.code


async def test_a_lease_without_an_award_is_refused(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-1
    async with world_with_mallory(tmp_path) as (world, mallory):
        link = await link_to(mallory, world.nodes["bob"].peer_id)
        await link.send(opening())
        assert await refusal(link) == "unknown_lease"


async def test_an_award_of_somebody_else_opens_no_lease(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-1
    async with world_with_mallory(tmp_path) as (world, mallory):
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        view = await until(job, lambda view: view.shards and view.shards[0].phase == "running")
        name = world.worker_of(job)
        match = await world.nodes["alice"].match(spec(name="other"))
        assert match.is_matched
        other = next(node for node in world.nodes.values() if node.peer_id == match.winner)
        link = await link_to(mallory, other.peer_id)
        await link.send(opening(award=bytes.fromhex(match.award_digest)))
        assert await refusal(link) == "unknown_lease"
        assert view.shards[0].worker == world.nodes[name].peer_id
        assert (await ended(job)).state == "succeeded"


async def test_nobody_else_attaches_to_a_lease(autojump_clock: MockClock, tmp_path: Path) -> None:  # EXE-10
    async with world_with_mallory(tmp_path) as (world, mallory):
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].phase == "running")
        link = await link_to(mallory, world.nodes[world.worker_of(job)].peer_id)
        attach = msg.LeaseAttach(job_id=bytes.fromhex(job.job_id), shard=0, epoch=1, log_next=0)
        await link.send(attach)
        assert await refusal(link) == "unknown_lease"
        assert (await ended(job)).state == "succeeded"


async def test_an_older_epoch_does_not_attach(autojump_clock: MockClock, tmp_path: Path) -> None:  # EXE-10
    async with job_world(tmp_path) as world:
        alice = world.nodes["alice"]
        job = await alice.submit(spec(), base_dir=tmp_path)
        await ended(job)
        worker = PeerId(job.view().shards[0].worker)
        link = await link_to(alice, worker)
        await link.send(msg.LeaseAttach(job_id=bytes.fromhex(job.job_id), shard=0, epoch=1, log_next=0))
        assert await refusal(link) == "run_lost"


async def test_a_message_out_of_place_ends_the_session(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-18
    async with world_with_mallory(tmp_path) as (world, mallory):
        link = await link_to(mallory, world.nodes["bob"].peer_id)
        await link.send(msg.Beat(epoch=1, log_next=0))
        assert await refusal(link) == "wrong_type"
        with trio.fail_after(60), pytest.raises(NetworkError):
            await link.receive()


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff" * 40, encode_message(msg.LeaseReady(epoch=1, phase="running", log_count=0))]
)
async def test_garbage_ends_the_session_and_nothing_else(
    autojump_clock: MockClock, tmp_path: Path, garbage: bytes
) -> None:  # EXE-18
    async with world_with_mallory(tmp_path) as (world, mallory):
        link = await link_to(mallory, world.nodes["bob"].peer_id)
        await link.session.send(garbage)
        assert await refusal(link) in ("malformed", "wrong_type")
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        assert (await ended(job)).state == "succeeded"


async def test_a_silent_stranger_is_sent_away(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with world_with_mallory(tmp_path) as (world, mallory):
        link = await link_to(mallory, world.nodes["bob"].peer_id)
        with trio.fail_after(60), pytest.raises(NetworkError):
            await link.receive()


async def test_a_lease_that_cannot_be_written_down_is_not_taken(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-16
    taken: list[int] = []

    async def fail(*_: object, **__: object) -> None:
        taken.append(1)
        raise StoreError("no room", code="store_full")

    async with job_world(tmp_path) as world:
        monkeypatch.setattr(RunJournal, "take", fail)
        job = await world.nodes["alice"].submit(spec(retry={"attempts_max": 1}), base_dir=tmp_path)
        view = await ended(job)
        assert view.shards[0].attempts[0].code == "store_full"
        assert taken
        monkeypatch.undo()
        for name in ("bob", "carol"):
            await world.nodes[name].wait_for(
                lambda node: node.node("self").slots_free == node.node("self").slots, timeout_s=60
            )
