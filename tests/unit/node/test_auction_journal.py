"""What auctions write down: read back after a restart, deleted when void, and never more than was promised."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from skyops_p2p import limits
from skyops_p2p.adapters.memory.store import MemoryDisk, open_memory_store
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.events import KeepProof, Offence
from skyops_p2p.core.auction.leases import AwardUse, LeaseTerms
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.errors import StoreError
from skyops_p2p.node.auction_journal import LEASES, PROOFS, START_TIMEOUT_MS, AuctionJournal
from skyops_p2p.node.auction_records import lease_entry
from skyops_p2p.types import NetworkName, UnixMs
from tests.unit.core.auction.counter import Counter
from tests.unit.core.auction.house import Shop
from tests.unit.core.people import ALICE, BOB, NOW, RULES, crowd


@dataclass
class Clock:
    unix_ms: int = NOW

    def now_ms(self) -> UnixMs:
        return UnixMs(self.unix_ms)


@dataclass
class Desk:
    """A disk and a clock that outlive the journal."""

    disk: MemoryDisk = field(default_factory=MemoryDisk)
    clock: Clock = field(default_factory=Clock)

    @asynccontextmanager
    async def opened(self, rules: NetworkRules = RULES) -> AsyncIterator[AuctionJournal]:
        async with open_memory_store(self.disk) as store:
            yield AuctionJournal(store, rules, self.clock)

    def kept(self, stem: str = LEASES) -> list[str]:
        return [entry.key for entry in self.disk.journal if entry.stem == stem]


def lease(number: int = 1) -> LeaseTerms:
    """Return an award that bob has confirmed, as his machine wants it stored."""
    alice = Counter(Shop(BOB), job_id=bytes([number] * 16))
    alice.send(alice.award(alice.revealed()))
    (stored,) = alice.shop.told(wev.StoreLease)
    assert isinstance(stored, wev.StoreLease)
    return stored.lease


async def test_a_lease_is_read_back_as_it_was() -> None:  # AUC-31
    desk, promised = Desk(), lease()
    async with desk.opened() as journal:
        await journal.store_lease(promised)
    desk.clock.unix_ms += 20_000
    async with desk.opened() as journal:
        (kept,), troubles = await journal.leases()
    assert troubles == []
    assert kept.ends_unix_ms == NOW + START_TIMEOUT_MS
    claim = replace(promised.claim, expires_at=None)
    assert kept.lease == replace(promised, claim=claim)
    assert kept.lease.claim.devices[0].gpu == promised.claim.devices[0].gpu


@pytest.mark.parametrize(("passed_ms", "is_there"), [(START_TIMEOUT_MS - 1, True), (START_TIMEOUT_MS, False)])
async def test_a_lease_that_is_void_is_deleted(passed_ms: int, is_there: bool) -> None:
    desk = Desk()
    async with desk.opened() as journal:
        await journal.store_lease(lease())
        desk.clock.unix_ms += passed_ms
        found, troubles = await journal.leases()
    assert (len(found), troubles) == (int(is_there), [])
    assert len(desk.kept()) == int(is_there)


async def test_a_clock_that_was_set_back_makes_no_lease_longer() -> None:
    desk = Desk()
    async with desk.opened() as journal:
        await journal.store_lease(lease())
        desk.clock.unix_ms -= 3_600_000
        (kept,), _ = await journal.leases()
    assert kept.ends_unix_ms == desk.clock.unix_ms + START_TIMEOUT_MS


@pytest.mark.parametrize("use", [None, AwardUse(bytes([5] * 16), NOW)])
async def test_a_lease_that_a_job_has_is_there_for_it_to_take_again(use: AwardUse | None) -> None:
    desk, promised = Desk(), lease()
    async with desk.opened() as journal:
        await journal.store_lease(promised)
        await journal.mark_taken(promised.award.digest, use)
        desk.clock.unix_ms += 24 * 3_600_000
        (kept,), _ = await journal.leases()
        assert kept.ends_unix_ms == desk.clock.unix_ms + START_TIMEOUT_MS
        assert kept.lease.use == use, "only that job may go on with it"
        await journal.forget_lease(promised.award.digest)
        assert await journal.leases() == ([], [])
    assert desk.kept() == []


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", lease_entry(lease(), ends_unix_ms=NOW)[:-1], b"\x81\x00\x01", b"\x81\x00\x03", b"\x01"],
    ids=["empty", "no msgpack", "torn", "without content", "taken, of no lease", "no map"],
)
async def test_an_entry_that_cannot_be_read_is_told_and_skipped(body: bytes) -> None:
    desk = Desk()
    async with desk.opened() as journal:
        await journal._store.append(LEASES, "ab" * 32, body)
        await journal.store_lease(lease())
        found, (trouble,) = await journal.leases()
    assert len(found) == 1
    assert trouble.startswith("the stored lease abababababababab cannot be read")
    assert "ab" * 32 in desk.kept(), "it is left for a person to look at"


async def test_a_lease_of_another_network_is_not_ours() -> None:
    desk = Desk()
    async with desk.opened() as journal:
        await journal.store_lease(lease())
    other = NetworkRules(NetworkName("another"), 1)
    async with desk.opened(other) as journal:
        found, troubles = await journal.leases()
    assert (found, len(troubles)) == ([], 1)


async def test_an_award_of_another_tender_is_no_lease() -> None:
    desk, mixed = Desk(), replace(lease(1), award=lease(2).award)
    async with desk.opened() as journal:
        await journal.store_lease(mixed)
        found, (trouble,) = await journal.leases()
    assert found == []
    assert trouble.endswith("(wrong_tender)")


async def test_a_lease_that_cannot_be_deleted_is_deleted_at_a_later_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk, promised = Desk(), lease()
    async with desk.opened() as journal:
        await journal.store_lease(promised)
    await journal.forget_lease(promised.award.digest)  # the store is closed
    assert "lease_not_forgotten" in caplog.text
    desk.clock.unix_ms += START_TIMEOUT_MS
    async with desk.opened() as journal:
        assert await journal.leases() == ([], [])
    assert desk.kept() == []


# --- proofs ---------------------------------------------------------------------------------------------------------
def proof(number: int, offence: Offence = "misaward", evidence: bytes = b"book") -> KeepProof:
    return KeepProof(offence, crowd(number + 1)[number].peer, bytes(32), (evidence,))


async def test_one_proof_of_each_offence_of_an_offender_is_kept() -> None:
    desk = Desk()
    async with desk.opened() as journal:
        await journal.keep_proof(proof(0))
        await journal.keep_proof(proof(0, evidence=b"another book"))
        await journal.keep_proof(proof(0, "two_tenders"))
        await journal.keep_proof(proof(1))
    assert len(desk.kept(PROOFS)) == 3
    async with desk.opened() as journal:
        await journal.restore_proofs()
        assert journal.offenders == {crowd(2)[0].peer, crowd(2)[1].peer}  # AUC-46
        await journal.keep_proof(proof(1))
    assert len(desk.kept(PROOFS)) == 3, "also after a restart"


async def test_the_oldest_proof_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROOFS_KEPT_MAX", 2)
    desk = Desk()
    async with desk.opened() as journal:
        for number in range(3):
            await journal.keep_proof(proof(number))
        assert journal.offenders == {crowd(3)[1].peer, crowd(3)[2].peer}
    assert [key.split("/")[1] for key in desk.kept(PROOFS)] == [crowd(3)[1].peer, crowd(3)[2].peer]


async def test_a_proof_that_was_not_kept_can_be_kept_later() -> None:
    desk = Desk(MemoryDisk(free_bytes=0))
    async with desk.opened() as journal:
        with pytest.raises(StoreError):
            await journal.keep_proof(proof(0))
        assert journal.offenders == frozenset()
        desk.disk.free_bytes = None
        await journal.keep_proof(proof(0))
    assert len(desk.kept(PROOFS)) == 1


async def test_a_proof_with_a_whole_frame_in_it_fits() -> None:
    desk = Desk()
    book = bytes(limits.FRAME_BYTES_MAX - 1)
    statement, ack = bytes(limits.TENDER_BYTES_MAX), bytes(300)
    async with desk.opened() as journal:
        await journal.keep_proof(KeepProof("misaward", ALICE.peer, bytes(32), (statement, book, ack)))
    assert len(desk.kept(PROOFS)) == 1
