"""Serves blocks over framed streams: to anybody that is connected, and that names them.

Whoever knows a CID may have the block. Everything in the store is ciphertext, or was made public on purpose: 256 bits
that are told over encrypted connections only are the permission, and a key is needed besides. Spec:
protocol/05b-content.md, "Transfer".
"""

import logging
from collections import Counter

import trio

from skyops_p2p import limits
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.content.crew import run_crew
from skyops_p2p.node.content.links import REQUEST_BYTES_MAX, Status
from skyops_p2p.ports import FrameStream
from skyops_p2p.ports.content import BlockStore
from skyops_p2p.types import PeerId
from skyops_p2p.wire.cid import decode_cid
from skyops_p2p.wire.messages.content import BlocksRequest
from skyops_p2p.wire.model import decode_message

log = logging.getLogger(__name__)

ABSENT = bytes([Status.ABSENT])
BLOCK = bytes([Status.BLOCK])


class BlockService:
    """Answers requests for blocks.

    Args:
        store: Where they are.
        bytes_per_s: To one peer, in the long run.
    """

    def __init__(self, store: BlockStore, *, bytes_per_s: int) -> None:
        self._store = store
        self._bytes_per_s = bytes_per_s
        self._streams: Counter[PeerId] = Counter()
        self._paid_until: dict[PeerId, float] = {}
        """{peer: when what it got is paid for at its rate}; entries in the past are dropped."""
        self.bytes_served = 0

    async def serve_stream(self, stream: FrameStream) -> None:
        """Serve one libp2p stream; one of too many is closed unanswered.

        Raises:
            NetworkError: It broke, or idled for too long.
            RemoteProtocolError: It sent something else than requests for blocks.
        """
        is_busy = (
            self._streams[stream.peer] >= limits.CONTENT_CHANNELS_PER_PEER_MAX
            or self._streams.total() >= limits.CONTENT_CHANNELS_MAX
        )
        if is_busy:  # CON-13
            log.info("blocks_busy peer=%s", stream.peer[-8:])
            return
        self._streams[stream.peer] += 1
        try:
            await self.serve(stream)
        finally:
            self._streams[stream.peer] -= 1
            if not self._streams[stream.peer]:
                del self._streams[stream.peer]

    async def serve(self, stream: FrameStream) -> None:
        """Serve one framed stream whose bounds somebody else keeps; as `serve_stream`.

        Rules: CON-13, CON-14.
        """
        batches_in, batches_out = trio.open_memory_channel[list[bytes | None]](0)
        await run_crew([lambda: self._read(stream, batches_in), lambda: self._send(stream, batches_out)])

    async def _read(self, stream: FrameStream, batches: trio.MemorySendChannel[list[bytes | None]]) -> None:
        """Read requests, and the next blocks while the last are sent."""
        while True:
            try:
                with trio.fail_after(limits.CONTENT_IDLE_S):
                    request = await stream.receive_frame(bytes_max=REQUEST_BYTES_MAX)
            except trio.TooSlowError as error:
                raise NetworkError(f"{stream.peer} asks for nothing", code="stream_idle") from error
            cids = [decode_cid(cid) for cid in decode_message(BlocksRequest, request).cids]
            for start in range(0, len(cids), limits.CONTENT_SERVE_BATCH_BLOCKS):
                wanted = cids[start : start + limits.CONTENT_SERVE_BATCH_BLOCKS]
                await batches.send(await self._store.get(wanted))

    async def _send(
        self, stream: FrameStream, batches: trio.MemoryReceiveChannel[list[bytes | None]]
    ) -> None:
        async for blocks in batches:
            for block in blocks:
                is_sendable = block is not None and len(block) <= limits.CONTENT_BLOCK_BYTES_MAX
                frame = BLOCK + block if block is not None and is_sendable else ABSENT
                await self._pay(stream.peer, len(frame))
                try:
                    with trio.fail_after(limits.CONTENT_STALL_S):
                        await stream.send_frame(frame)
                except trio.TooSlowError as error:
                    raise NetworkError(f"{stream.peer} takes no blocks", code="stream_stalled") from error
                self.bytes_served += len(frame)

    async def _pay(self, peer: PeerId, size_bytes: int) -> None:
        """Wait while a peer has had more than its rate and burst allow."""
        now = trio.current_time()
        if len(self._paid_until) > limits.CONNECTIONS_MAX:
            self._paid_until = {peer: until for peer, until in self._paid_until.items() if until > now}
        until = max(now, self._paid_until.get(peer, now)) + size_bytes / self._bytes_per_s
        self._paid_until[peer] = until
        ahead_s = until - now - limits.CONTENT_SERVE_BURST_BYTES / self._bytes_per_s
        if ahead_s > 0:
            await trio.sleep(ahead_s)
