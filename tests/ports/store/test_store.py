"""What every store does, whatever it is made of."""

import dataclasses

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.errors import LocalProtocolError, StoreError
from skyops_p2p.ports import JournalEntry, StoredNode
from skyops_p2p.types import Multiaddr, PeerId, UnixMs


def node(name: str, *, seen: int = 1) -> StoredNode:
    addrs = (Multiaddr("/ip4/192.0.2.7/tcp/4711"), Multiaddr("/dns4/a.example/tcp/1"))
    return StoredNode(PeerId(name), b"\x00record of " + name.encode(), addrs, "active", UnixMs(seen))


async def test_entries_come_back_in_order_after_reopening(open_store):
    async with open_store() as store:
        numbers = [
            await store.append("peering", key, body)
            for key, body in [("bob", b"1"), ("carol", b"2"), ("bob", b"")]
        ]
        await store.append("auction", "bob", b"other stem")
    async with open_store() as store:
        entries = await store.entries("peering")
    assert entries == (
        JournalEntry(numbers[0], "peering", "bob", b"1"),
        JournalEntry(numbers[1], "peering", "carol", b"2"),
        JournalEntry(numbers[2], "peering", "bob", b""),
    )  # fmt: skip
    assert numbers == sorted(set(numbers))


async def test_an_unknown_stem_has_no_entries(open_store):
    async with open_store() as store:
        assert await store.entries("peering") == ()


async def test_a_number_is_never_given_out_again(open_store):
    async with open_store() as store:
        last = [await store.append("peering", "bob", b"x") for _ in range(3)][-1]
        assert await store.compact("peering", "bob", keep_last=0) == 3
    async with open_store() as store:
        assert await store.append("peering", "bob", b"x") > last


async def test_compaction_keeps_the_last_entries_of_one_key_only(open_store):
    async with open_store() as store:
        for number in range(5):
            await store.append("peering", "bob", b"%d" % number)
        await store.append("peering", "carol", b"c")
        await store.append("auction", "bob", b"a")
        assert await store.compact("peering", "bob", keep_last=2) == 3
        assert await store.compact("peering", "bob", keep_last=2) == 0
        assert await store.compact("peering", "nobody", keep_last=2) == 0
        assert [(e.key, e.body) for e in await store.entries("peering")] == [
            ("bob", b"3"),
            ("bob", b"4"),
            ("carol", b"c"),
        ]
        assert len(await store.entries("auction")) == 1


@pytest.mark.parametrize("excess", [-1, 0])
async def test_an_entry_up_to_the_bound_is_taken(open_store, excess):
    body = b"x" * (limits.JOURNAL_ENTRY_BYTES_MAX + excess)
    async with open_store() as store:
        await store.append("peering", "bob", body)
        (entry,) = await store.entries("peering")
    assert entry.body == body


async def test_a_longer_entry_is_our_own_mistake(open_store):
    async with open_store() as store:
        with pytest.raises(LocalProtocolError) as caught:
            await store.append("peering", "bob", b"x" * (limits.JOURNAL_ENTRY_BYTES_MAX + 1))
        assert caught.value.code == "oversized"
        assert await store.entries("peering") == ()


async def test_nodes_come_back_newest_first(open_store):
    async with open_store() as store:
        await store.put_nodes([node("bob", seen=5), node("carol", seen=9), node("alice", seen=5)])
        await store.put_nodes([])
    async with open_store() as store:
        assert await store.nodes() == (node("carol", seen=9), node("alice", seen=5), node("bob", seen=5))


async def test_a_node_is_replaced_and_forgotten(open_store):
    async with open_store() as store:
        await store.put_nodes([node("bob", seen=5), node("carol", seen=6)])
        newer = dataclasses.replace(node("bob", seen=7), state="suspect", addrs=())
        await store.put_nodes(iter([newer]))
        assert await store.nodes() == (newer, node("carol", seen=6))
        await store.forget_nodes([PeerId("carol"), PeerId("nobody")])
        assert await store.nodes() == (newer,)


