"""The blocks of one bundle, fetched from several holders at once.

One for each fetch. It walks the graph from its root, asks for what is not here, a window of blocks from each holder,
takes a holder that sends a wrong block or stalls out of the fetch and its blocks to another, and ends with all blocks
or with a code and the names of what is missing. What was discovered and not asked for is kept as links of the nodes
above it, so a fetch of a terabyte needs no more memory than one of a gigabyte. Checking and storing blocks is the
shell's: an event says that it is done. Spec: protocol/05b-content.md, "Fetching". Diagram: machines/fetch.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event, Machine, Table, to
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.cid import Cid

MISSING_TOLD_MAX = 8
"""Missing blocks that a failure names."""


class FetchState(Enum):
    """Where a fetch is."""

    NEW = "new"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


Links = Mapping[Cid, tuple[Cid, ...]]
"""Blocks, each with what it links to; a raw block links to nothing."""


# --- events -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class FetchBegun(Event):
    """Go; the holders are being connected."""

    holders: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class LookedUp(Event):
    """Answer to LookUp."""

    here: Links
    absent: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class HolderReady(Event):
    """A holder is connected."""

    holder: PeerId


@dataclass(frozen=True, slots=True)
class HolderGone(Event):
    """A holder cannot be connected, or its connection broke."""

    holder: PeerId


@dataclass(frozen=True, slots=True)
class BlocksStored(Event):
    """Blocks came from a holder, are what they are named after, and are stored."""

    holder: PeerId
    blocks: Links


@dataclass(frozen=True, slots=True)
class BlocksAbsent(Event):
    """A holder says that it lacks blocks."""

    holder: PeerId
    cids: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class BlockWrong(Event):
    """A holder sent other bytes than those it was asked for."""

    holder: PeerId


# --- effects ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class LookUp(Effect):
    """Look whether blocks are here already; answered by LookedUp."""

    cids: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class AskHolder(Effect):
    """Ask a connected holder for blocks."""

    holder: PeerId
    cids: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class DropHolder(Effect):
    """Close the connection to a holder."""

    holder: PeerId
    code: str


@dataclass(frozen=True, slots=True)
class EndFetch(Effect):
    """It is over; an empty code means that everything is here."""

    code: str
    missing: tuple[Cid, ...] = ()


_NEVER = MonotonicS(0.0)


@dataclass(slots=True)
class _Holder:
    is_ready: bool = False
    asked: dict[Cid, None] = field(default_factory=dict)
    """In the order asked."""
    active_at: MonotonicS = _NEVER


_N, _R, _D, _F = FetchState.NEW, FetchState.RUNNING, FetchState.DONE, FetchState.FAILED
_AFTER = (LookedUp, HolderReady, HolderGone, BlocksStored, BlocksAbsent, BlockWrong, DeadlineReached)


class Fetch(Machine[FetchState]):
    """One fetch.

    Args:
        root: Of the bundle.
        blocks_max: Blocks that the bundle has by its reference; a graph with more is refused.
        window: Blocks asked of one holder at a time.

    Rules: CON-10, CON-11, CON-12.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_N, FetchBegun): to(_R, _F),
        **{(_R, event): to(_R, _D, _F) for event in _AFTER},
        **{(state, event): to(state) for state in (_D, _F) for event in _AFTER},
    }

    def __init__(self, root: Cid, *, blocks_max: int, window: int = limits.CONTENT_WINDOW_BLOCKS) -> None:
        super().__init__(FetchState.NEW)
        self.blocks_done = 0
        """Blocks that are here, those that were here before included."""
        self.blocks_received = 0
        self._blocks_max = blocks_max
        self._discovered = 1
        self._window = window
        self._unseen: list[deque[Cid]] = [deque([root])]
        """Links of nodes on the way down, deepest last."""
        self._looking_up = 0
        self._wanted: deque[Cid] = deque()
        self._holders: dict[PeerId, _Holder] = {}
        self._failures: dict[Cid, int] = {}
        """{block: how often it was asked for in vain}."""
        self._lacking: dict[Cid, set[PeerId]] = {}
        """{block: holders that said that they lack it}."""

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        if self.state is not FetchState.RUNNING:
            return None
        owing = [holder.active_at for holder in self._holders.values() if holder.asked]
        return MonotonicS(min(owing) + limits.CONTENT_STALL_S) if owing else None

    def check_invariants(self) -> None:
        """See Machine."""
        asked = [cid for holder in self._holders.values() for cid in holder.asked]
        assert len(asked) == len(set(asked)), "one block is asked of one holder at a time"
        assert not set(asked) & set(self._wanted), "what is asked for is not waiting"
        assert all(len(holder.asked) <= self._window for holder in self._holders.values()), "windows are kept"
        assert self._discovered <= self._blocks_max or self.state is FetchState.FAILED, (
            "the bundle's size is kept"
        )

    # --- events -------------------------------------------------------------------------------------------------
    def _on_fetch_begun(self, event: FetchBegun, _now: MonotonicS) -> list[Effect]:
        self._holders = {holder: _Holder() for holder in event.holders[: limits.CONTENT_HOLDERS_MAX]}
        self.state = FetchState.RUNNING
        return self._go_on(_now)

    def _on_looked_up(self, event: LookedUp, now: MonotonicS) -> list[Effect]:
        self._looking_up -= len(event.here) + len(event.absent)
        asked = {cid for holder in self._holders.values() for cid in holder.asked}
        known = asked | set(self._wanted)  # a block may stand in two places of the graph
        fresh = [cid for cid in event.absent if cid not in known]
        self.blocks_done += len(event.absent) - len(fresh)
        self._wanted += fresh
        return self._take(event.here) or self._go_on(now)

    def _on_holder_ready(self, event: HolderReady, now: MonotonicS) -> list[Effect]:
        holder = self._holders.get(event.holder)
        if holder is None or self.state is not FetchState.RUNNING:
            return []
        holder.is_ready, holder.active_at = True, now
        return self._go_on(now)

    def _on_holder_gone(self, event: HolderGone, now: MonotonicS) -> list[Effect]:
        self._lose(event.holder)
        return self._go_on(now)

    def _on_blocks_stored(self, event: BlocksStored, now: MonotonicS) -> list[Effect]:
        holder = self._holders.get(event.holder)
        if holder is not None:
            holder.active_at = now
        taken = {cid: links for cid, links in event.blocks.items() if self._is_awaited(cid, holder)}
        for cid in taken:
            self._failures.pop(cid, None)
            self._lacking.pop(cid, None)
        self.blocks_received += len(taken)
        return self._take(taken) or self._go_on(now)

    def _on_blocks_absent(self, event: BlocksAbsent, now: MonotonicS) -> list[Effect]:
        holder = self._holders.get(event.holder)
        if holder is None:
            return []
        holder.active_at = now
        for cid in event.cids:
            if cid in holder.asked:
                del holder.asked[cid]
                self._lacking.setdefault(cid, set()).add(event.holder)
                self._retry(cid)
        return self._go_on(now)

    def _on_block_wrong(self, event: BlockWrong, now: MonotonicS) -> list[Effect]:  # CON-11
        return self._drop([event.holder], "wrong_block", now)

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        late = [
            peer
            for peer, holder in self._holders.items()
            if holder.asked and now >= holder.active_at + limits.CONTENT_STALL_S
        ]
        return self._drop(late, "stalled", now)

    # --- parts --------------------------------------------------------------------------------------------------
    def _take(self, blocks: Links) -> list[Effect]:
        """Count blocks that are here, and go down their links; the end if the graph is larger than it may be."""
        self.blocks_done += len(blocks)
        for links in blocks.values():
            if links:
                self._discovered += len(links)
                self._unseen.append(deque(links))
        if self._discovered > self._blocks_max and self.state is FetchState.RUNNING:
            return self._end("bundle_mismatch", ())  # CON-12
        return []

    def _is_awaited(self, cid: Cid, holder: _Holder | None) -> bool:
        """Take a block off the list where it is awaited; one that came late, of a holder that was dropped, may be."""
        if holder is not None and cid in holder.asked:
            del holder.asked[cid]
            return True
        if cid in self._failures and cid in self._wanted:
            self._wanted.remove(cid)
            return True
        return False

    def _drop(self, peers: Iterable[PeerId], code: str, now: MonotonicS) -> list[Effect]:
        if self.state is not FetchState.RUNNING:
            return []
        dropped: list[Effect] = [DropHolder(peer, code) for peer in peers if self._lose(peer)]
        return dropped + self._go_on(now)

    def _lose(self, peer: PeerId) -> bool:
        holder = self._holders.pop(peer, None)
        for cid in holder.asked if holder else ():
            self._retry(cid)
        return holder is not None

    def _retry(self, cid: Cid) -> None:
        self._failures[cid] = self._failures.get(cid, 0) + 1
        self._wanted.appendleft(cid)

    def _go_on(self, now: MonotonicS) -> list[Effect]:
        """Look up what comes next, ask whoever has room, and end if nothing is left or nothing can be done."""
        if self.state is not FetchState.RUNNING:
            return []
        hopeless = self._hopeless()
        if hopeless:
            return self._end("content_missing" if self._holders else "no_holder", hopeless)
        effects: list[Effect] = [*self._look_ahead(), *self._ask(now)]
        is_idle = not self._wanted and not any(holder.asked for holder in self._holders.values())
        if not effects and is_idle and not self._looking_up:
            return self._end("", ())
        return effects

    def _hopeless(self) -> tuple[Cid, ...]:
        """Return blocks that no holder can be asked for any more."""
        if not self._holders:
            return tuple(list(self._wanted)[:MISSING_TOLD_MAX])
        suspects = [cid for cid in self._wanted if cid in self._failures] if self._failures else []
        return tuple(
            [
                cid
                for cid in suspects
                if self._failures[cid] >= limits.CONTENT_ATTEMPTS_MAX
                or self._holders.keys() <= self._lacking.get(cid, set())
            ][:MISSING_TOLD_MAX]
        )

    def _look_ahead(self) -> list[Effect]:
        """Keep one window more than the holders have room for."""
        ahead = self._window * (len(self._holders) + 1)
        batch: list[Cid] = []
        while self._unseen and len(self._wanted) + self._looking_up + len(batch) < ahead:
            links = self._unseen[-1]
            if not links:
                self._unseen.pop()
            elif len(batch) < limits.CONTENT_BATCH_BLOCKS_MAX:
                batch.append(links.popleft())
            else:
                break
        fresh = tuple(dict.fromkeys(batch))
        self.blocks_done += len(batch) - len(fresh)
        self._looking_up += len(fresh)
        return [LookUp(fresh)] if fresh else []

    def _ask(self, now: MonotonicS) -> list[Effect]:
        effects: list[Effect] = []
        for peer, holder in self._holders.items():
            room = self._window - len(holder.asked)
            # Not block by block: a request names many.
            if not holder.is_ready or not self._wanted or room < self._window // 4:
                continue
            chosen = self._choose(peer, room)
            if chosen:
                if not holder.asked:
                    holder.active_at = now
                holder.asked.update(dict.fromkeys(chosen))
                effects.append(AskHolder(peer, tuple(chosen)))
        return effects

    def _choose(self, peer: PeerId, room: int) -> Sequence[Cid]:
        chosen: list[Cid] = []
        passed: list[Cid] = []
        while self._wanted and len(chosen) < room:
            cid = self._wanted.popleft()
            (passed if peer in self._lacking.get(cid, ()) else chosen).append(cid)
        self._wanted.extendleft(reversed(passed))
        return chosen

    def _end(self, code: str, missing: tuple[Cid, ...]) -> list[Effect]:
        self.state = FetchState.FAILED if code else FetchState.DONE
        return [EndFetch(code, missing)]
