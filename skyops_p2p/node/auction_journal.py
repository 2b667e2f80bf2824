"""What auctions must not forget: confirmed awards until their end, and proofs of offences. Two stems of the journal.

Bounded: a lease goes when it ends, and there are at most as many as the machine has room for; of an offender one proof
of each offence is kept, PROOFS_KEPT_MAX in all, the newest.
"""

import logging

from skyops_p2p import limits
from skyops_p2p.core.auction.events import KeepProof
from skyops_p2p.core.auction.leases import AwardUse, LeaseTerms
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.errors import RemoteProtocolError, SkyopsError, StoreError
from skyops_p2p.node.auction_records import (
    KeptLease,
    lease_entry,
    proof_entry,
    read_lease,
    read_taken,
    taken_entry,
)
from skyops_p2p.ports import JournalEntry, Store, WallClock
from skyops_p2p.types import PeerId, UnixMs

log = logging.getLogger(__name__)

LEASES = "auction"
"""Stem of the leases; the key is the award's digest in hex."""
PROOFS = "auction-proof"
"""Stem of the proofs; the key is offence and offender."""
START_TIMEOUT_MS = round(limits.LEASE_START_TIMEOUT_S * 1000)


class AuctionJournal:
    """The auctions' part of one node's store.

    Args:
        store: Open.
        rules: Leases of another network are not taken for ours.
        wall_clock: Leases end at an instant that a restart does not move.
    """

    def __init__(self, store: Store, rules: NetworkRules, wall_clock: WallClock) -> None:
        self._store = store
        self._rules = rules
        self._wall_clock = wall_clock
        self._proofs: list[str] = []
        """Keys of the kept proofs, oldest first; those of before from `restore_proofs` on."""

    # --- leases -------------------------------------------------------------------------------------------------
    async def store_lease(self, lease: LeaseTerms) -> None:
        """Write a lease down; it is void LEASE_START_TIMEOUT_S from now unless a job begins.

        Raises:
            StoreError: It is not written.
        """
        ends = self._wall_clock.now_ms() + START_TIMEOUT_MS
        await self._store.append(LEASES, lease.award.digest.hex(), lease_entry(lease, ends_unix_ms=ends))

    async def mark_taken(self, award: bytes, use: AwardUse | None) -> None:
        """Write down that a job has a lease, which only `forget_lease` ends from now on.

        Raises:
            StoreError: It is not written.
        """
        await self._store.append(LEASES, award.hex(), taken_entry(use))

    async def forget_lease(self, award: bytes) -> None:
        """Delete a lease that has ended; if it cannot be deleted, a later start does.

        Args:
            award: Digest of its award.
        """
        try:
            await self._store.compact(LEASES, award.hex(), keep_last=0)
        except StoreError as error:
            log.warning("lease_not_forgotten award=%s code=%s", award.hex()[:8], error.code)

    async def leases(self) -> tuple[list[KeptLease], list[str]]:
        """Read back what was promised before a restart, and delete what is void.

        Returns:
            The leases, with the instant at which each ends: its own, and for one that a job had
            LEASE_START_TIMEOUT_S from now, in which the job can take it again. And a sentence for each entry that
            cannot be read; it is left where it is.

        Raises:
            StoreError: The journal cannot be read.

        Rules: AUC-31.
        """
        by_award: dict[str, list[JournalEntry]] = {}
        for entry in await self._store.entries(LEASES):
            by_award.setdefault(entry.key, []).append(entry)
        now, found, troubles = self._wall_clock.now_ms(), list[KeptLease](), list[str]()
        for key, entries in by_award.items():
            first, *others = entries
            is_taken = bool(others)
            try:
                use = read_taken(others[0].body) if others else None
                kept = read_lease(first.body, self._rules, use=use)
            except RemoteProtocolError as error:
                troubles.append(f"the stored lease {key[:16]} cannot be read ({error.code})")
                continue
            latest = now + START_TIMEOUT_MS  # nor does a clock that was set back make it longer
            ends = latest if is_taken else min(kept.ends_unix_ms, latest)
            if ends <= now:
                await self.forget_lease(kept.lease.award.digest)
            else:
                found.append(KeptLease(kept.lease, UnixMs(ends)))
        return found, troubles

    # --- proofs -------------------------------------------------------------------------------------------------
    async def restore_proofs(self) -> None:
        """Read whose offences were proven before a restart; once, before anything else.

        Raises:
            StoreError: The journal cannot be read.
        """
        stored = [entry.key for entry in await self._store.entries(PROOFS)]
        self._proofs = list(dict.fromkeys((*stored, *self._proofs)))

    @property
    def offenders(self) -> frozenset[PeerId]:
        """Whose offence a proof is kept of. Rules: AUC-46."""
        return frozenset(PeerId(key.partition("/")[2]) for key in self._proofs)

    async def keep_proof(self, proof: KeepProof) -> None:
        """Keep a proof, unless one of the same offence and offender is there; the oldest makes room.

        Raises:
            SkyopsError: It is not kept.
        """
        key = f"{proof.offence}/{proof.offender}"
        if key in self._proofs:
            return
        self._proofs.append(key)
        try:
            await self._store.append(PROOFS, key, proof_entry(proof))
        except SkyopsError:
            self._proofs.remove(key)
            raise
        while len(self._proofs) > limits.PROOFS_KEPT_MAX:
            await self._store.compact(PROOFS, self._proofs.pop(0), keep_last=0)
