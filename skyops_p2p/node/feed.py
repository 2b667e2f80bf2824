"""The feed of what happened on a node, for live screens: bounded and lossy, so that no watcher slows the node."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from skyops_p2p import limits
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.views import NodeEventView


class Feed:
    """Hands each event to every watcher; a watcher that lags EVENT_FEED_MAX behind misses some."""

    def __init__(self) -> None:
        self._watchers: set[trio.MemorySendChannel[NodeEventView]] = set()
        self.dropped = 0
        """Events that slow watchers missed."""

    def tell(self, event: NodeEventView) -> None:
        """Give an event to all watchers, without waiting."""
        for watcher in self._watchers:
            try:
                watcher.send_nowait(event)
            except (trio.WouldBlock, trio.BrokenResourceError):
                self.dropped += 1

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[trio.MemoryReceiveChannel[NodeEventView]]:
        """Watch from now on.

        Raises:
            SkyopsError: Code `too_many_watchers`: EVENT_FEEDS_MAX are watching already.
        """
        if len(self._watchers) >= limits.EVENT_FEEDS_MAX:
            raise SkyopsError(
                f"{limits.EVENT_FEEDS_MAX} watchers already",
                code="too_many_watchers",
                hint="Close one first.",
            )
        sender, receiver = trio.open_memory_channel[NodeEventView](limits.EVENT_FEED_MAX)
        self._watchers.add(sender)
        try:
            async with receiver:
                yield receiver
        finally:
            self._watchers.discard(sender)
            sender.close()
