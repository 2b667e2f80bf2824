"""Plain files become UnixFS blocks that everybody may read, as `ipfs add --cid-version=1 -r` makes them.

Only on the user's word: what is published is not encrypted. Blocks go into the store in batches, so memory does not
grow with the tree.
"""

from collections.abc import Iterator
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.node.content.plain_files import PlainFile, PlainTree, TreePart, look_at, read_exactly
from skyops_p2p.ports.content import Block, BlockStore
from skyops_p2p.wire.cid import RAW, Cid, cid_of
from skyops_p2p.wire.unixfs import Branch, TreeBuilder, encode_directory, raw_leaf

PIECE_BYTES = 256 * 1024
"""IPFS's own size of a leaf."""


async def publish_tree(store: BlockStore, root: Path, *, owner: str, bytes_max: int) -> Cid:
    """Store a directory as plain UnixFS; return its CID.

    Args:
        store: Whence an IpfsExchange serves it.
        root: The directory.
        owner: Pins the blocks.
        bytes_max: The most that all files may have.

    Raises:
        ExecutionError: `output_unsafe`, `output_too_large`, `output_too_many`, `output_changed`.
        StoreError: See BlockStore.
    """
    tree = await trio.to_thread.run_sync(lambda: look_at([TreePart(root, "", "")], bytes_max=bytes_max))
    files = {file.path: await _publish_file(store, file, owner) for file in tree.files}
    return await _publish_directories(store, tree, files, owner)


async def _publish_file(store: BlockStore, file: PlainFile, owner: str) -> Branch:
    builder = TreeBuilder()
    for offset in range(0, max(1, file.size_bytes), limits.CONTENT_BATCH_BYTES):
        leaves = await trio.to_thread.run_sync(_leaves, file, offset)
        nodes = [node for cid, leaf in leaves for node in builder.add(raw_leaf(cid, len(leaf)))]
        await store.put([*leaves, *nodes], owner=owner)
    branch, rest = builder.finish()
    if rest:
        await store.put(rest, owner=owner)
    return branch


def _leaves(file: PlainFile, offset: int) -> list[Block]:
    """Read one batch of leaves; an empty file has one empty leaf."""
    end = min(file.size_bytes, offset + limits.CONTENT_BATCH_BYTES)
    with file.open() as opened:
        pieces = [
            read_exactly(opened, at, min(PIECE_BYTES, end - at), file.path)
            for at in range(offset, max(end, offset + 1), PIECE_BYTES)
        ]
    return [(cid_of(RAW, piece), piece) for piece in pieces]


async def _publish_directories(
    store: BlockStore, tree: PlainTree, files: dict[str, Branch], owner: str
) -> Cid:
    """Make the directories from the deepest up."""
    below: dict[str, dict[str, Branch]] = {path: {} for path in _directories(tree)}
    for path, branch in files.items():
        parent, _, name = path.rpartition("/")
        below[parent][name] = branch
    for path in sorted(below, key=lambda path: (-path.count("/"), path == "")):
        branch, block = encode_directory(below[path].items())
        await store.put([(branch.cid, block)], owner=owner)
        if not path:
            return branch.cid
        parent, _, name = path.rpartition("/")
        below[parent][name] = branch
    raise AssertionError("every tree has a root")


def _directories(tree: PlainTree) -> Iterator[str]:
    """Yield all directories, the root as the empty text."""
    yield ""
    for path in (*tree.directories, *(f"{file.path.rpartition('/')[0]}" for file in tree.files)):
        parts = path.split("/") if path else []
        yield from ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
