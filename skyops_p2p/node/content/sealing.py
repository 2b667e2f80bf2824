"""A tree becomes a bundle: read, sealed and stored in batches, a few at a time; memory does not grow with it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from skyops_p2p import limits
from skyops_p2p.core.content.bundle import MANIFEST_NAME, BundleFile, BundleTree, encode_manifest, entry_name
from skyops_p2p.crypto.chunks import ChunkKeys, Place, Purpose, chunk_count, chunk_size, seal_chunk
from skyops_p2p.node.content.crew import run_crew
from skyops_p2p.node.content.plain_files import PlainFile, PlainTree, plain_bytes, read_exactly
from skyops_p2p.ports.content import Block, BlockStore
from skyops_p2p.wire.cid import RAW, cid_of
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.unixfs import Branch, TreeBuilder, encode_directory, raw_leaf

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk to be sealed."""

    file: PlainFile
    place: Place

    @property
    def size_bytes(self) -> int:
        """Of its plaintext."""
        return chunk_size(self.file.size_bytes, self.place.index)


async def seal_tree(
    store: BlockStore, tree: PlainTree, keys: ChunkKeys, *, owner: str, progress: Progress
) -> BundleRef:
    """Seal a tree and store its blocks.

    Args:
        store: Where the blocks go.
        tree: What to seal.
        keys: The job's.
        owner: Pins the blocks.
        progress: Told (bytes sealed, bytes of all).

    Raises:
        ExecutionError: `output_changed` or `output_unsafe`.
        LocalProtocolError: `bad_path`: a name that no bundle may have.
        StoreError: `store_full` and the others of the store.
    """
    sealer = _Sealer(store, keys, owner)
    branches = await sealer.seal(tree.files, Purpose.FILE, lambda done: progress(done, tree.size_bytes))
    files = [
        BundleFile(file.path, file.size_bytes, file.is_executable, branch.cid)
        for file, branch in zip(tree.files, branches, strict=True)
    ]
    manifest = encode_manifest(BundleTree(tuple(files), tree.directories))
    (listed,) = await sealer.seal(plain_bytes("", manifest).files, Purpose.MANIFEST, lambda _: None)
    entries = [(entry_name(index), branch) for index, branch in enumerate(branches)]
    root, block = encode_directory([*entries, (MANIFEST_NAME, listed)])
    await store.put([(root.cid, block)], owner=owner)
    progress(tree.size_bytes, tree.size_bytes)
    return BundleRef(
        root=bytes(root.cid), size_bytes=tree.size_bytes, files=len(files), blocks=sealer.blocks + 1
    )


def batches_of(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Cut pieces into batches of at most CONTENT_BATCH_BYTES and CONTENT_BATCH_BLOCKS_MAX."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        is_full = size + piece.size_bytes > limits.CONTENT_BATCH_BYTES
        if batch and (is_full or len(batch) == limits.CONTENT_BATCH_BLOCKS_MAX):
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += piece.size_bytes
    if batch:
        yield batch


def pieces_of(files: Sequence[PlainFile], purpose: Purpose) -> Iterator[Piece]:
    """List the chunks of all files in order."""
    for file in files:
        total = chunk_count(file.size_bytes)
        for index in range(total):
            yield Piece(file, Place(purpose, index, total))


def seal_batch(batch: Sequence[Piece], keys: ChunkKeys) -> list[Block]:
    """Read and seal pieces; blocks, and most of it without Python's lock.

    Raises:
        ExecutionError: `output_changed` or `output_unsafe`.
    """
    blocks: list[Block] = []
    for start, end in _runs(batch):
        with batch[start].file.open() as file:
            for piece in batch[start:end]:
                offset = piece.place.index * limits.CONTENT_CHUNK_BYTES
                plaintext = read_exactly(file, offset, piece.size_bytes, piece.file.path)
                block = seal_chunk(keys, plaintext, piece.place)
                blocks.append((cid_of(RAW, block), block))
    return blocks


def _runs(batch: Sequence[Piece]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the pieces of each file in a batch."""
    start = 0
    for end in range(1, len(batch) + 1):
        if end == len(batch) or batch[end].file is not batch[start].file:
            yield start, end
            start = end


@dataclass(slots=True)
class _Sealer:
    store: BlockStore
    keys: ChunkKeys
    owner: str
    blocks: int = 0
    """Made so far; equal ones count each time."""

    async def seal(
        self, files: Sequence[PlainFile], purpose: Purpose, progress: Callable[[int], None]
    ) -> list[Branch]:
        """Seal files and return the root of each."""
        trees = _Trees()
        numbered = enumerate(batches_of(pieces_of(files, purpose)))
        worker = partial(self._work, numbered, trees, progress)
        await run_crew([worker] * limits.CONTENT_BATCHES_IN_FLIGHT)
        return trees.roots

    async def _work(
        self, numbered: Iterator[tuple[int, list[Piece]]], trees: "_Trees", progress: Callable[[int], None]
    ) -> None:
        for number, batch in numbered:  # shared by all workers: each takes the next
            blocks = await trio.to_thread.run_sync(seal_batch, batch, self.keys)
            await self.store.put(blocks, owner=self.owner)
            nodes = trees.take(number, batch, blocks)
            for start in range(0, len(nodes), limits.CONTENT_BATCH_BLOCKS_MAX):
                await self.store.put(nodes[start : start + limits.CONTENT_BATCH_BLOCKS_MAX], owner=self.owner)
            self.blocks += len(blocks) + len(nodes)
            progress(trees.bytes_done)


@dataclass(slots=True)
class _Trees:
    """Grows the trees of all files; takes batches in any order, and uses them in theirs."""

    roots: list[Branch] = field(default_factory=list)
    bytes_done: int = 0
    """Of plaintext."""
    _next: int = 0
    _early: dict[int, tuple[list[Piece], list[Branch]]] = field(default_factory=dict)
    """Batches that overtook others, by number; at most CONTENT_BATCHES_IN_FLIGHT."""
    _builder: TreeBuilder = field(default_factory=TreeBuilder)

    def take(self, number: int, batch: list[Piece], blocks: list[Block]) -> list[Block]:
        """Take a batch; return the nodes that it finishes."""
        self._early[number] = batch, [raw_leaf(cid, len(block)) for cid, block in blocks]
        made: list[Block] = []
        while self._next in self._early:
            pieces, leaves = self._early.pop(self._next)
            self._next += 1
            for piece, leaf in zip(pieces, leaves, strict=True):
                made += self._builder.add(leaf)
                self.bytes_done += piece.size_bytes
                if piece.place.index == piece.place.total - 1:
                    root, rest = self._builder.finish()
                    made += rest
                    self.roots.append(root)
                    self._builder = TreeBuilder()
        return made
