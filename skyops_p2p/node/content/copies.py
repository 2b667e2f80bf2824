"""Copies: bundles kept for other peers, for a time and within a quota for each, whether or not those are online.

In the block store the owner of a copy is "copy/<peer>/<root>/<label>"; its note holds the bundle's reference, what its
owner gave with it, and whether it is whole. Spec: protocol/05b-content.md, "Copies".
"""

import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.crypto.chunks import CHUNK_OVERHEAD_BYTES
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError, SkyopsError
from skyops_p2p.ports import WallClock
from skyops_p2p.ports.content import BlockStore, Owner
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire import canonical
from skyops_p2p.wire.cid import decode_cid
from skyops_p2p.wire.messages.content import BundleRef, CopiesReply, CopyPart, KeepReply, KeepRequest

log = logging.getLogger(__name__)

_NAME = re.compile(r"^copy/([1-9A-HJ-NP-Za-km-z]+)/(b[a-z2-7]+)/([a-z0-9/-]+)$")
NOTE_BYTES_MAX = 2 * limits.CONTENT_NOTE_BYTES_MAX

FetchCopy = Callable[[BundleRef, PeerId, str], Awaitable[None]]
"""(bundle, from whom, owner): fetches and pins it, and makes it outlive a power cut."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A bundle that is kept for a peer."""

    peer: PeerId
    label: str
    bundle: BundleRef
    note: bytes
    is_whole: bool
    until: UnixMs

    @property
    def owner(self) -> str:
        """Its name in the block store."""
        return f"copy/{self.peer}/{decode_cid(self.bundle.root)}/{self.label}"

    @property
    def size_bytes(self) -> int:
        """What it may take, by its reference; that a bundle has no more blocks is checked while it is fetched."""
        return self.bundle.blocks * (limits.CONTENT_CHUNK_BYTES + CHUNK_OVERHEAD_BYTES)

    def kept_note(self) -> bytes:
        """Return what the block store has beside it."""
        return canonical.encode({1: self.bundle.to_wire(), 2: self.note, 3: self.is_whole})


def copies_in(owners: Iterable[Owner]) -> Iterator[Copy]:
    """Pick the copies out of all owners of the block store."""
    for owner in owners:
        named = _NAME.match(owner.name)
        if named is None or owner.until_unix_ms is None:
            continue
        try:
            kept = canonical.decode(owner.note, bytes_max=NOTE_BYTES_MAX)
            bundle = BundleRef.from_wire(kept[1])
        except (RemoteProtocolError, LookupError, TypeError) as error:
            log.warning("copy_unreadable owner=%s error=%r", owner.name, error)
            continue
        peer, _, label = named.groups()
        yield Copy(PeerId(peer), label, bundle, kept[2], is_whole=kept[3], until=owner.until_unix_ms)


