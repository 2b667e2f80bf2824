"""From answers to a bid book: what an award follows from, and the award itself. Spec: protocol/04-auction.md, "Book".

The requester builds the book and signs it; `audit` rebuilds it from its parts with the same functions. Everything here
has been opened and checked before.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skyops_p2p.core.auction import vdf
from skyops_p2p.core.auction.award import Entry, Ranking, rank
from skyops_p2p.core.auction.sealing import commit_root, opens
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import LocalProtocolError
from skyops_p2p.wire.envelope import Signed
from skyops_p2p.wire.messages.auction import BidBook, Commit, CommitSet, Observation, Reveal, Tender
from skyops_p2p.wire.messages.peering import NodeRecord


@dataclass(frozen=True, slots=True)
class Sealed:
    """One commitment in a book, with the peer whose key signed it."""

    bidder: bytes
    """Binary peer id."""
    digest: bytes
    """SHA-256 of the envelope."""
    envelope: bytes
    commit: Commit


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that an award follows from."""

    tender: Signed[Tender]
    commits: tuple[Sealed, ...]
    """Ascending by digest."""
    reveals: Mapping[bytes, Reveal]
    """Bidder -> what opens its commitment. A bidder that never revealed, or wrongly, is missing."""
    observations: Mapping[bytes, Observation]
    """Bidder -> what the requester measured; one for each that revealed."""
    records: Mapping[bytes, NodeRecord]
    """Bidder -> its verified node record, the one that its observation holds."""
    seed: bytes
    """The secret behind the tender's `seed_digest`."""
    closed_unix_ms: int
    proof: bytes = b""
    """Of the policy `vdf`."""
    declines: tuple[bytes, ...] = field(default=())
    """Envelopes, as they came."""


def sealed(commit: Signed[Commit]) -> Sealed:
    """Return a checked commitment as a book holds it."""
    return Sealed(peer_id_to_bytes(commit.signer), commit.digest, commit.data, commit.message)


def close_commits(tender: bytes, commits: Sequence[Sealed], *, closed_unix_ms: int) -> CommitSet:
    """Return the commit set over all acknowledged commitments, to be signed and sent before any reveal.

    Args:
        tender: Digest of the tender's envelope.
        commits: All of them, in any order.
        closed_unix_ms: Now.

    Rules: AUC-11.
    """
    digests = [commit.digest for commit in commits]
    return CommitSet(
        tender=tender, root=commit_root(digests), count=len(digests), closed_unix_ms=closed_unix_ms
    )


def equivocators(commits: Sequence[Sealed]) -> frozenset[bytes]:
    """Return the bidders with two commitments among them. Rules: AUC-9."""
    counts = Counter(commit.bidder for commit in commits)
    return frozenset(bidder for bidder, count in counts.items() if count > 1)


def match_reveals(commits: Sequence[Sealed], reveals: Sequence[Reveal]) -> dict[bytes, Reveal] | None:
    """Find the bidder of each of a book's reveals, which stand in the order of their commits.

    Returns:
        Bidder -> reveal; None if a reveal opens no commitment, or the order is wrong.

    Rules: AUC-12.
    """
    found: dict[bytes, Reveal] = {}
    waiting = iter(reveals)
    current = next(waiting, None)
    for commit in commits:
        if current is not None and opens(current, commit.commit, commit.bidder):
            found[commit.bidder] = current
            current = next(waiting, None)
    return found if current is None else None


def vdf_challenge(evidence: Evidence) -> bytes:
    """Return what the delay function of the policy `vdf` is evaluated on. Rules: AUC-23."""
    root = commit_root(commit.digest for commit in evidence.commits)
    return vdf.challenge_of(root, (reveal.salt for reveal in ordered_reveals(evidence)))


def ordered_reveals(evidence: Evidence) -> tuple[Reveal, ...]:
    """Return the reveals in the order of their commits, without those of equivocators. Rules: AUC-12."""
    cheats = equivocators(evidence.commits)
    return tuple(
        evidence.reveals[commit.bidder]
        for commit in evidence.commits
        if commit.bidder in evidence.reveals and commit.bidder not in cheats
    )


def decide(evidence: Evidence) -> Ranking:
    """Apply the award rule to the evidence.

    Raises:
        LocalProtocolError: The seed is not the one that the tender names, or the proof of the policy is missing.

    Rules: AUC-9, AUC-12, AUC-15 to AUC-23.
    """
    tender = evidence.tender.message
    if sha256(evidence.seed) != tender.seed_digest:  # AUC-15
        raise LocalProtocolError("the seed is not the one that the tender names")
    is_delayed = tender.policy == "vdf"
    if bool(evidence.proof) != is_delayed:  # AUC-23
        raise LocalProtocolError("the policy `vdf` alone has a proof, and needs it")
    dropped: dict[bytes, tuple[str, ...]] = {}
    entries = []
    cheats = equivocators(evidence.commits)
    for commit in evidence.commits:
        bidder = commit.bidder
        if bidder in cheats:  # AUC-9
            dropped[bidder] = ("equivocation",)
        elif bidder not in evidence.reveals:  # AUC-12
            dropped[bidder] = ("reveal_missing",)
        else:
            entries.append(
                Entry(
                    bidder,
                    evidence.reveals[bidder].bid,
                    evidence.observations[bidder],
                    evidence.records[bidder],
                    commit.commit.record_sequence,
                )
            )
    seed = vdf.seed_of(evidence.proof) if is_delayed else evidence.seed
    return rank(tender, entries, seed=seed, closed_unix_ms=evidence.closed_unix_ms, dropped=dropped)


def build_book(evidence: Evidence, commit_set: bytes) -> BidBook:
    """Return the bid book, to be signed by the requester and stored before anybody is awarded.

    Args:
        evidence: What there is; see `decide`.
        commit_set: The enveloped commit set, as the bidders saw it.

    Raises:
        LocalProtocolError: As `decide`.

    Rules: AUC-13 to AUC-23.
    """
    ranking = decide(evidence)
    reveals = ordered_reveals(evidence)
    cheats = equivocators(evidence.commits)
    shown = {bidder for bidder in evidence.reveals if bidder not in cheats}
    return BidBook(
        tender=evidence.tender.data,
        declines=evidence.declines,
        commits=tuple(commit.envelope for commit in evidence.commits),
        commit_set=commit_set,
        reveals=reveals,
        observations=tuple(evidence.observations[bidder] for bidder in sorted(shown)),
        exclusions=ranking.exclusions,
        scores=ranking.scores,
        ranking=ranking.ranking,
        proof=evidence.proof,
        closed_unix_ms=evidence.closed_unix_ms,
        seed=evidence.seed,
    )
