"""PER-15, PER-16, PER-20: what differs between two maps, told in bounded pieces until it is complete."""

import random

import pytest

from skyops_p2p import limits
from skyops_p2p.core.sync_index import BUCKET_BYTES, BUCKETS, SyncIndex
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from tests.unit.core.people import ALICE, BOB, crowd

EMPTY = bytes(BUCKETS * BUCKET_BYTES)
COUNT_MAX = limits.MAP_SYNC_ENTRIES_MAX


def index_of(count: int, *, size: int = 10) -> tuple[SyncIndex, dict[bytes, bytes]]:
    """Return an index and what it holds: binary peer id -> record."""
    index = SyncIndex()
    held = {}
    people = crowd(count)
    random.Random(1).shuffle(people)
    for number, someone in enumerate(people):
        key = peer_id_to_bytes(someone.peer)
        held[key] = number.to_bytes(4, "big").ljust(size, b".")
        index.put(someone.peer, number, held[key])
    return index, held


def fetch_all(index: SyncIndex, held: dict[bytes, bytes], digests: bytes) -> list[bytes]:
    """Synchronise as an asker does: go on behind the owner of the last record."""
    owner = {record: key for key, record in held.items()}
    got: list[bytes] = []
    after = b""
    for _ in range(limits.SYNC_ROUNDS_MAX):
        records, is_complete = index.differing(digests, after=after, count_max=COUNT_MAX)
        assert len(records) <= COUNT_MAX
        assert sum(map(len, records)) <= limits.MAP_SYNC_BYTES_MAX
        got += records
        if is_complete:
            return got
        assert records, "an incomplete answer moves on"
        assert owner[records[-1]] > after
        after = owner[records[-1]]
    pytest.fail("the synchronisation does not end")


@pytest.mark.parametrize("count", [0, 1, COUNT_MAX - 1, COUNT_MAX, COUNT_MAX + 1, 3 * COUNT_MAX + 7])
@pytest.mark.parametrize("size", [10, 700, limits.NODE_RECORD_BYTES_MAX])
def test_newcomer_gets_every_record_once_in_order(count: int, size: int) -> None:
    index, held = index_of(count, size=size)
    assert fetch_all(index, held, EMPTY) == [held[key] for key in sorted(held)]


def test_equal_maps_differ_in_nothing() -> None:
    index, held = index_of(100)
    assert index.differing(index.digests(), after=b"", count_max=COUNT_MAX) == ([], True)
    assert fetch_all(index, held, index.digests()) == []


def test_digest_is_the_xor_of_the_hashes_of_peer_and_sequence() -> None:
    index = SyncIndex()
    expected = bytearray(EMPTY)
    for someone, sequence in ((ALICE, 7), (BOB, 2**53 - 1)):
        index.put(someone.peer, sequence, b"record")
        key = peer_id_to_bytes(someone.peer)
        bucket = sha256(key)[0] % 64
        for place, byte in enumerate(sha256(key + sequence.to_bytes(8, "big"))[:8]):
            expected[bucket * 8 + place] ^= byte
    assert index.digests() == bytes(expected)


def test_replaced_and_dropped_records_leave_no_trace() -> None:
    index, _ = index_of(40)
    before = index.digests()
    index.put(ALICE.peer, 1, b"old")
    index.put(ALICE.peer, 2, b"new")
    index.check_invariants()
    assert index.digests() != before
    index.drop(ALICE.peer)
    index.drop(ALICE.peer)
    index.check_invariants()
    assert index.digests() == before


def test_one_changed_record_costs_one_bucket() -> None:
    index, _ = index_of(640)
    other, _ = index_of(640)
    someone = crowd(640)[17]
    other.put(someone.peer, 9999, b"newer")
    records, is_complete = other.differing(index.digests(), after=b"", count_max=COUNT_MAX)
    assert is_complete
    assert b"newer" in records
    assert len(records) < 30


def test_contradiction_is_told_whole_and_counts_as_nothing() -> None:
    index = SyncIndex()
    index.put(ALICE.peer, 5, b"first")
    asker = index.digests()
    index.put_contradiction(ALICE.peer, b"first", b"second")
    index.check_invariants()
    assert index.digests() == EMPTY
    assert index.differing(asker, after=b"", count_max=COUNT_MAX) == ([b"first", b"second"], True)
    assert index.differing(EMPTY, after=b"", count_max=COUNT_MAX) == ([], True)


def test_contradiction_is_not_cut_in_two() -> None:
    index, _ = index_of(200)
    asker = bytes(range(256)) * 2
    people = crowd(200)
    for number, someone in enumerate(people):
        index.put_contradiction(someone.peer, f"{number}a".encode(), f"{number}b".encode())
    records, is_complete = index.differing(asker, after=b"", count_max=7)
    assert not is_complete
    assert len(records) == 6
    assert [record[:-1] for record in records[::2]] == [record[:-1] for record in records[1::2]]