async def test_past_the_bound_the_stalest_nodes_go(open_store, monkeypatch):
    monkeypatch.setattr(limits, "MAP_ENTRIES_MAX", 3)
    async with open_store() as store:
        await store.put_nodes(node(f"peer{seen}", seen=seen) for seen in (2, 3))
        assert len(await store.nodes()) == 2
        await store.put_nodes([node("peer4", seen=4)])
        assert len(await store.nodes()) == 3
        await store.put_nodes([node("peer5", seen=5), node("peer1", seen=1)])
        assert [stored.peer for stored in await store.nodes()] == ["peer5", "peer4", "peer3"]


async def test_values_are_set_replaced_and_kept(open_store):
    async with open_store() as store:
        assert await store.value("sequence") is None
        await store.set_value("sequence", b"1")
        await store.set_value("sequence", b"")
        await store.set_value("binding", b"x" * limits.STORE_VALUE_BYTES_MAX)
        with pytest.raises(LocalProtocolError):
            await store.set_value("binding", b"x" * (limits.STORE_VALUE_BYTES_MAX + 1))
    async with open_store() as store:
        assert await store.value("sequence") == b""
        assert await store.value("binding") == b"x" * limits.STORE_VALUE_BYTES_MAX


async def test_a_second_user_is_kept_out_until_the_first_is_gone(open_store):
    async with open_store() as store:
        with pytest.raises(StoreError) as caught:
            async with open_store():
                pytest.fail("two users of one store")
        assert caught.value.code == "store_locked"
        await store.append("peering", "bob", b"still works")
    async with open_store() as store:
        assert len(await store.entries("peering")) == 1


async def test_a_closed_store_refuses_every_call(open_store):
    async with open_store() as store:
        pass
    for call in (
        lambda: store.append("peering", "bob", b"x"),
        lambda: store.entries("peering"),
        lambda: store.compact("peering", "bob", keep_last=1),
        lambda: store.put_nodes([node("bob")]),
        lambda: store.forget_nodes([PeerId("bob")]),
        store.nodes,
        lambda: store.set_value("name", b"x"),
        lambda: store.value("name"),
    ):
        with pytest.raises(StoreError) as caught:
            await call()
        assert caught.value.code == "store_closed"


async def test_an_error_inside_the_block_still_lets_the_next_user_in(open_store):
    async def use_and_fail():
        async with open_store() as store:
            await store.append("peering", "bob", b"kept")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use_and_fail()
    async with open_store() as store:
        assert len(await store.entries("peering")) == 1


async def test_many_appenders_at_once_all_get_their_own_number(open_store):
    numbers = []

    async def appender(store, name):
        for count in range(20):
            number = await store.append("peering", name, b"%d" % count)
            numbers.append(number)

    async with open_store() as store:
        async with trio.open_nursery() as nursery:
            for name in ("alice", "bob", "carol"):
                nursery.start_soon(appender, store, name)
        entries = await store.entries("peering")
    assert sorted(numbers) == [entry.number for entry in entries]
    assert len(set(numbers)) == 60
    for name in ("alice", "bob", "carol"):
        assert [entry.body for entry in entries if entry.key == name] == [
            b"%d" % count for count in range(20)
        ]


async def test_a_call_that_was_cancelled_before_it_began_is_absent(open_store):
    async with open_store() as store:
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.append("peering", "mallory", b"x")
        assert scope.cancelled_caught
        assert await store.entries("peering") == ()


async def test_cancelled_appends_are_whole_or_absent_and_acknowledged_ones_are_there(open_store):
    acknowledged = []

    async def appender(store, name):
        for count in range(1000):
            body = b"%s %d" % (name.encode(), count)
            await store.append("peering", name, body)
            acknowledged.append(body)

    async with open_store() as store:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                for number in range(8):
                    nursery.start_soon(appender, store, f"peer{number}")
                while len(acknowledged) < 40:
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        stored = [entry.body for entry in await store.entries("peering")]
        await store.append("peering", "after", b"the store goes on")
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    assert len(stored) <= len(acknowledged) + 8, "at most one unacknowledged entry of each appender"
