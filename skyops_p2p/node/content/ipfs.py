"""Blocks from and for IPFS nodes: `ipfs://CID` inputs are fetched by Bitswap, and public outputs are served by it.

A Bitswap node answers on a new stream of its own, so the client serves streams too and matches what comes with what it
asked for. Blocks are checked by their CID like all others. What is published is plain, for everybody: it is a wish of
the user, never a default. Spec: protocol/05b-content.md, "IPFS". Source: specs.ipfs.tech, "Bitswap Protocol".
"""

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.errors import NetworkError, RemoteProtocolError
from skyops_p2p.node.content.crew import run_crew
from skyops_p2p.node.content.links import Holder
from skyops_p2p.node.content.plain_files import make_files, write_pieces
from skyops_p2p.ports import FrameStream, Network, PeerAddrs
from skyops_p2p.ports.content import Block, BlockStore
from skyops_p2p.types import PeerId
from skyops_p2p.wire.bitswap import PROTOCOL, BitswapMessage, batches_of, decode_bitswap, encode_bitswap
from skyops_p2p.wire.cid import DAG_PB, Cid
from skyops_p2p.wire.dag_pb import links_of
from skyops_p2p.wire.unixfs import decode_directory, decode_file, is_directory

log = logging.getLogger(__name__)


class IpfsExchange:
    """Asks IPFS nodes for blocks, and answers them.

    Args:
        network: Streams; IPFS nodes speak the same transports.
        store: Where blocks go, and are served from.
    """

    def __init__(self, network: Network, store: BlockStore) -> None:
        self._network = network
        self._store = store
        self._wanted: dict[Cid, trio.Event] = {}
        self._arrived: dict[Cid, bytes] = {}
        self._absent: dict[Cid, set[PeerId]] = {}
        network.serve_streams(PROTOCOL, self._serve)

    async def fetch(self, root: Cid, peers: Sequence[Holder], *, owner: str, bytes_max: int) -> None:
        """Get a whole graph into the store; what is here is not asked for.

        Args:
            root: Of a UnixFS file or directory.
            peers: IPFS nodes that should have it.
            owner: Pins the blocks.
            bytes_max: What all its blocks may take.

        Raises:
            NetworkError: `no_holder`, or `content_missing` after IPFS_TIMEOUT_S without a block.
            RemoteProtocolError: `oversized`, or a node is no dag-pb.
            StoreError: See BlockStore.
        """
        connected = await self._connect(peers)
        pending, size = deque([root]), 0
        while pending:
            batch = [pending.popleft() for _ in range(min(len(pending), limits.IPFS_WANTS_MAX))]
            blocks = await self._get(list(dict.fromkeys(batch)), connected, owner)
            size += sum(len(block) for _, block in blocks)
            if size > bytes_max:
                raise RemoteProtocolError(f"{root} has more than {bytes_max} bytes", code="oversized")
            below = [link.cid for cid, block in blocks for link in links_of(cid, block)]
            pending.extendleft(reversed(below))  # depth first, so that little is pending

    async def export(self, root: Cid, into: Path, name: str) -> int:
        """Write a graph that is in the store as plain files; return the bytes.

        Args:
            root: A file, which is written as `name`, or a directory, whose entries are.
            into: Made if it is missing.
            name: For a file.

        Raises:
            NetworkError: `content_missing`.
            RemoteProtocolError: It is no UnixFS file or plain directory, or is too deep.
            ExecutionError: As `make_files`.
        """
        written = 0
        places: deque[tuple[Cid, str, int]] = deque([(root, "", 0)])
        while places:
            cid, path, depth = places.popleft()
            block = await self._stored(cid)
            if depth > limits.TREE_DEPTH_MAX:
                raise RemoteProtocolError("directories too deep", code="malformed")
            if cid.codec == DAG_PB and is_directory(block):
                entries = decode_directory(block)
                if any(entry in (".", "..") for entry in entries):
                    raise RemoteProtocolError("a path that leads out", code="bad_path")
                await trio.to_thread.run_sync(make_files, into, (), (path,) if path else ())
                places += [
                    (link.cid, f"{path}/{entry}" if path else entry, depth + 1)
                    for entry, link in entries.items()
                ]
            else:
                written += await self._export_file(cid, into, path or name)
        return written

    async def _export_file(self, root: Cid, into: Path, path: str) -> int:
        size = decode_file(root, await self._stored(root)).size_bytes
        await trio.to_thread.run_sync(make_files, into, ((path, size, False),), ())
        offset = 0
        pending = [root]
        while pending:
            cid = pending.pop()
            node = decode_file(cid, await self._stored(cid))
            if node.data:
                if offset + len(node.data) > size or len(pending) > limits.CONTENT_LINKS_MAX:
                    raise RemoteProtocolError("a file longer than it says", code="malformed")
                await trio.to_thread.run_sync(write_pieces, into / path, [(offset, node.data)])
                offset += len(node.data)
            pending += [child.cid for child in reversed(node.children)]
        if offset != size:
            raise RemoteProtocolError("a file shorter than it says", code="malformed")
        return size

    async def _stored(self, cid: Cid) -> bytes:
        (block,) = await self._store.get([cid])
        if block is None:
            raise NetworkError(f"{cid} is not here", code="content_missing")
        return block

    # --- asking -------------------------------------------------------------------------------------------------
    async def _connect(self, peers: Sequence[Holder]) -> list[PeerId]:
        connected = []
        for holder in peers[: limits.CONTENT_HOLDERS_MAX]:
            try:
                target = PeerAddrs(holder.peer, holder.addrs)
                await self._network.dial(target, timeout_s=limits.DIAL_TIMEOUT_S)
                connected.append(holder.peer)
            except NetworkError as error:
                log.info("ipfs_peer_unreachable peer=%s code=%s", holder.peer[-8:], error.code)
        if not connected:
            raise NetworkError("no IPFS node can be reached", code="no_holder")
        return connected

    async def _get(self, cids: list[Cid], peers: list[PeerId], owner: str) -> list[Block]:
        """Return blocks from the store, or ask all peers for those that are not there."""
        here = dict(zip(cids, await self._store.get(cids), strict=True))
        missing = [cid for cid, block in here.items() if block is None]
        await self._store.pin([cid for cid in cids if cid not in missing], owner=owner)
        arrived = await self._ask(missing, peers) if missing else []
        if arrived:
            await self._store.put(arrived, owner=owner)
        got = dict(arrived)
        return [(cid, got[cid] if block is None else block) for cid, block in here.items()]

    async def _ask(self, cids: list[Cid], peers: list[PeerId]) -> list[Block]:
        """Ask one peer after the other for what is still missing."""
        events = {cid: self._wanted.setdefault(cid, trio.Event()) for cid in cids}
        try:
            for peer in peers:
                left = [cid for cid, event in events.items() if not event.is_set()]
                if left:
                    await self._ask_peer(left, peer)
            absent = [cid for cid in cids if cid not in self._arrived]
            if absent:
                raise NetworkError(f"no IPFS node has {absent[0]}", code="content_missing")
            return [(cid, self._arrived[cid]) for cid in cids]
        finally:
            for cid in cids:
                self._wanted.pop(cid, None)
                self._arrived.pop(cid, None)
                self._absent.pop(cid, None)

    async def _ask_peer(self, cids: list[Cid], peer: PeerId) -> None:
        """Send one peer our wants, and wait until each has come or is said to be absent."""
        try:
            stream = await self._network.open_stream(peer, PROTOCOL, timeout_s=limits.CONTENT_OPEN_TIMEOUT_S)
            try:
                for message in batches_of(cids):
                    await stream.send_frame(encode_bitswap(message))
            finally:
                await stream.aclose()
        except NetworkError as error:
            log.info("ipfs_not_asked peer=%s code=%s", peer[-8:], error.code)
            return
        waiting = [lambda event=self._wanted[cid], c=cid: self._wait(event, c, peer) for cid in cids]
        with trio.move_on_after(limits.IPFS_TIMEOUT_S):
            await run_crew(waiting)

    async def _wait(self, event: trio.Event, cid: Cid, peer: PeerId) -> None:
        while not event.is_set() and peer not in self._absent.get(cid, ()):
            with trio.move_on_after(limits.IPFS_POLL_S):
                await event.wait()

    # --- what comes ---------------------------------------------------------------------------------------------
    async def _serve(self, stream: FrameStream) -> None:
        """Take one inbound stream: answers to what we asked, and others' wants.

        Raises:
            NetworkError: It ended.
            RemoteProtocolError: It is no Bitswap.
        """
        while True:
            with trio.move_on_after(limits.CONTENT_IDLE_S) as scope:
                data = await stream.receive_frame(bytes_max=limits.IPFS_MESSAGE_BYTES_MAX)
            if scope.cancelled_caught:
                return
            message = decode_bitswap(data)
            for cid, block in message.blocks:
                event = self._wanted.get(cid)
                if event is not None and len(block) <= limits.CONTENT_FOREIGN_BLOCK_BYTES_MAX:
                    self._arrived[cid] = block
                    event.set()
            for cid in message.absent:
                if cid in self._wanted:
                    self._absent.setdefault(cid, set()).add(stream.peer)
            if message.wants:
                await self._answer(stream.peer, message)

    async def _answer(self, peer: PeerId, message: BitswapMessage) -> None:
        """Answer wants on a new stream, as IPFS nodes expect it."""
        wants = [want for want in message.wants if not want.is_cancelled]
        if not wants:
            return
        answers = await self._network.open_stream(peer, PROTOCOL, timeout_s=limits.CONTENT_OPEN_TIMEOUT_S)
        try:
            here = await self._store.present([want.cid for want in wants])
            for want in wants:
                if want.cid not in here:
                    reply = BitswapMessage(absent=(want.cid,)) if want.wants_absence else None
                elif want.is_block:
                    (block,) = await self._store.get([want.cid])
                    is_sendable = block is not None and len(block) <= limits.CONTENT_BLOCK_BYTES_MAX - 64
                    reply = (
                        BitswapMessage(blocks=((want.cid, block),))
                        if block is not None and is_sendable
                        else None
                    )
                else:
                    reply = BitswapMessage(have=(want.cid,))
                if reply is not None:
                    await answers.send_frame(encode_bitswap(reply))
        finally:
            await answers.aclose()
