"""Sealed bids: the commitment that hides a bid, and what opens it. Spec: protocol/04-auction.md, "Commit".

The commitment binds tender, bidder and bid; a random salt keeps anybody from guessing the price. A commitment that is
copied from another bidder opens for nobody, since the bidder's peer id is inside.
"""

from collections.abc import Iterable

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.auction import Bid, Commit, Reveal

BID_DOMAIN = b"skyops/bid/1"


def commitment_of(tender: bytes, bidder: bytes, bid: Bid, salt: bytes) -> bytes:
    """Return the 32 bytes that commit a bidder to a bid.

    Args:
        tender: Digest of the tender's envelope, 32 bytes.
        bidder: Binary peer id.
        bid: What is offered.
        salt: 32 random bytes, used once.

    Rules: AUC-8.
    """
    return sha256(b"".join((BID_DOMAIN, tender, bidder, canonical.encode(bid.to_wire()), salt)))


def seal_bid(
    tender: bytes, bidder: bytes, bid: Bid, salt: bytes, *, record_sequence: int
) -> tuple[Commit, Reveal]:
    """Return the commitment to send now and the reveal to keep for later. Rules: AUC-8."""
    commit = Commit(
        tender=tender,
        commitment=commitment_of(tender, bidder, bid, salt),
        record_sequence=record_sequence,
    )
    return commit, Reveal(tender=tender, bid=bid, salt=salt)


def opens(reveal: Reveal, commit: Commit, bidder: bytes) -> bool:
    """Tell whether a reveal is what a bidder committed to. Rules: AUC-12."""
    if reveal.tender != commit.tender:
        return False
    return commitment_of(commit.tender, bidder, reveal.bid, reveal.salt) == commit.commitment


def check_reveal(reveal: Reveal, commit: Commit, bidder: bytes) -> None:
    """Refuse a reveal that is not what the bidder committed to.

    Raises:
        RemoteProtocolError: Code `reveal_mismatch`.

    Rules: AUC-12.
    """
    if not opens(reveal, commit, bidder):
        raise RemoteProtocolError(
            "the opened bid is not the one committed to", code="reveal_mismatch", rule="AUC-12"
        )


def commit_root(digests: Iterable[bytes]) -> bytes:
    """Return the root of a commit set: SHA-256 of the digests of the commit envelopes, ascending. Rules: AUC-11."""
    return sha256(b"".join(sorted(digests)))
