"""The demonstration's stages about awards: jobs land on machines of their size, and everybody can see why."""

from dataclasses import dataclass

from skyops_p2p.core.auction.book import match_reveals, sealed
from skyops_p2p.core.auction.codes import ACCEPTED
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.node.match_view import MatchView
from skyops_p2p.testnet.demo_stage import MICROCREDITS, Demo, failed
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.messages.auction import BidBook, Commit, Score, Tender

SMALL_GIB, LARGE_GIB = 12, 40
_MIB = 1024
_ONE = 1_000_000


@dataclass(frozen=True, slots=True)
class _SeenBid:
    """A bid that was opened."""

    name: str
    """Of the node."""
    vram_gib: float
    model: str


def match(demo: Demo) -> str:
    """Offer a job that needs one GPU, and check the award from its bid book."""
    ended = _match(demo, SMALL_GIB)
    demo.small_book = ended.job_id
    bids, digest = demo.audited(ended.job_id)
    if digest != ended.book_digest:
        raise failed("the bid book is not the one that the award names")
    turned_down = sum(one.code != ACCEPTED for one in ended.outcomes)
    price = ended.price_microcredits_per_hour / MICROCREDITS
    return (
        f"skyops match job.toml: {bids} sealed bids, {demo.name_of(ended.winner)} ({ended.gpu_model}) for {price:g} "
        f"credits/h after {ended.elapsed_ms} ms;\n{turned_down} turned down, with a reason each; "
        f"skyops audit {ended.job_id[:12]}: OK;\n{why(demo, ended.job_id)}."
    )


def route(demo: Demo) -> str:
    """Offer a job that needs much GPU memory, and compare where both have landed, by their bid books."""
    ended = _match(demo, LARGE_GIB)
    demo.audited(ended.job_id)
    sentences, landed = [], []
    for needed, tender_job in ((SMALL_GIB, demo.small_book), (LARGE_GIB, ended.job_id)):
        bids, tier = _bids(demo, demo.book(tender_job))
        winner, sizes = bids[0], sorted(bid.vram_gib for bid in bids)
        if sizes[0] < needed or winner.vram_gib > max(tier, sizes[0]):
            raise failed(f"a job for {needed} GiB has landed on {winner.vram_gib:g} GiB, bids had {sizes}")
        landed.append(winner.vram_gib)
        bid_text = ", ".join(f"{size:g}" for size in sizes)
        sentences.append(f"{needed} GiB: bids with {bid_text} GiB, {winner.name} has it ({winner.model})")
    if _has_small(demo) and landed[0] >= landed[1]:
        raise failed("the small job has landed on a machine as large as the large one's")
    demo.figures["routed_gib"] = {str(SMALL_GIB): landed[0], str(LARGE_GIB): landed[1]}
    return ";\n".join(sentences) + "."


def why(demo: Demo, tender_job: str) -> str:
    """Return why a job's winner has it: the parts of its score, and the next one's."""
    book = demo.book(tender_job)
    if not book.scores:
        raise failed(f"the bid book of {tender_job[:12]} ranks nobody")
    told = [f"{demo.name_of(peer_id_from_bytes(one.bidder))} {_parts(one)}" for one in book.scores[:2]]
    out = f"; {len(book.exclusions)} excluded" if book.exclusions else ""
    return f"why: {', before '.join(told)}{out}"


def _match(demo: Demo, vram_gib: int) -> MatchView:
    """Return a match of a job that is only matched: the network's GPUs are invented, so it could not run."""
    tree = {
        "name": f"demo-{vram_gib}",
        "runtime": "wasm",
        "module": "file:demo.wasm",
        "resources": {"gpu": {"vram": f"{vram_gib}Gi"}},
    }
    ended = demo.client.match(tree, lambda _step: None)
    if not ended.is_matched:
        reasons = ", ".join(f"{reason.nodes} x {reason.code}" for reason in ended.reasons)
        raise failed(f"no worker took the job: {ended.code} ({reasons})")
    return ended


def _bids(demo: Demo, book: BidBook) -> tuple[list[_SeenBid], float]:
    """Return the opened bids of a book that has passed its audit, the winner's first, and the tender's tier in GiB."""
    network = demo.network.record.network
    tender = open_envelope(book.tender, Tender, network).message
    commits = [sealed(open_envelope(data, Commit, network)) for data in book.commits]
    reveals = match_reveals(commits, book.reveals) or {}
    order = [*book.ranking, *(bidder for bidder in reveals if bidder not in book.ranking)]
    found = [(demo.name_of(peer_id_from_bytes(bidder)), reveals[bidder].bid) for bidder in order]
    return [_SeenBid(name, bid.vram_mib / _MIB, bid.gpu_model) for name, bid in found], tender.tier_mib / _MIB


def _has_small(demo: Demo) -> bool:
    """Tell whether the network has a GPU that is enough for the small job alone."""
    sizes = [int(gpu.rpartition(":")[2]) for entry in demo.network.record.nodes for gpu in entry.gpus]
    return any(SMALL_GIB <= size < LARGE_GIB for size in sizes)


def _parts(score: Score) -> str:
    names = ("price", "reputation", "fit", "latency")
    parts = ", ".join(f"{name} {getattr(score, name) / _ONE:.2f}" for name in names)
    return f"{score.total / _ONE:.3f} ({parts})"
