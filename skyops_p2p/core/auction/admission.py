"""May a peer that was not asked bid? What the requester holds against it. Spec: protocol/04-auction.md, "Commit"."""

from skyops_p2p.core.auction.codes import ACCEPTED
from skyops_p2p.core.auction.events import AuctionBegun, Bidder
from skyops_p2p.core.auction.invitation import is_invited
from skyops_p2p.core.auction.round import Round
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import PeerId


def admission_code(begun: AuctionBegun, round_: Round, peer: PeerId, bidder: Bidder | None) -> str:
    """Return `accepted`, or the first code of what speaks against a bid.

    Args:
        begun: With the lists of the job.
        round_: With the tender, whose hash test the peer must pass.
        peer: Who heard the tender by gossip.
        bidder: What the node map knows of it; None if nothing.
    """
    raw, terms = peer_id_to_bytes(peer), begun.terms
    if bidder is None:
        return "unknown_node"
    faults = (
        ("unbound", bidder.record is None),
        ("node_inactive", not bidder.is_trusted),
        ("denied", peer in begun.deny or raw in terms.deny),
        ("not_allowed", bool(begun.allow) and peer not in begun.allow),
        ("not_allowed", bool(terms.allow) and raw not in terms.allow),
        (bidder.stake_code, bool(bidder.stake_code)),
        ("not_invited", not is_invited(round_.tender.message, round_.digest, raw)),
    )
    return next((code for code, is_fault in faults if is_fault), ACCEPTED)
