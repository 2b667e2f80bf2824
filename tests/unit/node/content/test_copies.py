"""Copies: kept for others within a quota and a time, found by their label when their owner is gone."""

import hashlib

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.content.copies import copies_in
from skyops_p2p.node.content.shelf import Holder, no_progress
from skyops_p2p.ports.content import Owner
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.messages.content import BundleRef
from tests.unit.node.content.loop import KEY, MIB, Loop, Person, make_tree

LABEL = "copy/00ff/3"


async def sealed(person: Person, root, size: int = 1000, seed: int = 0) -> BundleRef:
    data = hashlib.shake_128(bytes([seed])).digest(size)
    make_tree(root, {"state": data})
    return await person.shelf.seal_tree(root, key=KEY, owner="job", bytes_max=64 * MIB, progress=no_progress)


async def code_of(call) -> str:
    with pytest.raises(SkyopsError) as caught:
        await call
    return caught.value.code


async def test_a_copy_outlives_its_owner_and_is_found_by_its_label(
    loop: Loop, tmp_path
) -> None:  # CON-18, CON-20
    async with loop.person("carol") as carol:
        async with loop.person("bob") as bob:
            ref = await sealed(bob, tmp_path / "in")
            until = await bob.shelf.offer_replica(ref, LABEL, carol.peer, note=b"receipt")
            assert until == bob.clock.now + 1000 * limits.CONTENT_REPLICA_S_MAX
        async with loop.person("alice") as alice:
            (found,) = await alice.shelf.find_copies(LABEL, Holder(carol.peer))
            assert (found.owner, found.bundle, found.note) == (bob.peer, ref, b"receipt")
            assert await alice.shelf.find_copies("copy/other", Holder(carol.peer)) == ()
            await alice.shelf.fetch(ref, [Holder(carol.peer)], owner="job", progress=no_progress)
            assert await alice.shelf.has_all(ref)


async def test_a_copy_is_there_after_a_restart_and_lapses_at_its_time(loop: Loop, tmp_path) -> None:
    async with loop.person("bob") as bob:
        ref = await sealed(bob, tmp_path / "in")
        async with loop.person("carol") as carol:
            await bob.shelf.offer_replica(ref, LABEL, carol.peer, keep_s=60)
        async with loop.person("carol") as carol:
            assert await bob.shelf.find_copies(LABEL, Holder(carol.peer))
            await carol.store.expire(UnixMs(carol.clock.now + 59_000))
            assert await bob.shelf.find_copies(LABEL, Holder(carol.peer))
            await carol.store.expire(UnixMs(carol.clock.now + 60_000))
            assert await bob.shelf.find_copies(LABEL, Holder(carol.peer)) == ()
            assert carol.shelf.statistics().store.bytes_pinned == 0


async def test_a_newer_copy_takes_the_place_of_the_older(loop: Loop, tmp_path) -> None:  # CON-20
    async with loop.person("bob") as bob, loop.person("carol", replica_bytes=2 * MIB) as carol:
        first = await sealed(bob, tmp_path / "first", MIB, 1)
        second = await sealed(bob, tmp_path / "second", MIB, 2)
        await bob.shelf.offer_replica(first, LABEL, carol.peer)
        await bob.shelf.offer_replica(second, LABEL, carol.peer)
        assert [copy.bundle for copy in await bob.shelf.find_copies(LABEL, Holder(carol.peer))] == [second]
        with trio.fail_after(60):
            while len(await carol.store.owners()) > 1:  # noqa: ASYNC110 - the store has no event for it
                await trio.sleep(0.01)


async def test_the_room_of_one_peer_is_bounded(loop: Loop, tmp_path) -> None:  # CON-19
    async with (
        loop.person("bob") as bob,
        loop.person("mallory") as mallory,
        loop.person("carol", replica_bytes=2 * MIB) as carol,
    ):
        first = await sealed(bob, tmp_path / "first", MIB, 1)
        second = await sealed(bob, tmp_path / "second", MIB, 2)
        await bob.shelf.offer_replica(first, "a", carol.peer)
        assert await code_of(bob.shelf.offer_replica(second, "b", carol.peer)) == "copy_refused"
        other = await sealed(mallory, tmp_path / "third", MIB, 3)
        await mallory.shelf.offer_replica(other, "b", carol.peer)
        assert carol.shelf.statistics().copies_refused == 1


async def test_a_node_that_keeps_no_copies_refuses_them(loop: Loop, tmp_path) -> None:  # CON-19
    async with loop.person("bob") as bob, loop.person("carol", replica_bytes=0) as carol:
        ref = await sealed(bob, tmp_path / "in")
        assert await code_of(bob.shelf.offer_replica(ref, LABEL, carol.peer)) == "copy_refused"


async def test_a_copy_that_cannot_be_fetched_is_told_and_leaves_nothing(
    loop: Loop, tmp_path
) -> None:  # CON-18
    async with loop.person("bob") as bob, loop.person("carol") as carol:
        ref = await sealed(bob, tmp_path / "in", MIB)
        lie = ref.model_copy(update={"root": bytes(ref.root[:-1]) + bytes([ref.root[-1] ^ 1])})
        assert await code_of(bob.shelf.offer_replica(lie, LABEL, carol.peer)) == "copy_failed"
        less = ref.model_copy(update={"blocks": 2})
        assert await code_of(bob.shelf.offer_replica(less, LABEL, carol.peer)) == "copy_failed"
        assert await carol.store.owners() == ()


async def test_only_its_owner_can_have_a_copy_forgotten(loop: Loop, tmp_path) -> None:  # CON-20
    async with loop.person("bob") as bob, loop.person("mallory") as mallory, loop.person("carol") as carol:
        ref = await sealed(bob, tmp_path / "in")
        await bob.shelf.offer_replica(ref, LABEL, carol.peer)
        await mallory.shelf.drop_replica(LABEL, Holder(carol.peer))
        assert await bob.shelf.find_copies(LABEL, Holder(carol.peer))
        await bob.shelf.drop_replica(LABEL, Holder(carol.peer))
        assert await bob.shelf.find_copies(LABEL, Holder(carol.peer)) == ()


async def test_a_peer_that_is_away_cannot_be_asked(loop: Loop, tmp_path) -> None:
    async with loop.person("bob") as bob, loop.person("carol") as carol:
        ref = await sealed(bob, tmp_path / "in")
        loop.hub.cut.add(carol.peer)
        assert await code_of(bob.shelf.offer_replica(ref, LABEL, carol.peer)) == "unknown_address"


def test_owners_that_are_no_copies_are_passed_over() -> None:
    owners = [
        Owner("job/1", 1, 1, None),
        Owner("copy/x/y/z", 1, 1, UnixMs(5)),
        Owner("copy/12D3KooWx/bafy2/label", 1, 1, UnixMs(5), b"\x81"),
        Owner("copy/12D3KooWx/bafy2/label", 1, 1, UnixMs(5), b"\x80"),
        Owner("copy/12D3KooWx/bafy2/label", 1, 1, None, b""),
    ]
    assert list(copies_in(owners)) == []
