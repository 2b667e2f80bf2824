"""What payments leave on the disk: a step whole or not at all, copies made up for, old ones forgotten."""

from dataclasses import replace
from unittest.mock import patch

import pytest

from skyops_p2p import limits
from skyops_p2p.adapters.memory.store import MemoryDisk, open_memory_store
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.meters import Counts
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.core.settlement.trees import GrowingTree
from skyops_p2p.errors import ExecutionError, StoreError
from skyops_p2p.node.settlement.journal import PAIR_STEM, PairState, PayJournal
from skyops_p2p.node.settlement.ledger import Ledger
from skyops_p2p.node.settlement.records import KeptReceipt, LaneRecord, PairKey
from skyops_p2p.ports import Store
from skyops_p2p.simulation.clock import SimClock
from skyops_p2p.simulation.money import CONTRACTS
from skyops_p2p.types import PeerId

ALICE, BOB = b"a" * 20, b"b" * 20
TERMS = CONTRACTS.pair("test", ALICE, BOB, holdback_bps=2000)
KEY = PairKey.of(TERMS, is_payer=True)


def state() -> PairState:
    return PairState(KEY, PeerId("bob"), TERMS, Account(), (1, 2, 3))


def lane(number: int = 1) -> LaneRecord:
    return LaneRecord(
        lane=bytes([number]) * 32,
        is_payer=True,
        peer=PeerId("bob"),
        account=BOB,
        contract=TERMS.contract,
        job_id=bytes(16),
        shard=0,
        epoch=number,
        name="train",
        mode="flex",
        rate_wei=3600,
        began_unix_ms=1,
        budget_wei=10,
    )


def stored(place: int = 1) -> ev.StoreAccount:
    return ev.StoreAccount(Account().encode(), ChainPlace(place, bytes([place]) * 32))


def ledger(store: Store) -> Ledger:
    return Ledger(PayJournal(store), SimClock())


async def test_a_step_comes_back_whole() -> None:  # SET-19
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        first = ledger(store)
        await first.note_lane(lane())
        closed = ev.CloseLane(lane().lane, "paid", 7, Counts(runtime_ms=5))
        await first.keep(state(), [stored(4), closed])
    async with open_memory_store(disk) as store:
        second = ledger(store)
        found = await second.restore()
        assert second.chain.place == ChainPlace(4, bytes([4]) * 32)  # SET-16
        assert found.pairs[KEY].funds == (1, 2, 3)
        (back,) = second.lanes.values()
        assert (back.code, back.paid_wei, back.billed.runtime_ms, back.budget_wei) == ("paid", 7, 5, 10)
        assert second.spent_wei[bytes(16)] == 7


async def test_copies_that_a_crash_left_out_are_made_up_for() -> None:
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        first = ledger(store)
        await first.note_lane(lane())
        with (
            patch.object(PayJournal, "keep_lane", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            await first.keep(state(), [stored(), ev.CloseLane(lane().lane, "paid", 7)])
    async with open_memory_store(disk) as store:
        second = ledger(store)
        await second.restore()
        assert second.lanes[lane().lane].paid_wei == 7
    async with open_memory_store(disk) as store:
        third = ledger(store)
        await third.restore()
        assert third.lanes[lane().lane].is_over


async def test_the_newest_place_of_all_pairs_counts() -> None:  # SET-16
    other = CONTRACTS.pair("test", ALICE, b"c" * 20, holdback_bps=2000)
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        first = ledger(store)
        second_pair = replace(state(), key=PairKey.of(other, is_payer=True), terms=other)
        await first.keep(second_pair, [stored(9)])
        await first.keep(state(), [stored(8)])
    async with open_memory_store(disk) as store:
        again = ledger(store)
        await again.restore()
        assert again.chain.place.sequence == 9


async def test_a_torn_record_lets_nothing_be_signed() -> None:
    async with open_memory_store(MemoryDisk()) as store:
        await store.append(PAIR_STEM, KEY.name, b"\x80nonsense")
        with pytest.raises(StoreError) as caught:
            await ledger(store).restore()
        assert caught.value.code == "account_torn"


async def test_an_open_lane_that_is_in_no_account_is_over_after_a_restart() -> None:
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        await ledger(store).note_lane(lane())
    async with open_memory_store(disk) as store:
        again = ledger(store)
        await again.restore()
        assert again.lanes[lane().lane].code == "lost"


@pytest.mark.parametrize(("more", "left"), [(-1, 3), (0, 4), (1, 4)])
async def test_the_lanes_that_ended_longest_ago_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, more: int, left: int
) -> None:
    monkeypatch.setattr(limits, "LANE_RECORDS_MAX", 4)
    async with open_memory_store(MemoryDisk()) as store:
        kept = ledger(store)
        for number in range(1, 5 + more):
            await kept.note_lane(lane(number).ended("paid", 1, Counts(), now=number))
        assert len(kept.lanes) == left
        assert (lane(1).lane in kept.lanes) is (more < 1)


async def test_old_receipts_keep_their_leaf_and_newer_ones_stay_provable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "RECEIPTS_KEPT_MAX", 2)
    monkeypatch.setattr(limits, "RECEIPT_LEAVES_MAX", 4)
    roots, tree = [], GrowingTree()
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        kept = ledger(store)
        for index in range(4):
            leaf = bytes([index + 1]) * 32
            tree = tree.with_leaf(leaf)
            roots.append(tree.root)
            receipt = KeptReceipt(index, leaf, bytes([index]) * 32, b"signed")
            with patch.object(KeptReceipt, "of", return_value=receipt):
                await kept.keep(state(), [stored(index + 1), ev.KeepReceipt(b"signed", index)])
    async with open_memory_store(disk) as store:
        kept = ledger(store)
        await kept.restore()
        assert [one.data for one in kept.receipts(KEY)] == [None, None, b"signed", b"signed"]
        for root in roots[2:]:
            assert kept.proof(KEY, 2, root).holds(root, bytes([3]) * 32)  # SET-14
        with pytest.raises(ExecutionError) as caught:
            kept.proof(KEY, 2, roots[1])
        assert caught.value.code == "receipt_unprovable"
        receipt = KeptReceipt(4, bytes([9]) * 32, bytes([9]) * 32, b"signed")
        with patch.object(KeptReceipt, "of", return_value=receipt):
            await kept.keep(state(), [stored(5), ev.KeepReceipt(b"signed", 4)])
        with pytest.raises(ExecutionError):  # the first leaf is gone
            kept.proof(KEY, 4, roots[3])


async def test_a_full_disk_holds_everything_up_until_there_is_room(autojump_clock: object) -> None:  # SET-19
    import trio

    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        kept = ledger(store)
        disk.free_bytes = 0
        with trio.move_on_after(60) as scope:
            await kept.keep(state(), [stored()])
        assert scope.cancelled_caught
        assert "wait for the disk" in kept.trouble
        disk.free_bytes = None
        await kept.keep(state(), [stored()])
        assert kept.trouble == ""
