"""A worker and a requester that attack a match, over a simulated network in virtual time."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.rules import AUCTION_PROTOCOL
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.node.match_view import MatchView
from skyops_p2p.node.runtime import Node
from skyops_p2p.ports import Verdict
from skyops_p2p.simulation.clock import SimClock
from skyops_p2p.simulation.network import SimNetwork
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.auction import Commit, Reveal, Tender
from skyops_p2p.wire.model import encode_message
from tests.unit.core.auction.market import tender_of
from tests.unit.node.small_world import SmallWorld, identity, small_world
from tests.unit.node.test_market import RULES, job, market
from tests.unit.node.test_market_books import proofs

MALLORY = identity("mallory")
PROTOCOL = RULES.protocol_id(AUCTION_PROTOCOL)


def commit_to(tender: bytes, number: int) -> bytes:
    commit = Commit(tender=sha256(tender), commitment=number.to_bytes(32, "big"), record_sequence=1)
    return seal(commit, MALLORY.node_key, RULES.network)


class Flood:
    """Mallory, who is asked for a bid and sends many of them, before she answers and after.

    Args:
        count: Of different commitments.
        repeats: Of each.
    """

    def __init__(self, count: int, repeats: int = 1) -> None:
        self.codes: list[str] = []
        """What became of each, in order."""
        self.is_over = trio.Event()
        self._count, self._repeats = count, repeats
        self._has_begun = False

    def __call__(self, network: SimNetwork, moment: str, kind: str, request: bytes) -> None:
        if (moment, kind) == ("takes", "tender") and not self._has_begun:
            self._has_begun = True
            network.nursery.start_soon(self._send_all, network, request)

    async def _send_all(self, network: SimNetwork, tender: bytes) -> None:
        alice = identity("alice").node_key.peer_id
        for number in range(self._count):
            for _ in range(self._repeats):
                # By the class, so that mallory's own watcher is not asked again.
                try:
                    await SimNetwork.request(
                        network, alice, PROTOCOL, commit_to(tender, number), timeout_s=2.0
                    )
                    self.codes.append("taken")
                except RemoteProtocolError as refused:
                    self.codes.append(refused.code)
        self.is_over.set()


async def attacked(world: SmallWorld, flood: Flood) -> tuple[MatchView, bytes]:
    """Run a match with mallory's flood beside it; return how it ended, and the bid book.

    Carol hears the tender and falls silent, so the window stays open.
    """
    world.taps.update(mallory=flood, carol=_fall_silent)
    async with (
        world.node("alice") as alice,
        world.node("bob", join="alice") as bob,
        world.node("carol", join="alice"),
        world.node("mallory", join="alice"),
    ):
        await market(world, alice)
        ended = await alice.match(job())
        with trio.fail_after(60):
            await flood.is_over.wait()
        assert ended.is_matched
        assert ended.winner == bob.peer_id
        return ended, world.shelves["alice"].books[bytes.fromhex(ended.book_digest)]


def _fall_silent(network: SimNetwork, moment: str, kind: str, _request: bytes) -> None:
    if (moment, kind) == ("takes", "tender"):
        network.fabric.freeze(network.number)


async def test_bidder_with_two_bids_is_proven_and_excluded(autojump_clock: MockClock) -> None:  # AUC-9
    async with small_world() as world:
        ended, book = await attacked(world, Flood(2))
        (outcome,) = [one for one in ended.outcomes if one.peer_id == MALLORY.node_key.peer_id]
        assert outcome.code == "equivocation"
        assert proofs(world, "alice") == [("two_commits", MALLORY.node_key.peer_id)]
        assert book.count(b"/skyops/commit\x1a") == 3, "two of hers, and bob's"


async def test_flood_of_bids_is_refused_and_costs_nobody_its_match(autojump_clock: MockClock) -> None:
    flood = Flood(40, repeats=3)
    async with small_world() as world:
        ended, book = await attacked(world, flood)
        assert ended.elapsed_ms < limits.MATCH_TIMEOUT_S * 1000
        assert book.count(b"/skyops/commit\x1a") == 3
        assert len(flood.codes) == 120
        assert set(flood.codes) <= {"taken", "equivocation", "unknown_tender"}
        assert flood.codes.count("taken") <= 3, "the first one, and its repetitions"
        assert proofs(world, "alice") == [("two_commits", MALLORY.node_key.peer_id)]


async def test_reveal_without_a_commitment_is_no_request(autojump_clock: MockClock) -> None:
    """Reveals are answers; one that comes by itself is refused whoever gets it."""
    async with small_world() as world, world.node("alice") as alice, world.node("bob", join="alice") as bob:
        await alice.wait_for(lambda node: len(node.map()) == 2, timeout_s=60)
        honest = Reveal.model_validate({"tender": bytes(32), "bid": _bid(), "salt": bytes(32)})
        with pytest.raises(RemoteProtocolError) as refused:
            await bob._network.request(alice.peer_id, PROTOCOL, encode_message(honest), timeout_s=2.0)
        assert refused.value.code == "wrong_type"


def _bid() -> dict[str, object]:
    return {
        "price": 1,
        "devices": (),
        "gpu_model": "",
        "vram_mib": 0,
        "speed_milli": 0,
        "cached_permille": 0,
        "starts_in_ms": 0,
        "valid_until_unix_ms": 0,
    }


# --- tenders by gossip ------------------------------------------------------------------------------------------
def gossiped(number: int = 0, **changes: object) -> bytes:
    now = SimClock().now_ms()
    tender = tender_of(
        requester=peer_id_to_bytes(MALLORY.node_key.peer_id),
        network=RULES.network,
        job_id=number.to_bytes(16, "big"),
        issued_unix_ms=now,
        expires_unix_ms=now + 10_000,
    )
    changed = Tender.model_validate({**dict(tender), **changes})
    return seal(changed, MALLORY.node_key, RULES.network)


def judge(bob: Node, payload: bytes, author: PeerId = MALLORY.node_key.peer_id) -> Verdict:
    return bob._market._judge("tenders", author, payload)


async def test_flood_of_gossiped_tenders_is_not_forwarded(autojump_clock: MockClock) -> None:
    async with small_world() as world, world.node("bob") as bob:
        verdicts = [judge(bob, gossiped(number)) for number in range(100)]
        burst = int(limits.TENDER_GOSSIP_BURST)
        assert verdicts == [Verdict.ACCEPT] * burst + [Verdict.IGNORE] * (100 - burst)
        assert judge(bob, b"", identity("carol").node_key.peer_id) is Verdict.REJECT, "others are judged"
        await trio.sleep(1)
        assert judge(bob, gossiped(101)) is Verdict.ACCEPT


WRONG: dict[str, tuple[Callable[[], bytes], str, Verdict]] = {
    "empty": (lambda: b"", "mallory", Verdict.REJECT),
    "cut": (lambda: gossiped()[:-1], "mallory", Verdict.REJECT),
    "not canonical": (lambda: gossiped() + b"\x00", "mallory", Verdict.REJECT),
    "of another": (gossiped, "carol", Verdict.REJECT),
    "oversized": (lambda: bytes(limits.TENDER_BYTES_MAX + 1), "mallory", Verdict.REJECT),
    "contradicts itself": (lambda: gossiped(price_floor=2_000_000), "mallory", Verdict.REJECT),
    "lives too long": (lambda: gossiped(issued_unix_ms=0), "mallory", Verdict.REJECT),
    "past its deadline": (
        lambda: gossiped(expires_unix_ms=SimClock().now_ms(), issued_unix_ms=SimClock().now_ms() - 10_000),
        "mallory",
        Verdict.IGNORE,
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_tender_is_not_forwarded(case: str, autojump_clock: MockClock) -> None:
    payload, author, verdict = WRONG[case]
    async with small_world() as world, world.node("bob") as bob:
        assert judge(bob, payload(), identity(author).node_key.peer_id) is verdict


async def test_tenders_that_wait_to_be_heard_are_bounded(autojump_clock: MockClock) -> None:
    async with small_world() as world, world.node("bob") as bob:
        for number in range(2 * limits.TENDERS_OPEN_MAX):
            bob._market._hear(identity("alice").node_key.peer_id, gossiped(number))
        assert bob._market._heard_out.statistics().current_buffer_used <= limits.TENDERS_OPEN_MAX
        await trio.sleep(2)
        assert bob._market._heard_out.statistics().current_buffer_used == 0
        bob._market.bidding.desk.check_invariants()
