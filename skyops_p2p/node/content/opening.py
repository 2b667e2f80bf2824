"""A bundle becomes a tree again: its blocks are read, opened and written in batches, a few at a time."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.core.content.bundle import BundleEntries, BundleFile, BundleTree, decode_manifest, read_root
from skyops_p2p.crypto.chunks import ChunkKeys, Place, Purpose, chunk_size, open_chunk
from skyops_p2p.errors import RemoteProtocolError, StoreError
from skyops_p2p.node.content.crew import run_crew
from skyops_p2p.node.content.plain_files import make_files, write_pieces
from skyops_p2p.ports.content import BlockStore
from skyops_p2p.wire.cid import RAW, Cid, decode_cid
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.unixfs import decode_file

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SealedPiece:
    """One chunk to be opened."""

    file: BundleFile
    place: Place
    cid: Cid

    @property
    def offset(self) -> int:
        """Where its plaintext begins."""
        return self.place.index * limits.CONTENT_CHUNK_BYTES


async def read_tree(store: BlockStore, ref: BundleRef, keys: ChunkKeys) -> BundleTree:
    """Open a bundle's list of files.

    Raises:
        StoreError: `content_missing`: not all of it is here.
        RemoteProtocolError: `malformed`, `bad_path`, `bundle_mismatch`, or `bad_ciphertext` (another job's key).
    """
    root = decode_cid(ref.root)
    entries = read_root(await read_node(store, root))
    return decode_manifest(await _read_manifest(store, entries, keys), entries, ref)


async def open_tree(
    store: BlockStore, ref: BundleRef, keys: ChunkKeys, *, into: Path, progress: Progress
) -> int:
    """Open a bundle into a directory; return the bytes written.

    Raises:
        StoreError: `content_missing`, and the others of the store.
        RemoteProtocolError: As `read_tree`.
        ExecutionError: `workspace_full`, `workspace_failed`, `output_exists`.
    """
    tree = await read_tree(store, ref, keys)
    plan = [(file.path, file.size_bytes, file.is_executable) for file in tree.files]
    await trio.to_thread.run_sync(make_files, into, plan, tree.directories)
    opener = _Opener(store, keys, ref.size_bytes, progress)

    def write(pieces: Sequence[SealedPiece], plaintexts: Sequence[bytes]) -> None:
        for start, end in _runs(pieces):
            parts = [(pieces[at].offset, plaintexts[at]) for at in range(start, end)]
            write_pieces(into / pieces[start].file.path, parts)

    await opener.run(tree.files, Purpose.FILE, write)
    return ref.size_bytes


async def check_tree(store: BlockStore, ref: BundleRef, keys: ChunkKeys) -> None:
    """Open all of a bundle and keep nothing: whether it is what its reference says, and opens under the key.

    Raises:
        StoreError: `content_missing`, and the others of the store.
        RemoteProtocolError: As `read_tree`.
    """
    tree = await read_tree(store, ref, keys)
    await _Opener(store, keys, ref.size_bytes, _show_nothing).run(tree.files, Purpose.FILE, _keep_nothing)


async def read_bytes(store: BlockStore, ref: BundleRef, keys: ChunkKeys, *, bytes_max: int) -> bytes:
    """Return the content of a bundle of one small file.

    Raises:
        StoreError: `content_missing`.
        RemoteProtocolError: As `read_tree`; `oversized` past `bytes_max`, `malformed` if there is not one file.
    """
    if ref.size_bytes > bytes_max:
        raise RemoteProtocolError(f"more than {bytes_max} bytes", code="oversized", rule="CON-9")
    tree = await read_tree(store, ref, keys)
    if len(tree.files) != 1:
        raise RemoteProtocolError("not a bundle of one file", code="malformed", rule="CON-9")
    return await _gather(store, tree.files[0], Purpose.FILE, keys)


async def read_node(store: BlockStore, cid: Cid) -> bytes:
    """Return one block that must be here.

    Raises:
        StoreError: `content_missing`.
    """
    (block,) = await store.get([cid])
    if block is None:
        raise missing(cid)
    return block


async def leaves_of(store: BlockStore, root: Cid) -> AsyncIterator[Cid]:
    """Yield the leaves of a ciphertext file in order, reading its nodes as they are needed.

    Raises:
        StoreError: `content_missing`.
        RemoteProtocolError: `malformed`: no UnixFS file of raw leaves, or deeper than CONTENT_DEPTH_MAX.
    """
    pending: list[Iterator[Cid]] = [iter([root])]
    while pending:
        cid = next(pending[-1], None)
        if cid is None:
            pending.pop()
        elif cid.codec == RAW:
            yield cid
        else:
            node = decode_file(cid, await read_node(store, cid))
            if node.data or len(pending) > limits.CONTENT_DEPTH_MAX:
                raise RemoteProtocolError("not a file of sealed chunks", code="malformed", rule="CON-6")
            pending.append(iter([child.cid for child in node.children]))


def missing(cid: Cid) -> StoreError:
    """Return the error for a block that should be here."""
    return StoreError(
        f"block {cid} is not on this machine",
        code="content_missing",
        hint="Fetch the bundle again from somebody who holds it.",
    )


async def _read_manifest(store: BlockStore, entries: BundleEntries, keys: ChunkKeys) -> bytes:
    cid = entries.manifest.cid
    sealed = decode_file(cid, await read_node(store, cid)).size_bytes
    overhead = limits.CONTENT_CHUNK_BYTES + 40
    size = sealed - 40 * -(-sealed // overhead)
    if not 0 <= size <= limits.CONTENT_MANIFEST_BYTES_MAX:
        raise RemoteProtocolError("not the size of a list of files", code="malformed", rule="CON-7")
    return await _gather(store, BundleFile("", size, False, cid), Purpose.MANIFEST, keys)


async def _gather(store: BlockStore, file: BundleFile, purpose: Purpose, keys: ChunkKeys) -> bytes:
    """Open a whole file in memory."""
    parts: dict[int, bytes] = {}

    def keep(pieces: Sequence[SealedPiece], plaintexts: Sequence[bytes]) -> None:
        parts.update(
            (piece.place.index, plaintext) for piece, plaintext in zip(pieces, plaintexts, strict=True)
        )

    await _Opener(store, keys, file.size_bytes, _show_nothing).run([file], purpose, keep)
    return b"".join(parts[index] for index in sorted(parts))


def _show_nothing(_done: int, _total: int) -> None:
    """Take progress that nobody watches."""


def _keep_nothing(_pieces: Sequence[SealedPiece], _plaintexts: Sequence[bytes]) -> None:
    """Let what was opened go."""


def _runs(pieces: Sequence[SealedPiece]) -> Iterator[tuple[int, int]]:
    start = 0
    for end in range(1, len(pieces) + 1):
        if end == len(pieces) or pieces[end].file is not pieces[start].file:
            yield start, end
            start = end


Use = Callable[[Sequence[SealedPiece], Sequence[bytes]], None]
"""Takes opened pieces, in a thread."""


class _Opener:
    def __init__(self, store: BlockStore, keys: ChunkKeys, total: int, progress: Progress) -> None:
        self._store = store
        self._keys = keys
        self._done, self._total = 0, total
        self._progress = progress

    async def run(self, files: Sequence[BundleFile], purpose: Purpose, use: Use) -> None:
        """Open all pieces of the files, a few batches at a time."""
        send, receive = trio.open_memory_channel[list[SealedPiece]](0)
        worker = partial(self._work, receive, use)
        await run_crew(
            [partial(self._list, files, purpose, send), *[worker] * limits.CONTENT_BATCHES_IN_FLIGHT]
        )

    async def _list(
        self, files: Sequence[BundleFile], purpose: Purpose, send: trio.MemorySendChannel[list[SealedPiece]]
    ) -> None:
        async with send:
            await self._list_all(files, purpose, send)

    async def _list_all(
        self, files: Sequence[BundleFile], purpose: Purpose, send: trio.MemorySendChannel[list[SealedPiece]]
    ) -> None:
        batch: list[SealedPiece] = []
        size = 0
        for file in files:
            index = 0
            async for cid in leaves_of(self._store, file.root):
                if index >= file.chunks:
                    raise _wrong_length()
                batch.append(SealedPiece(file, Place(purpose, index, file.chunks), cid))
                size += chunk_size(file.size_bytes, index)
                index += 1
                if size >= limits.CONTENT_BATCH_BYTES or len(batch) == limits.CONTENT_BATCH_BLOCKS_MAX:
                    await send.send(batch)
                    batch, size = [], 0
            if index != file.chunks:  # CON-9
                raise _wrong_length()
        if batch:
            await send.send(batch)

    async def _work(self, receive: trio.MemoryReceiveChannel[list[SealedPiece]], use: Use) -> None:
        async for batch in receive:
            # Opening finds damage by itself: no need to hash what a tag covers.
            blocks = await self._store.get([piece.cid for piece in batch], is_checked=False)
            try:
                await trio.to_thread.run_sync(self._open, batch, blocks, use)
            except RemoteProtocolError as error:
                await self._explain(batch, blocks, error)
            self._done += sum(chunk_size(piece.file.size_bytes, piece.place.index) for piece in batch)
            self._progress(self._done, self._total)

    def _open(self, batch: Sequence[SealedPiece], blocks: Sequence[bytes | None], use: Use) -> None:
        plaintexts: list[bytes] = []
        for piece, block in zip(batch, blocks, strict=True):
            if block is None:
                raise missing(piece.cid)
            plaintext = open_chunk(self._keys, block, piece.place)
            if len(plaintext) != chunk_size(piece.file.size_bytes, piece.place.index):
                raise _wrong_length()
            plaintexts.append(plaintext)
        use(batch, plaintexts)

    async def _explain(
        self, batch: Sequence[SealedPiece], blocks: Sequence[bytes | None], error: RemoteProtocolError
    ) -> None:
        """Tell a block that this disk damaged from one that was made wrong: the first can be fetched again."""
        pairs = zip(batch, blocks, strict=True)
        damaged = [piece.cid for piece, block in pairs if block is not None and not piece.cid.names(block)]
        if damaged:
            await self._store.discard(damaged)
            raise missing(damaged[0]) from error
        raise error


def _wrong_length() -> RemoteProtocolError:
    return RemoteProtocolError("a file is not as long as its list says", code="bundle_mismatch", rule="CON-9")
