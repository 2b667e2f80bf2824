"""Trees into bundles and back: on one machine, and from one to another, however the holder behaves."""

import hashlib
import os

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.errors import ExecutionError, NetworkError, RemoteProtocolError, SkyopsError, StoreError
from skyops_p2p.node.content.links import BlockLink
from skyops_p2p.node.content.shelf import Holder, TreePart, no_progress
from skyops_p2p.types import PeerId
from skyops_p2p.wire.cid import DAG_PB, Cid, decode_cid
from skyops_p2p.wire.messages.content import BundleRef
from tests.unit.node.content.loop import KEY, MIB, Loop, LoopStream, Person, make_tree, read_tree

JOB = "job/00ff"


def noise(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


TREE = {
    "data/train.bin": noise(3 * limits.CONTENT_CHUNK_BYTES + 17),
    "data/exact.bin": noise(2 * limits.CONTENT_CHUNK_BYTES, 1),
    "readme.txt": b"hello",
    "empty": b"",
    "ünï cödé.txt": b"names",
    "nothing/here/": b"",
}


async def seal(
    person: Person, root, *, key: bytes = KEY, owner: str = JOB, bytes_max: int = 64 * MIB
) -> BundleRef:
    return await person.shelf.seal_tree(root, key=key, owner=owner, bytes_max=bytes_max, progress=no_progress)


async def fetch(person: Person, ref: BundleRef, *holders: Person, owner: str = JOB) -> None:
    chosen = [Holder(holder.peer) for holder in holders]
    await person.shelf.fetch(ref, chosen, owner=owner, progress=no_progress)


async def code_of(call) -> str:
    with pytest.raises(SkyopsError) as caught:
        await call
    return caught.value.code


async def test_a_tree_is_sealed_and_opened_as_it_was(loop: Loop, tmp_path) -> None:
    root = make_tree(tmp_path / "in", TREE)
    (root / "readme.txt").chmod(0o755)
    steps: list[tuple[int, int]] = []
    async with loop.person("alice") as alice:
        ref = await alice.shelf.seal_tree(
            root, key=KEY, owner=JOB, bytes_max=64 * MIB, progress=lambda *step: steps.append(step)
        )
        written = await alice.shelf.open_tree(ref, tmp_path / "out", key=KEY, progress=no_progress)
        assert await alice.shelf.has_all(ref)
        assert alice.shelf.statistics().store.blocks == ref.blocks
    assert read_tree(tmp_path / "out") == TREE
    assert os.access(tmp_path / "out/readme.txt", os.X_OK)
    assert not os.access(tmp_path / "out/empty", os.X_OK)
    assert (written, ref.files) == (sum(map(len, TREE.values())), 5)
    assert steps[-1] == (ref.size_bytes, ref.size_bytes)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


async def test_an_empty_directory_is_a_bundle_too(loop: Loop, tmp_path) -> None:
    async with loop.person("alice") as alice:
        ref = await seal(alice, make_tree(tmp_path / "in", {}))
        assert await alice.shelf.open_tree(ref, tmp_path / "out", key=KEY, progress=no_progress) == 0
    assert read_tree(tmp_path / "out") == {}


async def test_one_file_is_sealed_by_its_name(loop: Loop, tmp_path) -> None:
    root = make_tree(tmp_path / "in", {"model.bin": b"weights", "other": b""})
    async with loop.person("alice") as alice:
        ref = await seal(alice, root / "model.bin")
        assert await alice.shelf.list_tree(ref, key=KEY) == (("model.bin", 7),)
        assert await alice.shelf.open_bytes(ref, key=KEY, bytes_max=7) == b"weights"
        assert await code_of(alice.shelf.open_bytes(ref, key=KEY, bytes_max=6)) == "oversized"


async def test_parts_of_several_places_become_one_tree(loop: Loop, tmp_path) -> None:
    root = make_tree(
        tmp_path / "in", {"out/model/w.bin": b"w", "out/log.txt": b"l", "out/more/": b"", "secret": b"s"}
    )
    parts = [
        TreePart(root, "out/model", "results/model"),
        TreePart(root, "out/log.txt", "results/log.txt"),
        TreePart(root, "out/more", "results/more"),
    ]
    async with loop.person("alice") as alice:
        ref = await alice.shelf.seal_parts(parts, key=KEY, owner=JOB, bytes_max=MIB, progress=no_progress)
        await alice.shelf.open_tree(ref, tmp_path / "out", key=KEY, progress=no_progress)
    assert read_tree(tmp_path / "out/results") == {"model/w.bin": b"w", "log.txt": b"l", "more/": b""}


async def test_sealing_again_makes_the_same_bundle_and_only_what_changed(loop: Loop, tmp_path) -> None:
    root = make_tree(tmp_path / "in", TREE)
    async with loop.person("alice") as alice:
        first = await seal(alice, root, owner="checkpoint/1")
        before = alice.shelf.statistics().store.blocks
        assert await seal(alice, root, owner="checkpoint/2") == first
        (root / "data/train.bin").write_bytes(TREE["data/train.bin"][:-1] + b"!")
        await seal(alice, root, owner="checkpoint/3")
        # The last chunk, its file's node, the list of files and the root.
        assert alice.shelf.statistics().store.blocks == before + 4


async def test_another_jobs_key_opens_nothing(loop: Loop, tmp_path) -> None:
    async with loop.person("alice") as alice:
        ref = await seal(alice, make_tree(tmp_path / "in", TREE))
        opening = alice.shelf.open_tree(ref, tmp_path / "out", key=bytes(32), progress=no_progress)
        assert await code_of(opening) == "bad_ciphertext"
    assert not (tmp_path / "out").exists()


async def test_links_and_too_much_are_refused_before_anything_is_stored(loop: Loop, tmp_path) -> None:
    root = make_tree(tmp_path / "in", {"a": b"12345"})
    async with loop.person("alice") as alice:
        assert await code_of(seal(alice, root, bytes_max=4)) == "output_too_large"
        (root / "passwd").symlink_to("/etc/passwd")
        assert await code_of(seal(alice, root)) == "output_unsafe"
        (root / "passwd").unlink()
        (root / "up").symlink_to("/etc")
        part = TreePart(root, "up/hostname", "up")
        sealing = alice.shelf.seal_parts([part], key=KEY, owner=JOB, bytes_max=MIB, progress=no_progress)
        assert await code_of(sealing) == "output_unsafe"
        assert await code_of(seal(alice, root / "absent")) == "output_missing"
        (root / "up").unlink()
        (root / "line\nbreak").write_bytes(b"")
        assert await code_of(seal(alice, root)) == "bad_path"
        assert alice.shelf.statistics().store.blocks <= 2, "the odd name is only found when the list is made"


async def test_opening_never_writes_over_a_file(loop: Loop, tmp_path) -> None:
    out = make_tree(tmp_path / "out", {"readme.txt": b"mine"})
    async with loop.person("alice") as alice:
        ref = await seal(alice, make_tree(tmp_path / "in", TREE))
        assert (
            await code_of(alice.shelf.open_tree(ref, out, key=KEY, progress=no_progress)) == "output_exists"
        )
    assert (out / "readme.txt").read_bytes() == b"mine"


async def test_a_damaged_block_is_found_and_fetched_again(loop: Loop, tmp_path) -> None:
    async with loop.person("alice") as alice, loop.person("bob") as bob:
        ref = await seal(alice, make_tree(tmp_path / "in", TREE))
        await fetch(bob, ref, alice)
        victim = max((tmp_path / "bob/blocks").rglob("bafk*"), key=lambda path: path.stat().st_size)
        data = bytearray(victim.read_bytes())
        data[1000] ^= 1
        victim.write_bytes(data)
        with pytest.raises(StoreError) as caught:
            await bob.shelf.open_tree(ref, tmp_path / "broken", key=KEY, progress=no_progress)
        assert caught.value.code == "content_missing"
        assert not await bob.shelf.has_all(ref)
        await fetch(bob, ref, alice)
        await bob.shelf.open_tree(ref, tmp_path / "out", key=KEY, progress=no_progress)
    assert read_tree(tmp_path / "out") == TREE


@pytest.mark.parametrize("channel", [False, True], ids=["libp2p stream", "data channel"])
async def test_a_bundle_travels_and_is_opened_elsewhere(loop: Loop, tmp_path, channel: bool) -> None:
    async with loop.person("alice", channel=channel) as alice, loop.person("bob") as bob:
        ref = await seal(alice, make_tree(tmp_path / "in", TREE))
        assert not await bob.shelf.has_all(ref)
        steps: list[tuple[int, int]] = []
        await bob.shelf.fetch(ref, [Holder(alice.peer)], owner=JOB, progress=lambda *step: steps.append(step))
        assert await bob.shelf.has_all(ref)
        assert steps[-1] == (ref.size_bytes, ref.size_bytes)
        assert bool(loop.hub.opened) is not channel
        assert bob.shelf.statistics().blocks_fetched == ref.blocks
        await bob.shelf.open_tree(ref, tmp_path / "out", key=KEY, progress=no_progress)
    assert read_tree(tmp_path / "out") == TREE


async def test_a_data_channel_that_cannot_be_dialled_is_replaced_by_a_stream(loop: Loop, tmp_path) -> None:
    async with loop.person("alice", channel=True) as alice, loop.person("bob", addrs=()) as bob:
        ref = await seal(alice, make_tree(tmp_path / "in", TREE))
        await fetch(bob, ref, alice)
        assert loop.hub.opened == [(bob.peer, alice.peer)]


async def test_what_is_here_already_is_not_fetched_again(loop: Loop, tmp_path) -> None:
    root = make_tree(tmp_path / "in", TREE)
    async with loop.person("alice") as alice, loop.person("bob") as bob:
        first = await seal(alice, root)
        await fetch(bob, first, alice)
        (root / "readme.txt").write_bytes(b"changed")
        second = await seal(alice, root)
        served = alice.shelf.statistics().bytes_served
        await fetch(bob, second, alice, owner="job/2")
        assert alice.shelf.statistics().bytes_served - served < 2000
        await bob.shelf.release(JOB)
        assert await bob.shelf.has_all(second)


async def test_a_fetch_goes_on_after_a_restart(loop: Loop, tmp_path) -> None:
    async with loop.person("alice") as alice:
        ref = await seal(alice, make_tree(tmp_path / "in", {"big": noise(8 * MIB)}))
        async with loop.person("bob") as bob:
            with trio.CancelScope() as scope:

                def stop_half_way(done: int, total: int) -> None:
                    if done > total // 3:
                        scope.cancel()

                await bob.shelf.fetch(ref, [Holder(alice.peer)], owner=JOB, progress=stop_half_way)
            assert scope.cancelled_caught
            had = bob.shelf.statistics().store.blocks
        async with loop.person("bob") as bob:
            await fetch(bob, ref, alice)
            assert bob.shelf.statistics().blocks_fetched == ref.blocks - had
            assert await bob.shelf.has_all(ref)


async def test_without_a_holder_the_fetch_says_what_is_missing(loop: Loop, tmp_path) -> None:
    async with loop.person("alice") as alice, loop.person("bob") as bob:
        ref = await seal(alice, make_tree(tmp_path / "in", TREE))
        loop.hub.cut.add(alice.peer)
        with pytest.raises(NetworkError) as caught:
            await fetch(bob, ref, alice)
        assert caught.value.code == "no_holder"
        assert str(decode_cid(ref.root)) in caught.value.message
        assert await code_of(fetch(bob, ref)) == "no_holder"


async def test_a_holder_that_lacks_a_block_is_told_apart(loop: Loop, tmp_path) -> None:
    async with loop.person("alice") as alice, loop.person("bob") as bob, loop.person("carol") as carol:
        ref = await seal(alice, make_tree(tmp_path / "in", TREE))
        await fetch(carol, ref, alice)
        lost = await one_leaf(alice, ref)
        await alice.store.discard([lost])
        assert await code_of(fetch(bob, ref, alice)) == "content_missing"
        await fetch(bob, ref, alice, carol)
        assert await bob.shelf.has_all(ref)


async def one_leaf(person: Person, ref: BundleRef) -> Cid:
    root = decode_cid(ref.root)
    node = await person.store.get([root])
    assert node[0] is not None
    from skyops_p2p.wire.dag_pb import links_of

    return next(link.cid for link in links_of(root, node[0]) if link.cid.codec != DAG_PB)


class LyingStore:
    """A store that serves other bytes than it has."""

    def __init__(self, store, change) -> None:
        self._store, self._change = store, change

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    async def get(self, cids, *, is_checked: bool = True):
        return [
            block and self._change(cid, block)
            for cid, block in zip(cids, await self._store.get(cids), strict=True)
        ]


CHANGES = {
    "flipped": lambda _cid, block: bytes([block[0] ^ 1]) + block[1:],
    "cut short": lambda _cid, block: block[:-1],
    "grown": lambda _cid, block: block + b"x",
    "another job's": lambda _cid, block: noise(len(block), 9),
    "empty": lambda _cid, _block: b"\0",
}


@pytest.mark.parametrize("channel", [False, True], ids=["libp2p stream", "data channel"])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_holder_that_changes_blocks_is_dropped_and_nothing_of_it_kept(
    loop: Loop, tmp_path, change: str, channel: bool
) -> None:  # CON-11
    async with (
        loop.person("alice") as alice,
        loop.person("mallory", channel=channel) as mallory,
        loop.person("bob") as bob,
    ):
        ref = await seal(alice, make_tree(tmp_path / "in", TREE))
        await fetch(mallory, ref, alice)
        mallory.shelf._service._store = LyingStore(mallory.store, CHANGES[change])
        assert await code_of(fetch(bob, ref, mallory)) in ("no_holder", "content_missing")
        assert bob.shelf.statistics().store.blocks == 0
        await fetch(bob, ref, mallory, alice)
        await bob.shelf.open_tree(ref, tmp_path / "out", key=KEY, progress=no_progress)
    assert read_tree(tmp_path / "out") == TREE


@pytest.mark.parametrize("channel", [False, True], ids=["libp2p stream", "data channel"])
async def test_more_fetches_at_once_than_a_holder_serves_wait_for_their_turn(
    loop: Loop, tmp_path, channel: bool
) -> None:
    async with loop.person("alice", channel=channel) as alice, loop.person("bob") as bob:
        roots = [make_tree(tmp_path / str(n), {"one": noise(2 * MIB, n)}) for n in range(12)]
        refs = [await seal(alice, root) for root in roots]
        async with trio.open_nursery() as nursery:
            for ref in refs:
                nursery.start_soon(fetch, bob, ref, alice)
        assert bob.shelf._ways._turns == {}


@pytest.mark.parametrize("frame", [b"", b"\2", b"\1more", b"\xff" * 10])
async def test_a_frame_that_is_no_answer_ends_the_link(frame: bytes) -> None:  # CON-14
    there, back = trio.open_memory_channel[bytes](1)
    stream = LoopStream(PeerId("mallory"), there, back)
    there.send_nowait(frame)
    with pytest.raises(RemoteProtocolError) as caught:
        await BlockLink(stream, is_authentic=True).receive()
    assert caught.value.code == "malformed"


async def test_a_full_quota_ends_a_fetch_with_one_error(loop: Loop, tmp_path) -> None:
    async with loop.person("alice") as alice, loop.person("bob", quota_bytes=MIB) as bob:
        ref = await seal(alice, make_tree(tmp_path / "in", {"big": noise(8 * MIB)}))
        assert await code_of(fetch(bob, ref, alice)) == "store_full"
        assert await code_of(seal(bob, tmp_path / "in")) == "store_full"
        await bob.shelf.release(JOB)
        small = await seal(alice, make_tree(tmp_path / "small", {"a": noise(100_000)}), owner="job/2")
        await fetch(bob, small, alice, owner="job/2")
        assert await bob.shelf.has_all(small)


async def test_a_reference_that_says_too_little_is_refused(loop: Loop, tmp_path) -> None:  # CON-9, CON-12
    async with loop.person("alice") as alice, loop.person("bob") as bob:
        ref = await seal(alice, make_tree(tmp_path / "in", TREE))
        fewer = ref.model_copy(update={"blocks": ref.blocks - 1})
        assert await code_of(fetch(bob, fewer, alice)) == "bundle_mismatch"
        for field, value in (("files", ref.files + 1), ("size_bytes", ref.size_bytes - 1)):
            other = ref.model_copy(update={field: value})
            opening = alice.shelf.open_tree(other, tmp_path / "out", key=KEY, progress=no_progress)
            assert await code_of(opening) == "bundle_mismatch"


async def test_an_unknown_peer_as_holder_is_not_reached(loop: Loop, tmp_path) -> None:
    async with loop.person("alice") as alice, loop.person("bob") as bob:
        ref = await seal(alice, make_tree(tmp_path / "in", {"a": b"1"}))
        stranger = [Holder(PeerId("12D3KooWStranger"))]
        assert await code_of(bob.shelf.fetch(ref, stranger, owner=JOB, progress=no_progress)) == "no_holder"


async def test_a_file_that_shrinks_while_it_is_sealed_is_told(loop: Loop, tmp_path, monkeypatch) -> None:
    from skyops_p2p.node.content import sealing

    root = make_tree(tmp_path / "in", {"a": noise(2 * MIB)})
    real = sealing.seal_batch

    def cut(batch, keys):
        os.truncate(root / "a", 1000)
        return real(batch, keys)

    monkeypatch.setattr(sealing, "seal_batch", cut)
    async with loop.person("alice") as alice:
        with pytest.raises(ExecutionError) as caught:
            await seal(alice, root)
        assert caught.value.code == "output_changed"


async def test_our_own_mistakes_are_told(loop: Loop, tmp_path) -> None:
    root = make_tree(tmp_path / "in", {"a": b"1"})
    async with loop.person("alice") as alice:
        assert await code_of(seal(alice, root, owner="")) == "local_protocol"
        assert await code_of(seal(alice, root, owner="o" * 257)) == "local_protocol"
        assert await code_of(seal(alice, root, key=b"short")) == "local_protocol"


async def test_requests_are_bounded_and_typed(loop: Loop) -> None:
    async with loop.person("alice") as alice:
        with pytest.raises(RemoteProtocolError) as caught:
            await alice.shelf._answer(PeerId("bob"), bytes.fromhex("81000a"))
        assert caught.value.code == "wrong_type"
        codes = []
        while (
            codes[-1:] != ["flood"] and len(codes) < 100 * limits.REQUEST_BURST
        ):  # a slow machine is let in more often
            with pytest.raises(RemoteProtocolError) as caught:
                await alice.shelf._answer(PeerId("mallory"), bytes.fromhex("81000a"))
            codes.append(caught.value.code)
        assert len(codes) > limits.REQUEST_BURST
        assert set(codes) == {"wrong_type", "flood"}
