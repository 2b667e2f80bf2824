"""Gangs: shards that run all at once or not at all, and reach each other. Pure.

Spec: protocol/05-execution.md, "Gangs".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skyops_p2p.core.execution.layout import CONTROL
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import Multiaddr, PeerId
from skyops_p2p.wire.messages.execution import LeaseOpen

GANG_FOLDER = "gang"
"""Name of the directory in CONTROL that holds a member's sockets."""
LISTEN_NAME = "listen.sock"
"""The program's own socket there."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a gang."""

    peer: PeerId
    addrs: tuple[Multiaddr, ...]
    """Where the requester knows it to be."""


@dataclass(frozen=True, slots=True)
class Gang:
    """A gang as one of its members sees it."""

    token: bytes = field(repr=False)
    """32 bytes; admits the members to each other."""
    attempt: int
    rank: int
    """This member's shard."""
    world_size: int
    """Shards of the job, ended ones included."""
    members: Mapping[int, Member]
    """By rank, ascending, this one included; those that have ended well are not there."""

    def others(self) -> tuple[int, ...]:
        """Return the ranks of the other members."""
        return tuple(rank for rank in self.members if rank != self.rank)

    def has(self, rank: int, peer: PeerId) -> bool:
        """Tell whether a peer runs the member of that rank. Rules: EXE-29."""
        member = self.members.get(rank)
        return member is not None and member.peer == peer and rank != self.rank


def gang_of(request: LeaseOpen, spec: JobSpec, *, own: PeerId, requester: PeerId) -> Gang | None:
    """Return the gang that a lease is to run in; None if the job is none.

    Args:
        request: The lease.
        spec: Its job.
        own: This worker.
        requester: Who is blamed.

    Raises:
        RemoteProtocolError: `spec_refused`.

    Rules: EXE-27.
    """
    part = request.gang
    if (part is not None) != spec.gang:
        raise _refused("members are named just if the job is a gang", requester)
    if part is None:
        return None
    ranks = [member.rank for member in part.members]
    if ranks != sorted(set(ranks)) or ranks[-1] >= spec.shards:
        raise _refused("its members are not shards of the job, each once and in order", requester)
    members = {
        member.rank: Member(
            PeerId(peer_id_from_bytes(member.peer)), tuple(Multiaddr(addr) for addr in member.addrs)
        )
        for member in part.members
    }
    if request.shard not in members or members[request.shard].peer != own:
        raise _refused("this worker does not run that member of the gang", requester)
    return Gang(part.token, part.attempt, request.shard, spec.shards, members)


def gang_environment(gang: Gang) -> dict[str, str]:
    """Return the variables that a member sees beside those of every job. Rules: EXE-33."""
    return {
        "SKYOPS_GANG_DIR": f"{CONTROL}/{GANG_FOLDER}",
        "SKYOPS_GANG_ATTEMPT": str(gang.attempt),
        "SKYOPS_GANG_MEMBERS": ",".join(map(str, gang.members)),
        "SKYOPS_RANK": str(gang.rank),
        "SKYOPS_WORLD_SIZE": str(gang.world_size),
    }


def common_cut(labels: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """Return how many of its newest checkpoints each member leaves out, so that all go on from one label.

    Args:
        labels: Of each member the labels of its kept checkpoints, oldest first.

    Returns:
        Zeros if no label is kept by all: then each member's newest counts, and the programs must compare.
    """
    shared = set.intersection(*map(set, labels)) if labels else set()
    for label in reversed(labels[0] if labels else ()):
        if label in shared:
            return tuple(list(reversed(own)).index(label) for own in labels)
    return (0,) * len(labels)


def _refused(text: str, peer: PeerId) -> RemoteProtocolError:
    return RemoteProtocolError(text, code="spec_refused", rule="EXE-27", peer=peer)
