"""The node's content: trees are sealed into bundles, fetched from holders, opened, and kept, for itself and for others.

    ref = await shelf.seal_tree(Path("dataset"), key=key, owner="job/00ff", bytes_max=1 << 30, progress=show)
    await other.fetch(ref, [Holder(peer)], owner="run/00ff", progress=show)
    await other.open_tree(ref, Path("/work"), key=key, progress=show)

Plaintext and keys are seen only where a call gives them; the store holds ciphertext. Blocks are hashed, sealed, opened
and written in threads, in batches, so memory does not grow with the size of a tree. Spec: protocol/05b-content.md.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.core.content.bundle import BundleTree
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.crypto.chunks import chunk_keys
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import LocalProtocolError, NetworkError, RemoteProtocolError, StoreError
from skyops_p2p.node.content import opening, sealing
from skyops_p2p.node.content.copies import CopyKeeper
from skyops_p2p.node.content.fetching import Fetching
from skyops_p2p.node.content.links import Holder
from skyops_p2p.node.content.plain_files import PlainTree, TreePart, look_at, plain_bytes
from skyops_p2p.node.content.serving import BlockService
from skyops_p2p.node.content.ways import Ways
from skyops_p2p.ports import WallClock
from skyops_p2p.ports.content import BlockStatistics, BlockStore
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.cid import DAG_PB, decode_cid
from skyops_p2p.wire.dag_pb import links_of
from skyops_p2p.wire.messages import content as msg
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.model import decode_fields, decode_message, encode_message

__all__ = [
    "ContentShelf",
    "CopyFound",
    "Holder",
    "ShelfSettings",
    "ShelfStatistics",
    "TreePart",
    "no_progress",
]

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""(done, total) in bytes of plaintext. Quick, never raises."""

EXPIRY_LOOK_S = 60.0


def no_progress(_done: int, _total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True)
class ShelfSettings:
    """The [content] section, as the shelf needs it."""

    replica_bytes: int = limits.CONTENT_REPLICA_MIB << 20
    serve_bytes_per_s: int = limits.CONTENT_SERVE_BYTES_PER_S


@dataclass(frozen=True, slots=True)
class ShelfStatistics:
    """What the shelf holds and has moved."""

    store: BlockStatistics
    bytes_served: int
    blocks_fetched: int
    copies_refused: int


@dataclass(frozen=True, slots=True)
class CopyFound:
    """A copy that some keeper has."""

    keeper: PeerId
    owner: PeerId
    """Who had it kept."""
    bundle: BundleRef
    note: bytes


