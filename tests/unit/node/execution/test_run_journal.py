"""A worker's journal of runs: what is read back after a restart, and that it does not grow without end."""

from dataclasses import replace

import pytest

from skyops_p2p import limits
from skyops_p2p.adapters.memory.store import MemoryDisk, open_memory_store
from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.node.execution.run_journal import STEM, RunJournal
from skyops_p2p.types import UnixMs
from tests.unit.core.people import ALICE, BOB

FACTS = LeaseFacts(
    network="testnet-4f2a",
    requester=ALICE.peer,
    worker=BOB.peer,
    job_id=bytes(16),
    shard=0,
    epoch=1,
    award=bytes(32),
    spec_digest=bytes([1]) * 32,
)


async def run_through(journal: RunJournal, epoch: int) -> None:
    facts = replace(FACTS, epoch=epoch)
    await journal.take(facts, tender=bytes(32), now=UnixMs(1))
    await journal.keep_result(facts, b"receipt", now=UnixMs(2))
    await journal.end(facts, "succeeded")


async def test_shards_on_one_award_are_runs_of_their_own() -> None:
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        journal = RunJournal(store)
        await run_through(journal, 1)
        await journal.take(replace(FACTS, shard=1), tender=bytes(32), now=UnixMs(3))
        await journal.keep_result(replace(FACTS, shard=1), b"other", now=UnixMs(4))
    async with open_memory_store(disk) as store:
        runs, ended, unreadable = await RunJournal(store).restore()
    assert [(run.facts.shard, run.result) for run in runs] == [(1, b"other")]
    assert ([(one.shard, one.epoch, one.code) for one in ended], unreadable) == ([(0, 1, "succeeded")], 0)


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_only_the_newest_ends_are_remembered(
    is_restarted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        journal = RunJournal(store)
        for epoch in range(1, 8):
            if epoch == 6 or not is_restarted:
                monkeypatch.setattr(limits, "RUN_EPOCHS_REMEMBERED_MAX", 3)
            if epoch == 6 and is_restarted:
                journal = RunJournal(store)
                await journal.restore()
            await run_through(journal, epoch)
        assert len(await store.entries(STEM)) == 3
        _, ended, _ = await RunJournal(store).restore()
    assert [one.epoch for one in ended] == [5, 6, 7]
