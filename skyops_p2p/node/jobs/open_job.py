"""A job that is open: what all its shards share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from skyops_p2p import limits
from skyops_p2p.core.jobs.encoding import encode_spec
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.verification.canaries import canary_shards
from skyops_p2p.core.verification.commit import compared_class
from skyops_p2p.core.verification.draw import draw_commitment
from skyops_p2p.core.verification.policy import check_lot
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.node.jobs.array import Array
from skyops_p2p.node.jobs.gang import Gang
from skyops_p2p.node.jobs.records import JobSecrets
from skyops_p2p.node.jobs.tools import JobTools
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.execution import HolderPart, InputPart, LeaseOpen, SecretPart
from skyops_p2p.wire.messages.verification import ComparedName

_DRAW_DOMAIN, _CHECK_DOMAIN = b"skyops/draw-of-shard/1", b"skyops/check-of-shard/1"
_CANARY_DOMAIN = b"skyops/canaries-of-job/1"


class Checks(Protocol):
    """The comparisons of a job's results; see redundancy.Comparisons."""

    async def find(
        self,
        job: "OpenJob",
        shard: int,
        excluded: tuple[PeerId, ...],
        *,
        tender_job: bytes,
        progress: Callable[[MatchStepView], None],
    ) -> MatchView:
        """Run a match for a shard or a replica of it, without those who compute it already."""


@dataclass(slots=True)
class OpenJob:
    """One job."""

    job_id: bytes
    """16 bytes."""
    spec: JobSpec
    tools: JobTools
    secrets: JobSecrets = field(repr=False)
    inputs: tuple[InputPart, ...] = ()
    """Sealed; empty until they are."""
    is_warm: bool = False
    """Its leases take tasks; see pool.py."""
    gang: Gang | None = None
    """Brings its shards together, where all are to run at once."""
    array: Array | None = None
    """Looks for their workers, where they are many and run as they come."""
    checks: "Checks | None" = None
    """Knows who computes a shard of it at the same time; None: nothing is compared."""
    suspects: set[PeerId] = field(default_factory=set)
    """Nodes whose wallets were wrong at one of its shards: nothing more of theirs is left unchecked. Rules: VER-23."""
    suspected: Callable[[PeerId], None] = field(default=lambda _worker: None, repr=False)
    """Told of each such worker, before the shard goes on at which it was wrong."""
    label: str = ""
    """For people, where the id says nothing to them: a replica's."""
    replica_of: bytes | None = None
    """The job of which it computes a shard once more, 16 bytes."""

    @property
    def short(self) -> str:
        """The beginning of its id, for people."""
        return self.job_id.hex()[:12]

    @property
    def compared(self) -> ComparedName | None:
        """The class by which its results are compared; None: they are not. Rules: VER-1."""
        return compared_class(self.spec, is_warm=self.is_warm)

    def draw_secret(self, shard: int) -> bytes:
        """Return what this node's part in a shard's draw of replicas is, 32 bytes."""
        return sha256(_DRAW_DOMAIN + self.secrets.draw_secret + shard.to_bytes(4, "big"))

    def draw_of(self, shard: int) -> bytes:
        """Return what commits this node to that part. Rules: VER-9."""
        return draw_commitment(self.draw_secret(shard))

    @property
    def is_computable_here(self) -> bool:
        """Whether this node comes to the same bytes as every honest worker."""
        return self.spec.runtime == "wasm" and self.compared == "exact" and self.replica_of is None

    def canary_shards(self) -> tuple[int, ...]:
        """Return which shards this node computes itself, too, in the order in which it does. Rules: VER-22."""
        canaries = self.spec.verification.canaries
        if canaries is None or self.replica_of is not None or self.compared != "exact":
            return ()
        secret = sha256(_CANARY_DOMAIN + self.secrets.draw_secret)
        return canary_shards(secret, shards=self.spec.shards, canaries=canaries)

    def is_spared(self, shard: int, worker: PeerId, price: int, commit: bytes) -> bool:
        """Tell whether a result is taken as it is, for no lot falls on it; a replica's never is.

        Args:
            shard: Which shard.
            worker: Who has committed to it.
            price: Of its lease, microcredits an hour.
            commit: Its enveloped ResultCommit.

        Rules: VER-16.
        """
        if self.spec.verification.check != "adaptive" or self.replica_of is not None:
            return False
        if worker in self.suspects:
            return False
        secret = sha256(_CHECK_DOMAIN + self.secrets.draw_secret + shard.to_bytes(4, "big"))
        lot = check_lot(secret, sha256(commit))
        return not self.tools.spot_checks.is_due(worker, self.spec, price, lot=lot)

    @property
    def folder(self) -> Path:
        """Its directory on this machine."""
        return self.tools.folder / self.job_id.hex()

    @property
    def owner(self) -> str:
        """Under it the content store keeps the inputs."""
        return f"job/{self.job_id.hex()}"

    async def find_worker(
        self,
        shard: int,
        excluded: tuple[PeerId, ...],
        tender_job: bytes,
        progress: Callable[[MatchStepView], None],
    ) -> MatchView:
        """Run a match for one shard; the members of a gang are matched together, others a few at a time."""
        if self.checks is not None:
            return await self.checks.find(self, shard, excluded, tender_job=tender_job, progress=progress)
        return await self.find_plain(shard, excluded, tender_job, progress)

    async def find_plain(
        self,
        shard: int,
        excluded: tuple[PeerId, ...],
        tender_job: bytes,
        progress: Callable[[MatchStepView], None],
        *,
        computing: tuple[PeerId, ...] = (),
    ) -> MatchView:
        """Run a match for one shard, without those who are known to compute it already, and those that were wrong."""
        excluded = tuple(dict.fromkeys((*excluded, *self.suspects)))
        if self.gang is not None:
            return await self.gang.find(shard, excluded, progress)
        if self.array is not None:
            return await self.array.find(shard, excluded, tender_job, progress, computing=computing)
        return await self.tools.find_worker(
            self.spec, progress, excluded=excluded, job_id=tender_job, computing=computing
        )

    def opening(
        self, *, shard: int, epoch: int, award: bytes, resume: bytes | None, keepers: tuple[HolderPart, ...]
    ) -> LeaseOpen:
        """Return what a lease of this job begins with."""
        values = dict(self.secrets.secrets)
        return LeaseOpen(
            award=award,
            job_id=self.job_id,
            shard=shard,
            shards=self.spec.shards,
            epoch=epoch,
            spec=encode_spec(self.spec),
            content_key=self.secrets.content_key,
            inputs=self.inputs,
            secrets=tuple(
                SecretPart(name=item.name, value=values[item.name], path=item.path)
                for item in self.spec.secrets
            ),
            resume=resume,
            ttl_ms=round(limits.LEASE_TTL_S * 1000),
            holders=(self.tools.own_holder(),),
            replicas=keepers,
            is_warm=self.is_warm,
            gang=self.gang.part if self.gang is not None else None,
            draw=self.draw_of(shard) if self.compared is not None else None,
        )
