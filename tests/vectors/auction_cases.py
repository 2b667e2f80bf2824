"""Vectors of chapter 04: sealed bids, lots, and whole auctions with their books, honest and not."""

from typing import Any

from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.book import Evidence, Sealed, build_book, close_commits, sealed
from skyops_p2p.core.auction.policies import lot
from skyops_p2p.core.auction.sealing import commitment_of, seal_bid
from skyops_p2p.core.auction.tenders import check_tender
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import Signed, open_envelope, seal
from skyops_p2p.wire.messages import auction
from skyops_p2p.wire.messages.peering import GpuPart, NodeRecord
from skyops_p2p.wire.model import Message, encode_message
from tests.vectors.examples import BID, HARDWARE, NEEDS, TENDER, node_record
from tests.vectors.people import ALICE, BOB, CAROL, MALLORY, NOW, RULES, Person

Case = dict[str, Any]
SEED = bytes([5] * 32)
"""What TENDER's seed digest is of."""
WANTED = NEEDS.model_copy(update={"gpu_models": (), "needs_hard_limits": True, "runtime": "wasm"})
WORKERS = (BOB, CAROL, MALLORY)


def raw(who: Person) -> bytes:
    return peer_id_to_bytes(who.node_key.peer_id)


def seal_cases() -> list[Case]:
    tender = bytes(range(32))
    return [
        {
            "name": f"{name}, salt {salt}",
            "tender": tender.hex(),
            "bidder": raw(who).hex(),
            "bid": canonical.encode(bid.to_wire()).hex(),
            "salt": (bytes([salt]) * 32).hex(),
            "commitment": commitment_of(tender, raw(who), bid, bytes([salt]) * 32).hex(),
        }
        for who in (BOB, CAROL)
        for name, bid in (
            (f"{who.name}, one GPU", BID),
            (f"{who.name}, free, no GPU", BID.model_copy(update={"price": 0, "devices": (), "vram_mib": 0})),
        )
        for salt in (0, 255)
    ]


def lot_cases() -> list[Case]:
    return [
        {
            "name": f"seed {seed.hex()[:4]}, {who.name}, weight {weight}",
            "seed": seed.hex(),
            "bidder": raw(who).hex(),
            "weight": weight,
            "lot": str(lot(seed, raw(who), weight)),
        }
        for seed in (bytes(32), sha256(b"seed"))
        for who in WORKERS
        for weight in (0, 1, 7, 2**53 - 1)
    ]


# --- whole auctions ---------------------------------------------------------------------------------------------
def record_of(who: Person, vram_mib: int, **changes: Any) -> bytes:
    gpu = GpuPart(model="A100", vram_mib=vram_mib, compute_capability="8.0", uuid="")
    fields = {
        **dict(node_record()),
        "peer": raw(who),
        "binding": who.binding,
        "hardware": HARDWARE.model_copy(update={"gpus": (gpu,)}),
        **changes,
    }
    return seal(NodeRecord.model_validate(fields), who.node_key, RULES.network)


def bid_of(who: Person, vram_mib: int, price: int) -> auction.Bid:
    return BID.model_copy(
        update={"price": price, "devices": (f"{who.node_key.peer_id}/0",), "vram_mib": vram_mib}
    )


def observation(who: Person, record: bytes, **changes: Any) -> auction.Observation:
    fields = {
        "bidder": raw(who),
        "round_trip_ms": 25,
        "transfer_ms": 4000,
        "reputation": 550_000,
        "stake_weight": 20,
        "recent_awards": 2,
        "record": record,
        "throughput": 150_000,
    }
    return auction.Observation.model_validate({**fields, **changes})