class ContentShelf:
    """All content of one node.

    Args:
        store: Its blocks.
        ways: How holders are reached, and how others reach us.
        wall_clock: For when copies lapse.
        settings: Quotas.
    """

    def __init__(
        self,
        store: BlockStore,
        ways: Ways,
        *,
        wall_clock: WallClock,
        settings: ShelfSettings = ShelfSettings(),
    ) -> None:
        self._store = store
        self._ways = ways
        self._wall_clock = wall_clock
        self._service = BlockService(store, bytes_per_s=settings.serve_bytes_per_s)
        self._keeper = CopyKeeper(
            store, self._fetch_copy, wall_clock=wall_clock, bytes_per_peer=settings.replica_bytes
        )
        self._rates = PeerRates(
            burst=limits.REQUEST_BURST, per_s=limits.REQUESTS_PER_S, peers_max=limits.ADDRESS_BOOK_PEERS_MAX
        )
        self._nursery: trio.Nursery | None = None
        self._blocks_fetched = 0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve blocks and keep copies until cancelled.

        Raises:
            NetworkError: `port_taken` or `listen_failed`, of the data channels' port.
        """
        async with self._ways.serving(self._service, self._answer), trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                await self._let_lapse()
                await trio.sleep(EXPIRY_LOOK_S)

    # --- trees and bundles --------------------------------------------------------------------------------------
    async def seal_tree(
        self, root: Path, *, key: bytes, owner: str, bytes_max: int, progress: Progress
    ) -> BundleRef:
        """Seal a directory, or one file, into a bundle, and keep its blocks.

        Args:
            root: The directory, whose content has its paths in the bundle; or a file, which has its name.
            key: The job's content key, 32 bytes.
            owner: Keeps the blocks; let go with `release`.
            bytes_max: The most that all files may have.
            progress: Told as it goes.

        Raises:
            ExecutionError: `output_unsafe` (links, devices, pipes), `output_too_large`, `output_too_many`,
                `output_changed`, `output_missing`.
            LocalProtocolError: `bad_path`: a name that no bundle may have.
            StoreError: `store_full` and the others of the store.
        """
        is_file = await trio.to_thread.run_sync(root.is_file)
        part = TreePart(root.parent, root.name, root.name) if is_file else TreePart(root, "", "")
        return await self.seal_parts([part], key=key, owner=owner, bytes_max=bytes_max, progress=progress)

    async def seal_parts(
        self, parts: Sequence[TreePart], *, key: bytes, owner: str, bytes_max: int, progress: Progress
    ) -> BundleRef:
        """Seal several files and directories into one bundle; as `seal_tree`."""
        tree = await trio.to_thread.run_sync(lambda: look_at(parts, bytes_max=bytes_max))
        return await self._seal(tree, key, owner, progress)

    async def seal_bytes(self, name: str, data: bytes, *, key: bytes, owner: str) -> BundleRef:
        """Seal bytes in memory as a bundle of one file; as `seal_tree`."""
        return await self._seal(plain_bytes(name, data), key, owner, no_progress)

    async def open_tree(self, ref: BundleRef, into: Path, *, key: bytes, progress: Progress) -> int:
        """Open a bundle whose blocks are all here into a directory; return the bytes written.

        Args:
            ref: Which.
            into: Made if it is missing; the files must not be there yet.
            key: The job's content key.
            progress: Told as it goes.

        Raises:
            StoreError: `content_missing` (fetch it first, or again: a block was damaged), and those of the store.
            RemoteProtocolError: `bad_ciphertext` (another job's, or changed by who had the key), `bundle_mismatch`,
                `bad_path`, `malformed`.
            ExecutionError: `workspace_full`, `workspace_failed`, `output_exists`.
        """
        return await opening.open_tree(self._store, ref, chunk_keys(key), into=into, progress=progress)

    async def open_bytes(self, ref: BundleRef, *, key: bytes, bytes_max: int) -> bytes:
        """Return the content of a bundle of one file of at most `bytes_max` bytes; as `open_tree`."""
        return await opening.read_bytes(self._store, ref, chunk_keys(key), bytes_max=bytes_max)

    async def check_tree(self, ref: BundleRef, *, key: bytes) -> None:
        """Open all of a bundle without writing anything; as `open_tree`."""
        await opening.check_tree(self._store, ref, chunk_keys(key))

    async def list_tree(self, ref: BundleRef, *, key: bytes) -> tuple[tuple[str, int], ...]:
        """Return (path, bytes) of the files of a bundle, without opening them; as `open_tree`."""
        tree = await self.read_tree(ref, key=key)
        return tuple((file.path, file.size_bytes) for file in tree.files)

    async def read_tree(self, ref: BundleRef, *, key: bytes) -> BundleTree:
        """Return a bundle's list of files, without opening them; equal files of one job have equal roots."""
        return await opening.read_tree(self._store, ref, chunk_keys(key))

    # --- getting and letting go ---------------------------------------------------------------------------------
    async def fetch(
        self, ref: BundleRef, holders: Sequence[Holder], *, owner: str, progress: Progress
    ) -> None:
        """Get all blocks of a bundle from several holders at once; those that are here are not asked for.

        What came before a failure, a cancellation or a crash is kept, so the next call goes on from there.

        Raises:
            NetworkError: `no_holder` or `content_missing`.
            RemoteProtocolError: `bundle_mismatch`.
            StoreError: `store_full` and the others of the store.
        """
        fetching = Fetching(self._store, ref, self._ways.openers(), owner=_checked(owner), progress=progress)
        try:
            await fetching.run(holders)
        finally:
            self._blocks_fetched += fetching.blocks_received

    async def release(self, owner: str) -> None:
        """Let go of what an owner has; it stays until room is needed. An unknown owner is ignored."""
        await self._store.unpin(owner)

    async def keep_until(self, owner: str, until: UnixMs | None) -> None:
        """Let an owner lapse by itself at an instant; None for never."""
        await self._store.keep_until(_checked(owner), until)

    async def has_all(self, ref: BundleRef) -> bool:
        """Return whether all blocks of a bundle are here; nodes are read, the rest is looked up."""
        pending = [decode_cid(ref.root)]
        seen = 0
        while pending:
            batch, pending = (
                pending[-limits.CONTENT_BATCH_BLOCKS_MAX :],
                pending[: -limits.CONTENT_BATCH_BLOCKS_MAX],
            )
            seen += len(batch)
            here = await self._store.present(batch)
            if len(here) != len(set(batch)) or seen > ref.blocks:
                return False
            nodes = [cid for cid in dict.fromkeys(batch) if cid.codec == DAG_PB]
            for cid, block in zip(nodes, await self._store.get(nodes), strict=True):
                if block is None:
                    return False
                pending += [link.cid for link in links_of(cid, block)]
        return True

    async def sync(self) -> None:
        """Return when all that was sealed and fetched would survive a power cut; before a promise about it."""
        await self._store.sync()

    def statistics(self) -> ShelfStatistics:
        """Return a snapshot."""
        return ShelfStatistics(
            self._store.statistics(),
            self._service.bytes_served,
            self._blocks_fetched,
            self._keeper.refused.total(),
        )

    # --- copies -------------------------------------------------------------------------------------------------
    async def offer_replica(
        self,
        ref: BundleRef,
        label: str,
        to_peer: PeerId,
        *,
        note: bytes = b"",
        keep_s: float = limits.CONTENT_REPLICA_S_MAX,
        timeout_s: float = limits.RUN_FETCH_TIMEOUT_S,
    ) -> UnixMs:
        """Have a peer keep a copy; return until when it will, once the copy is whole.

        Args:
            ref: A bundle that is here.
            label: What it is called there; a newer bundle of the same label takes its place.
            to_peer: Who should keep it; it fetches from us.
            note: Given to whoever asks for the copy by its label.
            keep_s: How long, at most CONTENT_REPLICA_S_MAX.
            timeout_s: How long to wait until it is whole.

        Raises:
            NetworkError: It cannot be reached, it could not fetch all (`copy_failed`), or not in time (`timeout`).
            RemoteProtocolError: It refuses: `copy_refused`, `busy`, or another code.
        """
        until = UnixMs(self._wall_clock.now_ms() + round(1000 * keep_s))
        request = msg.KeepRequest(bundle=ref, label=label, note=note, until_unix_ms=until)
        pause_s = limits.CONTENT_REPLICA_POLL_S
        with trio.move_on_after(timeout_s):
            while True:
                reply = await self._ways.ask(Holder(to_peer), request, msg.KeepReply)
                if reply.state == "kept":
                    return UnixMs(reply.until_unix_ms)
                if reply.state == "failed":
                    raise NetworkError(f"{to_peer} could not copy the bundle", code="copy_failed")
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, 30 * limits.CONTENT_REPLICA_POLL_S)
        raise NetworkError(f"{to_peer} has not copied the bundle within {timeout_s:g} s", code="timeout")

    async def find_copies(self, label: str, keeper: Holder) -> tuple[CopyFound, ...]:
        """Ask a peer which copies it keeps under a label; what it says of them is not checked.

        Raises:
            NetworkError: It cannot be reached.
            RemoteProtocolError: Its answer is no answer.
        """
        reply = await self._ways.ask(keeper, msg.CopiesRequest(label=label), msg.CopiesReply)
        return tuple(
            CopyFound(keeper.peer, peer_id_from_bytes(part.owner), part.bundle, part.note)
            for part in reply.copies
        )

    async def drop_replica(self, label: str, keeper: Holder) -> None:
        """Tell a peer that what it keeps for us under a label is no longer needed; as `find_copies`."""
        await self._ways.ask(keeper, msg.ForgetRequest(label=label), msg.KeepReply)

    # --- parts --------------------------------------------------------------------------------------------------
    async def _seal(self, tree: PlainTree, key: bytes, owner: str, progress: Progress) -> BundleRef:
        keys = chunk_keys(key)
        return await sealing.seal_tree(self._store, tree, keys, owner=_checked(owner), progress=progress)

    async def _let_lapse(self) -> None:
        try:
            lapsed = await self._store.expire(self._wall_clock.now_ms())
        except StoreError as error:
            log.warning("owners_not_looked_at code=%s", error.code)  # the next look finds them
            return
        for owner in lapsed:
            log.info("owner_lapsed owner=%s", owner)

    async def _fetch_copy(self, ref: BundleRef, peer: PeerId, owner: str) -> None:
        await self.fetch(ref, [Holder(peer)], owner=owner, progress=no_progress)
        await self._store.sync()

    async def _answer(self, peer: PeerId, request: bytes) -> bytes:
        """Answer one request of the content protocol.

        Rules: CON-15, CON-18.
        """
        if not self._rates.take(peer, MonotonicS(trio.current_time())):
            raise RemoteProtocolError("too many requests", code="flood", rule="CON-15", peer=peer)
        match decode_fields(request)[0]:
            case msg.ChannelRequest.number:
                decode_message(msg.ChannelRequest, request)
                return encode_message(self._ways.offer(peer))
            case msg.KeepRequest.number:
                if self._nursery is None:
                    raise RemoteProtocolError("not running", code="busy", rule="CON-18", peer=peer)
                wanted = decode_message(msg.KeepRequest, request)
                return encode_message(await self._keeper.keep(peer, wanted, self._nursery))
            case msg.CopiesRequest.number:
                return encode_message(
                    await self._keeper.told(decode_message(msg.CopiesRequest, request).label)
                )
            case msg.ForgetRequest.number:
                label = decode_message(msg.ForgetRequest, request).label
                return encode_message(await self._keeper.forget(peer, label))
            case _:
                raise RemoteProtocolError("no such request", code="wrong_type", rule="CON-15", peer=peer)


def _checked(owner: str) -> str:
    if not 0 < len(owner) <= limits.CONTENT_OWNER_CHARS_MAX:
        raise LocalProtocolError(f"an owner of {len(owner)} characters")
    return owner
