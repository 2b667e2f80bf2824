"""A job that is open: what all its shards share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from skyops_p2p import limits
from skyops_p2p.core.jobs.encoding import encode_spec
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.jobs.array import Array
from skyops_p2p.node.jobs.gang import Gang
from skyops_p2p.node.jobs.records import JobSecrets
from skyops_p2p.node.jobs.tools import JobTools
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.execution import HolderPart, InputPart, LeaseOpen, SecretPart


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

    @property
    def short(self) -> str:
        """The beginning of its id, for people."""
        return self.job_id.hex()[:12]

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
        )