class CopyKeeper:
    """Keeps copies for others.

    Args:
        store: Where they are.
        fetch: Gets one.
        wall_clock: For when they lapse.
        bytes_per_peer: What the copies of one peer may take; 0 keeps none.
    """

    def __init__(
        self, store: BlockStore, fetch: FetchCopy, *, wall_clock: WallClock, bytes_per_peer: int
    ) -> None:
        self._store = store
        self._fetch = fetch
        self._wall_clock = wall_clock
        self._bytes_per_peer = bytes_per_peer
        self._fetching: dict[str, PeerId] = {}
        self._failed: dict[str, None] = {}
        """Owners of copies that could not be fetched, until they are asked about; at most CONTENT_REPLICAS_MAX."""
        self.refused: Counter[str] = Counter()

    async def keep(self, peer: PeerId, request: KeepRequest, nursery: trio.Nursery) -> KeepReply:
        """Begin to copy a bundle, or tell how far it is.

        Raises:
            RemoteProtocolError: `copy_refused` (no copies are kept here, or the peer's quota is used up), `busy`.

        Rules: CON-18, CON-19.
        """
        now = self._wall_clock.now_ms()
        until = UnixMs(min(request.until_unix_ms, now + 1000 * limits.CONTENT_REPLICA_S_MAX))
        wanted = Copy(peer, request.label, request.bundle, request.note, is_whole=False, until=until)
        copies = [copy for copy in copies_in(await self._store.owners()) if copy.peer == peer]
        here = next((copy for copy in copies if copy.owner == wanted.owner), None)
        if here is not None and here.is_whole:
            await self._store.keep_until(here.owner, until, note=here.kept_note())
            return KeepReply(state="kept", until_unix_ms=until)
        if wanted.owner in self._fetching:
            return KeepReply(state="fetching", until_unix_ms=until)
        if wanted.owner in self._failed:
            del self._failed[wanted.owner]
            return KeepReply(state="failed", until_unix_ms=until)
        self._admit(wanted, copies)
        self._fetching[wanted.owner] = peer
        nursery.start_soon(self._copy, wanted)
        return KeepReply(state="fetching", until_unix_ms=until)

    async def told(self, label: str) -> CopiesReply:
        """Return the whole copies under a label, the newest of each peer. Rules: CON-20."""
        found = [
            copy for copy in copies_in(await self._store.owners()) if copy.label == label and copy.is_whole
        ]
        found.sort(key=lambda copy: copy.until, reverse=True)
        parts = [
            CopyPart(owner=peer_id_to_bytes(copy.peer), bundle=copy.bundle, note=copy.note) for copy in found
        ]
        return CopiesReply(copies=tuple(parts[: limits.CONTENT_COPIES_TOLD_MAX]))

    async def forget(self, peer: PeerId, label: str) -> KeepReply:
        """Let go of a peer's own copies under a label. Rules: CON-20."""
        for copy in list(copies_in(await self._store.owners())):
            if copy.peer == peer and copy.label == label:
                await self._store.unpin(copy.owner)
        return KeepReply(state="forgotten", until_unix_ms=self._wall_clock.now_ms())

    def _admit(self, wanted: Copy, copies: list[Copy]) -> None:
        """Refuse what does not fit; an older copy of the same label makes room for a newer one. Rules: CON-19."""
        others = [copy for copy in copies if copy.label != wanted.label]
        used = sum(copy.size_bytes for copy in others) + wanted.size_bytes
        if used > self._bytes_per_peer or len(others) >= limits.CONTENT_REPLICAS_MAX:
            self.refused["copy_refused"] += 1
            raise RemoteProtocolError("no room for this copy", code="copy_refused", rule="CON-19")
        is_twice = wanted.peer in self._fetching.values()
        if is_twice or len(self._fetching) >= limits.CONTENT_COPIES_FETCHED_MAX:
            self.refused["busy"] += 1
            raise RemoteProtocolError("other copies are being fetched", code="busy", rule="CON-19")

    async def _copy(self, wanted: Copy) -> None:
        whole = Copy(wanted.peer, wanted.label, wanted.bundle, wanted.note, is_whole=True, until=wanted.until)
        try:
            await self._store.keep_until(wanted.owner, wanted.until, note=wanted.kept_note())
            await self._fetch(wanted.bundle, wanted.peer, wanted.owner)
            await self._store.keep_until(wanted.owner, wanted.until, note=whole.kept_note())
            for copy in list(copies_in(await self._store.owners())):
                if (copy.peer, copy.label) == (wanted.peer, wanted.label) and copy.owner != wanted.owner:
                    await self._store.unpin(copy.owner)  # its place is taken
            log.info("copy_kept peer=%s label=%s", wanted.peer[-8:], wanted.label)
        except SkyopsError as error:
            log.info("copy_failed peer=%s label=%s code=%s", wanted.peer[-8:], wanted.label, error.code)
            if len(self._failed) < limits.CONTENT_REPLICAS_MAX:
                self._failed[wanted.owner] = None
            await self._let_go(wanted)
        finally:
            del self._fetching[wanted.owner]

    async def _let_go(self, wanted: Copy) -> None:
        try:
            await self._store.unpin(wanted.owner)
        except SkyopsError as error:
            log.warning("copy_not_released owner=%s code=%s", wanted.owner, error.code)
