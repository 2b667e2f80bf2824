"""Proofs of compute that survive a restart of the node that asked for them: one stem of the journal, a key a worker.

Bounded: of a worker the newest proof is kept, and what the table forgets is forgotten here.
"""

import logging
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from skyops_p2p.core.auction.proven import Proven
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError, StoreError
from skyops_p2p.ports import Store
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire import canonical
from skyops_p2p.wire.model import Bytes32, Count, Instant, N, Part

log = logging.getLogger(__name__)

PROVEN = "proven"
"""The stem."""


class StoredProof(Part):
    """One proof as it is written down."""

    throughput: Annotated[Count, Field(ge=1), N(1)]
    unix_ms: Annotated[Instant, N(2)]
    hardware: Annotated[Bytes32, N(3)]


class ProvenJournal:
    """The proofs' part of one node's store.

    Args:
        store: Open.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(self, peer: PeerId, proven: Proven, *, forgotten: Iterable[PeerId]) -> None:
        """Write a proof down and delete those that made room; what cannot be written is logged, and asked for again."""
        stored = StoredProof(throughput=proven.throughput, unix_ms=proven.unix_ms, hardware=proven.hardware)
        try:
            await self._store.append(PROVEN, peer, canonical.encode(stored.to_wire()))
            await self._store.compact(PROVEN, peer, keep_last=1)
            for other in forgotten:
                await self._store.compact(PROVEN, other, keep_last=0)
        except StoreError as error:
            log.warning("proof_not_kept peer=%s code=%s", peer[-8:], error.code)

    async def read(self) -> list[tuple[PeerId, Proven]]:
        """Return all proofs, oldest first; one that cannot be read is skipped, and replaced by the next."""
        found = []
        try:
            entries = await self._store.entries(PROVEN)
        except StoreError as error:
            log.warning("proofs_not_read code=%s", error.code)
            return []
        for entry in entries:
            try:
                peer_id_to_bytes(PeerId(entry.key))
                stored = StoredProof.from_wire(canonical.decode(entry.body))
            except RemoteProtocolError as error:
                log.warning("proof_not_read key=%s code=%s", entry.key[-8:], error.code)
                continue
            proven = Proven(stored.throughput, UnixMs(stored.unix_ms), stored.hardware)
            found.append((PeerId(entry.key), proven))
        return found
