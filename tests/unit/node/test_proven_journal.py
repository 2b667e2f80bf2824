"""What a node writes down of proofs: the newest of each worker, read back in order, and nothing that is forgotten."""

import pytest

from skyops_p2p.adapters.memory.store import MemoryDisk, open_memory_store
from skyops_p2p.core.auction.proven import Proven, hardware_class
from skyops_p2p.errors import StoreError
from skyops_p2p.node.proven_journal import PROVEN, ProvenJournal
from skyops_p2p.types import UnixMs
from tests.unit.core.people import BOB, CAROL, HARDWARE, NOW

CLASS = hardware_class(HARDWARE)


def proof(throughput: int = 7) -> Proven:
    return Proven(throughput, UnixMs(NOW), CLASS)


async def test_newest_proof_of_each_worker_is_read_back() -> None:
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        journal = ProvenJournal(store)
        for throughput in (1, 2):
            await journal.keep(BOB.peer, proof(throughput), forgotten=())
        await journal.keep(CAROL.peer, proof(3), forgotten=())
    async with open_memory_store(disk) as store:
        assert await ProvenJournal(store).read() == [(BOB.peer, proof(2)), (CAROL.peer, proof(3))]
        assert len(await store.entries(PROVEN)) == 2, "the old one is gone"


async def test_forgotten_workers_are_deleted() -> None:
    async with open_memory_store(MemoryDisk()) as store:
        journal = ProvenJournal(store)
        await journal.keep(BOB.peer, proof(), forgotten=())
        await journal.keep(CAROL.peer, proof(), forgotten=[BOB.peer])
        assert await journal.read() == [(CAROL.peer, proof())]


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("not base58!", b""),
        (BOB.peer, b""),
        (BOB.peer, b"\x80"),
        (BOB.peer, b"\x83\x01\x00\x02\x00\x03\xc4\x20" + bytes(32)),
    ],
    ids=["no peer", "nothing", "no fields", "no throughput"],
)
async def test_entry_that_cannot_be_read_is_skipped(
    key: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_memory_store(MemoryDisk()) as store:
        await store.append(PROVEN, key, body)
        journal = ProvenJournal(store)
        await journal.keep(CAROL.peer, proof(), forgotten=())
        assert await journal.read() == [(CAROL.peer, proof())]
        assert "proof_not_read" in caplog.text


class Full:
    """A store whose disk is full."""

    async def append(self, stem: str, key: str, body: bytes) -> int:
        raise StoreError("no space", code="store_full")

    async def entries(self, stem: str) -> tuple[object, ...]:
        raise StoreError("torn", code="store_torn")


async def test_store_that_fails_costs_a_proof_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    journal = ProvenJournal(Full())  # type: ignore[arg-type]
    await journal.keep(BOB.peer, proof(), forgotten=())
    assert await journal.read() == []
    assert "proof_not_kept" in caplog.text
    assert "proofs_not_read" in caplog.text
