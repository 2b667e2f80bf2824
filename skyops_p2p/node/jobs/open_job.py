"""A job that is open: what all its shards share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from skyops_p2p import limits
from skyops_p2p.core.jobs.encoding import encode_spec
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.verification.commit import compared_class
from skyops_p2p.core.verification.draw import draw_commitment
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.node.jobs.array import Array
from skyops_p2p.node.jobs.gang import Gang
from skyops_p2p.node.jobs.records import JobSecrets
from skyops_p2p.node.jobs.tools import JobTools
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.execution import HolderPart, InputPart, LeaseOpen, SecretPart
from skyops_p2p.wire.messages.verification import ComparedName

_DRAW_DOMAIN = b"skyops/draw-of-shard/1"


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
    label: str = ""
    """For people, where the id says nothing to them: a replica's."""

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
    ) -> MatchView:
        """Run a match for one shard, whoever else computes it."""
        if self.gang is not None:
            return await self.gang.find(shard, excluded, progress)
        if self.array is not None:
            return await self.array.find(shard, excluded, tender_job, progress)
        return await self.tools.find_worker(self.spec, progress, excluded=excluded, job_id=tender_job)

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
