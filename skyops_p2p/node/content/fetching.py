"""Performs a fetch: looks blocks up, runs a task for each holder, and keeps time."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.core.content import fetch as ft
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.content.holding import HolderTask, check_blocks
from skyops_p2p.node.content.links import Holder, OpenLink
from skyops_p2p.node.content.opening import Progress
from skyops_p2p.ports.content import BlockStore
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.cid import DAG_PB, Cid, decode_cid
from skyops_p2p.wire.messages.content import BundleRef

log = logging.getLogger(__name__)

EVENTS_WAITING_MAX = 256


class Fetching:
    """One fetch; `run` it once.

    Args:
        store: Where blocks are looked up and put.
        ref: The bundle.
        ways: How a holder may be reached, the best first.
        owner: Pins the blocks.
        progress: Told (done, total) in plaintext bytes, as the share of blocks says.
    """

    def __init__(
        self,
        store: BlockStore,
        ref: BundleRef,
        ways: Sequence[OpenLink],
        *,
        owner: str,
        progress: Progress,
    ) -> None:
        self._store = store
        self._ref = ref
        self._ways = ways
        self._owner = owner
        self._progress = progress
        self._machine = ft.Fetch(decode_cid(ref.root), blocks_max=min(ref.blocks, limits.CONTENT_BLOCKS_MAX))
        self._tasks: Mapping[PeerId, HolderTask] = {}
        self._events_in, self._events_out = trio.open_memory_channel[Event](EVENTS_WAITING_MAX)
        self._error: SkyopsError | None = None

    @property
    def blocks_received(self) -> int:
        """Blocks that came from holders."""
        return self._machine.blocks_received

    async def run(self, holders: Sequence[Holder]) -> None:
        """Fetch everything.

        Raises:
            NetworkError: `no_holder` or `content_missing`, naming what is missing.
            RemoteProtocolError: `bundle_mismatch`: it is larger than its reference says.
            StoreError: `store_full` and the others of the store.
        """
        chosen = {holder.peer: holder for holder in holders[: limits.CONTENT_HOLDERS_MAX]}
        self._tasks = {
            peer: HolderTask(holder, self._ways, self._store, owner=self._owner, post=self._events_in.send)
            for peer, holder in chosen.items()
        }
        end: ft.EndFetch | None = None
        async with trio.open_nursery() as nursery:
            for task in self._tasks.values():
                nursery.start_soon(self._guarded, task.run, nursery)
            event: Event = ft.FetchBegun(tuple(chosen))
            while end is None:
                end = self._perform(self._machine.handle(event, _now()), nursery)
                self._tell()
                if end is None:
                    event = await self._next_event()
            nursery.cancel_scope.cancel()
        if self._error is not None:
            raise self._error
        assert end is not None, "the loop ends with the fetch"
        if end.code:
            raise self._failure(end)

    def _perform(self, effects: Sequence[Effect], nursery: trio.Nursery) -> ft.EndFetch | None:
        for effect in effects:
            match effect:
                case ft.LookUp(cids):
                    nursery.start_soon(self._guarded, self._look_up, nursery, cids)
                case ft.AskHolder(holder, cids):
                    self._tasks[holder].ask(cids)
                case ft.DropHolder(holder, code):
                    log.info("holder_dropped peer=%s code=%s", holder[-8:], code)
                    self._tasks[holder].scope.cancel()
                case ft.EndFetch():
                    return effect
        return None

    async def _next_event(self) -> Event:
        deadline = self._machine.next_deadline()
        with trio.move_on_at(deadline if deadline is not None else float("inf")):
            return await self._events_out.receive()
        return DeadlineReached()

    async def _look_up(self, cids: tuple[Cid, ...]) -> None:
        """Pin what is here, and read the links of its nodes; a damaged node counts as absent."""
        here = await self._store.pin(cids, owner=self._owner)
        nodes = [cid for cid in here if cid.codec == DAG_PB]
        found: dict[Cid, tuple[Cid, ...]] = {cid: () for cid in here if cid.codec != DAG_PB}
        for cid, block in zip(nodes, await self._store.get(nodes), strict=True):
            if block is not None:
                found |= check_blocks([(cid, block)])
        absent = tuple([cid for cid in cids if cid not in found])
        await self._events_in.send(ft.LookedUp(found, absent))

    async def _guarded(
        self, task: Callable[..., Awaitable[None]], nursery: trio.Nursery, *arguments: object
    ) -> None:
        """End the fetch with the first error of a task."""
        try:
            await task(*arguments)
        except SkyopsError as error:
            self._error = self._error or error
            nursery.cancel_scope.cancel()

    def _tell(self) -> None:
        total = self._ref.size_bytes
        done = total * self._machine.blocks_done // max(1, self._ref.blocks)
        self._progress(min(done, total), total)

    def _failure(self, end: ft.EndFetch) -> SkyopsError:
        if end.code == "bundle_mismatch":
            text = "the bundle is larger than its reference says"
            return RemoteProtocolError(text, code=end.code, rule="CON-12")
        names = ", ".join(str(cid) for cid in end.missing) or "everything"
        told = f"the bundle {decode_cid(self._ref.root)} is not complete; missing: {names}"
        hint = "Blocks that came are kept: fetch again when a holder is back."
        if end.code == "no_holder":
            return NetworkError(f"{told}; no holder can be reached", code="no_holder", hint=hint)
        return NetworkError(f"{told}; no holder has all of it", code="content_missing", hint=hint)


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
