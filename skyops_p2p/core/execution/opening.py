"""What a worker checks before it takes a lease. Pure. Spec: protocol/05-execution.md, "Lease"."""

from collections import OrderedDict
from dataclasses import dataclass, replace

from skyops_p2p import limits
from skyops_p2p.core.auction.leases import AwardUse, LeaseTerms
from skyops_p2p.core.execution.gangs import Gang, gang_of
from skyops_p2p.core.execution.layout import Layout, layout_of
from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.core.jobs.encoding import decode_spec, spec_digest
from skyops_p2p.core.jobs.needs import needs_of
from skyops_p2p.core.jobs.spec import ARCHIVE_SCHEMES, JobSpec
from skyops_p2p.core.verification.commit import compared_class
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import ExecutionError, RemoteProtocolError
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed, open_envelope
from skyops_p2p.wire.messages.execution import CheckpointReceipt, LeaseOpen


@dataclass(frozen=True, slots=True)
class OpenedLease:
    """A lease that a worker takes."""

    facts: LeaseFacts
    spec: JobSpec
    layout: Layout
    request: LeaseOpen
    """Holds the content key and the secrets: never logged, never stored."""
    terms: LeaseTerms
    """With the use that the award has from this lease on."""
    resume: Signed[CheckpointReceipt] | None
    gang: Gang | None = None
    """With whom it runs, where the job is a gang."""


def check_opening(
    request: LeaseOpen, terms: LeaseTerms, *, network: str, own: PeerId, now: UnixMs
) -> OpenedLease:
    """Compare what a requester wants to begin with what the auction was about.

    Args:
        request: What came.
        terms: Of the award that the request names.
        network: Our network.
        own: This worker.
        now: The wall clock.

    Raises:
        RemoteProtocolError: `spec_refused`, `award_over`, or what decoding raises.

    Rules: EXE-2, EXE-3, EXE-12, EXE-27, EXE-38, VER-1.
    """
    peer, tender = terms.requester, terms.tender.message
    if terms.use is not None:
        _check_next(request, terms, terms.use, now)
    spec = decode_spec(request.spec)
    if spec_digest(spec) != tender.spec_digest:  # EXE-2
        raise _refused("it is not the job of the tender", peer, rule="EXE-2")
    duration = spec.timeouts.execution
    if (needs_of(spec), spec.mode.kind, duration) != (
        tender.needs,
        tender.mode,
        tender.duration_s_max,
    ):  # EXE-3
        raise _refused("it needs other than the tender said", peer, rule="EXE-3")
    if request.shard >= max(1, request.shards) or request.shards != spec.shards:
        raise _refused("there is no such shard", peer, rule="EXE-3")
    _check_inputs(request, spec, peer)
    if (request.draw is None) != (compared_class(spec, is_warm=request.is_warm) is None):
        raise _refused("it has a draw just if its results are compared", peer, rule="VER-1")
    try:
        layout = layout_of(spec)
    except ExecutionError as error:
        raise _refused(error.message, peer, rule="EXE-3") from error
    facts = LeaseFacts(
        network=network,
        requester=peer,
        worker=own,
        job_id=request.job_id,
        shard=request.shard,
        epoch=request.epoch,
        award=request.award,
        spec_digest=tender.spec_digest,
    )
    gang = gang_of(request, spec, own=own, requester=peer)
    use = terms.use or AwardUse(request.job_id, now)
    terms = replace(terms, use=use)
    return OpenedLease(facts, spec, layout, request, terms, _resume(request, facts), gang)


def is_award_kept(opened: OpenedLease, now: UnixMs) -> bool:
    """Tell whether the job's next shard may begin on the same award, once this lease has ended well.

    Args:
        opened: The lease.
        now: The wall clock.

    Rules: EXE-37.
    """
    is_array = opened.spec.shards > 1 and opened.gang is None and not opened.request.is_warm
    return is_array and not _is_used_up(opened.terms, now)


def _check_next(request: LeaseOpen, terms: LeaseTerms, use: AwardUse, now: UnixMs) -> None:
    """Check what begins on an award that has had a lease before. Rules: EXE-38."""
    if request.job_id != use.job_id or request.is_warm or _is_used_up(terms, now):
        raise RemoteProtocolError(
            "the award serves another job, or its time is used up",
            code="award_over",
            rule="EXE-38",
            peer=terms.requester,
        )


