"""One holder's part of a fetch: asks, reads, checks, stores; a broken data channel is followed by a libp2p stream."""

import logging
from collections.abc import Awaitable, Callable, Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.core.content import fetch as ft
from skyops_p2p.core.machine import Event
from skyops_p2p.errors import NetworkError, RemoteProtocolError
from skyops_p2p.node.content.crew import run_crew
from skyops_p2p.node.content.links import BlockLink, Holder, OpenLink
from skyops_p2p.ports.content import Block, BlockStore
from skyops_p2p.wire.cid import Cid
from skyops_p2p.wire.dag_pb import links_of

log = logging.getLogger(__name__)

Post = Callable[[Event], Awaitable[None]]


class HolderTask:
    """Serves one holder of one fetch until it is cancelled or the holder is of no use any more.

    Args:
        holder: Whom to ask.
        ways: How it may be reached, the best first.
        store: Takes the blocks.
        owner: Pins them.
        post: Tells the fetch.
    """

    def __init__(
        self, holder: Holder, ways: Sequence[OpenLink], store: BlockStore, *, owner: str, post: Post
    ) -> None:
        self.scope = trio.CancelScope()
        self._holder = holder
        self._ways = ways
        self._store = store
        self._owner = owner
        self._post = post
        self._unfinished: dict[Cid, None] = {}
        """Asked for by the fetch, and not yet stored; in order."""
        self._requests_in, self._requests_out = trio.open_memory_channel[tuple[Cid, ...]](
            limits.CONTENT_WINDOW_BLOCKS
        )
        self._trouble: Event = ft.HolderGone(holder.peer)

    def ask(self, cids: tuple[Cid, ...]) -> None:
        """Ask for more blocks; the fetch keeps to its window, so there is always room."""
        self._unfinished.update(dict.fromkeys(cids))
        self._requests_in.send_nowait(cids)

    async def run(self) -> None:
        """Go through the ways until one works; tell the fetch when the holder is ready, and when it is gone.

        Raises:
            StoreError: The blocks cannot be stored.
        """
        with self.scope:
            is_ready = False
            for open_link in self._ways:
                try:
                    link = await open_link(self._holder)
                except (NetworkError, RemoteProtocolError) as error:
                    log.debug("way_closed peer=%s code=%s", self._holder.peer[-8:], error.code)
                    continue
                try:
                    if not is_ready:
                        await self._post(ft.HolderReady(self._holder.peer))
                        is_ready = True
                    await self._use(link)
                except (NetworkError, RemoteProtocolError) as error:
                    log.info("link_broken peer=%s code=%s", self._holder.peer[-8:], error.code)
                finally:
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
                        await link.aclose()
            await self._post(self._trouble)

    async def _use(self, link: BlockLink) -> None:
        """Exchange blocks over a link until it breaks.

        Raises:
            NetworkError: It broke.
            RemoteProtocolError: The holder sent nonsense.
            StoreError: See `run`.
        """
        owed_in, owed_out = trio.open_memory_channel[Cid](2 * limits.CONTENT_WINDOW_BLOCKS)
        batches_in, batches_out = trio.open_memory_channel[list[Block]](1)
        await run_crew(
            [
                lambda: self._write(link, owed_in),
                lambda: self._read(link, owed_out, batches_in),
                lambda: self._keep(link, batches_out),
            ]
        )

    async def _write(self, link: BlockLink, owed: trio.MemorySendChannel[Cid]) -> None:
        again = tuple(
            self._unfinished
        )  # what an earlier link owed; it includes all that waits in the channel
        while True:
            try:
                self._requests_out.receive_nowait()
            except trio.WouldBlock:
                break
        while True:
            for start in range(0, len(again), limits.CONTENT_WINDOW_BLOCKS):
                part = again[start : start + limits.CONTENT_WINDOW_BLOCKS]
                await link.ask(part)
                for cid in part:
                    await owed.send(cid)
            again = await self._requests_out.receive()

    async def _read(
        self,
        link: BlockLink,
        owed: trio.MemoryReceiveChannel[Cid],
        batches: trio.MemorySendChannel[list[Block]],
    ) -> None:
        batch: list[Block] = []
        size = 0
        async for cid in owed:
            block = await link.receive()
            if block is None:
                self._unfinished.pop(cid, None)
                await self._post(ft.BlocksAbsent(self._holder.peer, (cid,)))
            else:
                batch.append((cid, block))
                size += len(block)
            is_last = not owed.statistics().current_buffer_used
            if batch and (is_last or size >= limits.CONTENT_BATCH_BYTES):
                await batches.send(batch)
                batch, size = [], 0

    async def _keep(self, link: BlockLink, batches: trio.MemoryReceiveChannel[list[Block]]) -> None:
        async for batch in batches:
            try:
                links = await trio.to_thread.run_sync(check_blocks, batch)
            except RemoteProtocolError:
                if link.is_authentic:  # CON-11
                    self._trouble = ft.BlockWrong(self._holder.peer)
                raise
            await self._store.put(batch, owner=self._owner)
            for cid in links:
                self._unfinished.pop(cid, None)
            await self._post(ft.BlocksStored(self._holder.peer, links))


def check_blocks(blocks: Sequence[Block]) -> dict[Cid, tuple[Cid, ...]]:
    """Check blocks against their names and return what each links to.

    Raises:
        RemoteProtocolError: `wrong_block`, or what decoding a node raises.

    Rules: CON-5, CON-11.
    """
    links: dict[Cid, tuple[Cid, ...]] = {}
    for cid, block in blocks:
        if len(block) > limits.CONTENT_BLOCK_BYTES_MAX or not cid.names(block):
            raise RemoteProtocolError("not the block that was asked for", code="wrong_block", rule="CON-11")
        links[cid] = tuple([link.cid for link in links_of(cid, block)])
    return links