class Market:
    """One auction of alice's: what was said, and what it comes to.

    Args:
        offers: Of each bidder its GPU memory, its price, and changes of its observation.
        silent: Those who do not reveal.
        tender: Changes of the tender.
    """

    def __init__(
        self,
        offers: dict[Person, tuple[int, int, dict[str, Any]]],
        *,
        silent: tuple[Person, ...] = (),
        **tender: Any,
    ) -> None:
        message = TENDER.model_copy(update={"needs": WANTED, **tender})
        self.steps: list[Case] = []
        data = seal(message, ALICE.node_key, RULES.network)
        self.tender: Signed[auction.Tender] = check_tender(data, RULES, now=NOW)
        commits: list[Sealed] = []
        reveals, observations, records = {}, {}, {}
        for who, (vram_mib, price, changes) in offers.items():
            self.say(ALICE, who, data)
            record = record_of(who, vram_mib)
            salt = sha256(who.name.encode())
            commit, reveal = seal_bid(
                self.tender.digest, raw(who), bid_of(who, vram_mib, price), salt, record_sequence=1
            )
            envelope = seal(commit, who.node_key, RULES.network)
            self.say(who, ALICE, envelope)
            commits.append(sealed(open_envelope(envelope, auction.Commit, RULES.network)))
            self.say(
                ALICE, who, seal(auction.CommitAck(commit=commits[-1].digest), ALICE.node_key, RULES.network)
            )
            if who not in silent:
                reveals[raw(who)] = reveal
                observations[raw(who)] = observation(who, record, **changes)
                records[raw(who)] = open_envelope(record, NodeRecord, RULES.network).message
        self.evidence = Evidence(
            tender=self.tender,
            commits=tuple(sorted(commits, key=lambda commit: commit.digest)),
            reveals=reveals,
            observations=observations,
            records=records,
            seed=SEED,
            closed_unix_ms=NOW + 900,
        )
        closed = close_commits(self.tender.digest, commits, closed_unix_ms=NOW + 500)
        self.commit_set = seal(closed, ALICE.node_key, RULES.network)
        self._reveal(offers)
        self.book = build_book(self.evidence, self.commit_set)
        self._award(offers)

    def say(self, sender: Person, to: Person, what: bytes | Message) -> None:
        data = what if isinstance(what, bytes) else encode_message(what)
        self.steps.append({"from": sender.name, "to": to.name, "bytes": data.hex()})

    def _reveal(self, offers: dict[Person, Any]) -> None:
        digests = tuple(commit.digest for commit in self.evidence.commits)
        for who in offers:
            self.say(ALICE, who, auction.RevealRequest(commit_set=self.commit_set, digests=digests))
            if raw(who) in self.evidence.reveals:
                self.say(who, ALICE, self.evidence.reveals[raw(who)])

    def _award(self, offers: dict[Person, Any]) -> None:
        winner = self.book.ranking[0] if self.book.ranking else b""
        for who in offers:
            if raw(who) != winner:
                release = auction.Release(
                    tender=self.tender.digest,
                    code="not_chosen" if winner else "no_match",
                    book=sha256(self.signed()),
                )
                self.say(ALICE, who, seal(release, ALICE.node_key, RULES.network))
                self.say(who, ALICE, auction.Received())
                continue
            award = auction.Award(
                tender=self.tender.digest,
                book=sha256(self.signed()),
                winner=winner,
                rank=0,
                price=self.evidence.reveals[winner].bid.price,
                expires_unix_ms=NOW + 2000,
            )
            envelope = seal(award, ALICE.node_key, RULES.network)
            self.say(ALICE, who, envelope)
            confirm = auction.Confirm(award=sha256(envelope), is_accepted=True, code="accepted")
            self.say(who, ALICE, seal(confirm, who.node_key, RULES.network))

    def signed(self, who: Person = ALICE, **changes: Any) -> bytes:
        return seal(self.book.model_copy(update=changes), who.node_key, RULES.network)


def plain(**tender: Any) -> Market:
    return Market(
        {
            BOB: (81_920, 1_200_000, {}),
            CAROL: (49_152, 1_500_000, {"stake_weight": 60}),
            MALLORY: (49_152, 1_250_000, {"reputation": 410_000, "recent_awards": 9}),
        },
        **tender,
    )


