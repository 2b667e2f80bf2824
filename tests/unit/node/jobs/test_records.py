"""What a requester writes down of a shard is read back as it was, and so is what an older version wrote."""

from dataclasses import replace

from skyops_p2p.adapters.memory.store import MemoryDisk, open_memory_store
from skyops_p2p.core.execution.shard_record import Attempt, ShardRecord, ShardState
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.node.jobs.records import SHARD_STEM, JobRecords
from skyops_p2p.simulation.entropy import SeededEntropy
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.execution import HolderPart
from tests.unit.core.people import ALICE, BOB, CAROL

JOB = bytes(range(16))
KEEPER = HolderPart(peer=peer_id_to_bytes(CAROL.peer), addrs=("/ip4/127.0.0.1/tcp/4001",))
ATTEMPT = Attempt(epoch=3, worker=BOB.peer, price=7, award=bytes(32), tender_job=bytes(16), keepers=(KEEPER,))
RECORD = ShardRecord(state=ShardState.RUNNING, epoch=3, attempts=(ATTEMPT,), excluded=(CAROL.peer,))


async def test_a_shard_is_read_back_as_it_was_written() -> None:
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        await JobRecords(store, ALICE.node_key, SeededEntropy(1)).save_shard(JOB, 0, RECORD, now=5)
    async with open_memory_store(disk) as store:
        _, shards, unreadable = await JobRecords(store, ALICE.node_key, SeededEntropy(1)).restore()
    assert (shards, unreadable) == ({(JOB, 0): RECORD}, 0)


async def test_a_shard_of_a_version_that_named_no_keepers_is_read() -> None:
    async with open_memory_store(MemoryDisk()) as store:
        records = JobRecords(store, ALICE.node_key, SeededEntropy(1))
        await records.save_shard(JOB, 0, RECORD, now=5)
        (entry,) = await store.entries(SHARD_STEM)
        fields = canonical.decode(entry.body, bytes_max=4096)
        del fields[3][0][9]
        await store.append(SHARD_STEM, entry.key, canonical.encode(fields))
        _, shards, unreadable = await records.restore()
    assert (shards, unreadable) == ({(JOB, 0): replace(RECORD, attempts=(replace(ATTEMPT, keepers=()),))}, 0)


def test_keepers_of_a_worker_are_those_of_all_its_leases_the_newest_first() -> None:
    other = HolderPart(peer=peer_id_to_bytes(ALICE.peer), addrs=())
    newer = replace(ATTEMPT, epoch=4, keepers=(other, KEEPER))
    elsewhere = replace(ATTEMPT, epoch=5, worker=CAROL.peer)
    record = replace(RECORD, attempts=(ATTEMPT, newer, elsewhere))
    assert record.keepers_of(BOB.peer) == (other, KEEPER)
    assert record.keepers_of(ALICE.peer) == ()