def _is_used_up(terms: LeaseTerms, now: UnixMs) -> bool:
    """Tell whether no lease may begin on an award any more; a clock that was set back ends it too."""
    if terms.use is None:
        return False
    return not 0 <= now - terms.use.since_unix_ms < terms.tender.message.duration_s_max * 1000


def _check_inputs(request: LeaseOpen, spec: JobSpec, peer: PeerId) -> None:
    """Inputs and secrets must be those of the specification, each once."""
    paths = [item.path for item in request.inputs]
    wanted = [item.path for item in spec.inputs] + ([MODULE_PATH] if spec.module else [])
    wanted += [IMAGE_PATH] if is_archive(spec) else []
    if sorted(paths) != sorted(wanted):
        raise _refused("its inputs are not those of the specification", peer, rule="EXE-3")
    secrets = [(item.name, item.path) for item in request.secrets]
    if secrets != [(item.name, item.path) for item in spec.secrets]:
        raise _refused("its secrets are not those of the specification", peer, rule="EXE-3")
    if any(item.path is None and not _is_text(item.value) for item in request.secrets):
        raise _refused("a secret is no text and cannot stand in the environment", peer, rule="EXE-3")
    if sum(len(item.value) for item in request.secrets) > limits.SECRETS_BYTES_MAX:
        raise _refused("its secrets are too long", peer, rule="EXE-3")


def _is_text(value: bytes) -> bool:
    try:
        return "\0" not in value.decode()
    except UnicodeDecodeError:
        return False


def _resume(request: LeaseOpen, facts: LeaseFacts) -> Signed[CheckpointReceipt] | None:
    """Open the receipt to go on from: any worker's, of this shard, of an older epoch."""
    if request.resume is None:
        return None
    signed = open_envelope(request.resume, CheckpointReceipt, facts.network)
    message = signed.message
    ours = (peer_id_to_bytes(facts.requester), facts.job_id, facts.shard)
    if (message.requester, message.job_id, message.shard) != ours or message.epoch >= facts.epoch:
        raise _refused("the checkpoint is of another job", facts.requester, rule="EXE-12")
    return signed


MODULE_PATH = "/module"
"""Stands for the WebAssembly module among the inputs of a LeaseOpen; it is not mounted."""
IMAGE_PATH = "/image"
"""Stands for the image archive among the inputs of a LeaseOpen; it is not mounted."""


def is_archive(spec: JobSpec) -> bool:
    """Tell whether the job brings its image as a file instead of naming one that can be pulled."""
    return spec.image.startswith(ARCHIVE_SCHEMES)


class EpochMemory:
    """The newest epoch that a worker knows of each shard, against older leases, and how it ended. Rules: EXE-5."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[PeerId, bytes, int], tuple[int, str]] = OrderedDict()
        """(requester, job, shard) -> (epoch, how that lease ended; empty while it stands)."""

    def __len__(self) -> int:
        return len(self._known)

    def newest(self, requester: PeerId, job_id: bytes, shard: int) -> int:
        """Return the newest epoch; 0 if none is known."""
        return self._known.get((requester, job_id, shard), (0, ""))[0]

    def end_of(self, requester: PeerId, job_id: bytes, shard: int) -> str:
        """Return how the newest lease ended; empty if it stands, or nothing is known of it."""
        return self._known.get((requester, job_id, shard), (0, ""))[1]

    def take(self, requester: PeerId, job_id: bytes, shard: int, epoch: int) -> bool:
        """Note an epoch; False if it is not newer than what is known. Rules: EXE-5."""
        key = (requester, job_id, shard)
        if epoch <= self._known.get(key, (0, ""))[0]:
            return False
        self._known[key] = (epoch, "")
        self._known.move_to_end(key)
        while len(self._known) > limits.RUN_EPOCHS_REMEMBERED_MAX:
            self._known.popitem(last=False)
        return True

    def note_end(self, requester: PeerId, job_id: bytes, shard: int, *, epoch: int, code: str) -> None:
        """Note how a lease ended, if it is still the newest. Rules: EXE-10."""
        key = (requester, job_id, shard)
        if self._known.get(key, (0, ""))[0] == epoch:
            self._known[key] = (epoch, code)


def _refused(text: str, peer: PeerId, *, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code="spec_refused", rule=rule, peer=peer)