def book_cases() -> list[Case]:
    three = plain(tier_mib=81_920)
    good: list[tuple[str, Market]] = [
        ("three bids, composite", three),
        ("three bids, the smallest memory first", plain()),
        ("three bids, wrr", plain(policy="wrr", price_floor=900_000, tier_mib=81_920)),
        ("three bids, poc", plain(policy="poc", tier_mib=81_920)),
        ("one above the ceiling, one too far, one below the gate", Market({
            BOB: (81_920, 2_000_001, {}),
            CAROL: (81_920, 1_500_000, {"round_trip_ms": 101}),
            MALLORY: (81_920, 1_500_000, {"reputation": 399_999}),
        })),
        ("one does not reveal", Market(
            {BOB: (81_920, 600_000, {}), CAROL: (81_920, 700_000, {})}, silent=(BOB,))),
        ("denied and not allowed", plain(deny=(raw(BOB),), allow=(raw(BOB), raw(CAROL)))),
        ("too little memory", Market({BOB: (39_999, 600_000, {}), CAROL: (40_000, 1_900_000, {})})),
        ("nobody bids", Market({})),
    ]  # fmt: skip
    cases = [book_case(name, market.signed(), market.steps) for name, market in good]
    return cases + [book_case(name, data, []) for name, data in bad_books(three)]


def bad_books(market: Market) -> list[tuple[str, bytes]]:
    book = market.book
    ranking, scores, reveals = book.ranking, book.scores, book.reveals
    cheaper = reveals[0].model_copy(update={"bid": reveals[0].bid.model_copy(update={"price": 1})})
    lucky = scores[1].model_copy(update={"total": 999_999})
    slow = book.observations[0].model_copy(update={"round_trip_ms": 99})
    wrong_set = close_commits(market.tender.digest, market.evidence.commits[1:], closed_unix_ms=NOW + 500)
    late_set = close_commits(market.tender.digest, market.evidence.commits, closed_unix_ms=NOW + 901)
    signed = market.signed()
    unfounded = auction.Exclusion(bidder=ranking[0], codes=("reputation",))
    return [
        ("the second wins", market.signed(ranking=(ranking[1], ranking[0], *ranking[2:]))),
        ("a score is better than the rule", market.signed(scores=(scores[0], lucky, *scores[2:]))),
        ("an unfounded exclusion", market.signed(exclusions=(unfounded,))),
        ("a reveal that was changed", market.signed(reveals=(cheaper, *reveals[1:]))),
        ("a reveal left out", market.signed(reveals=reveals[1:])),
        ("an observation that was changed", market.signed(observations=(slow, *book.observations[1:]))),
        ("a commit left out", market.signed(commits=book.commits[1:])),
        ("commits out of order", market.signed(commits=book.commits[::-1])),
        ("another commit set", market.signed(commit_set=seal(wrong_set, ALICE.node_key, RULES.network))),
        ("a commit set from after the book", market.signed(commit_set=seal(late_set, ALICE.node_key, RULES.network))),
        ("another seed", market.signed(seed=bytes(32))),
        ("a proof", market.signed(proof=b"x")),
        ("signed by mallory", market.signed(MALLORY)),
        ("a byte changed", signed[:500] + bytes([signed[500] ^ 1]) + signed[501:]),
        ("cut short", signed[:-1]),
    ]  # fmt: skip


def book_case(name: str, data: bytes, steps: list[Case]) -> Case:
    report = audit(data, RULES)
    case: Case = {
        "name": name,
        "network": RULES.network,
        "chain_id": RULES.chain_id,
        "is_testnet": RULES.is_testnet,
        "bytes": data.hex(),
    }
    if report.ok:
        return {**case, "ranking": list(report.ranking), "steps": steps}
    return {**case, "rules": sorted({finding.rule for finding in report.findings})}


FAMILIES = {
    "auction-seals": ("04-auction.md, Commit", seal_cases),
    "auction-lots": ("04-auction.md, Award", lot_cases),
    "auction-books": ("04-auction.md, Bid book and Award", book_cases),
}
