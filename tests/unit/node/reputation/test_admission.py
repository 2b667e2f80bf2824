"""Who may have a job: the gate, the room in a stake, and places for newcomers. REP-24, REP-25, REP-26, REP-34."""

from dataclasses import dataclass, field

from skyops_p2p.core.auction.events import Bidder
from skyops_p2p.core.reputation.accuracy import Tally
from skyops_p2p.core.reputation.parameters import DEFAULTS
from skyops_p2p.core.reputation.ratings import Role
from skyops_p2p.core.reputation.standings import Standing
from skyops_p2p.core.reputation.uses import Record
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.node.reputation.admission import Admission, admit, value_of
from skyops_p2p.types import PeerId
from tests.unit.node.jobs.job_world import spec

BOB, CAROL = PeerId("bob"), PeerId("carol")
UNIT = DEFAULTS.unit
RICH = Record(streak=20, checked=20, stake=1000 * UNIT)
NEW = Record(streak=0, checked=0, stake=1000 * UNIT)


def job_id(*, is_lane: bool) -> bytes:
    """Return an id that does, or does not, draw the probation lane."""
    tried = (number.to_bytes(16, "big") for number in range(1000))
    lots = ((one, int.from_bytes(sha256(b"skyops/probation/1" + one)[:4], "big")) for one in tried)
    return next(one for one, lot in lots if (lot * 1000 >> 32 < 120) is is_lane)


@dataclass
class Known:
    """A node's scores and prices, as admission asks for them."""

    records: dict[PeerId, Record]
    price: int = UNIT // 2
    opened: int = 0
    book: "Known | None" = None
    scores: object = field(default_factory=object)
    banned: frozenset[PeerId] = frozenset()

    def __post_init__(self) -> None:
        self.book = self

    def account_of(self, peer: PeerId) -> bytes:
        return peer.encode()

    def is_known(self, account: bytes) -> bool:
        return PeerId(account.decode()) in self.records

    def open_value(self, _account: bytes) -> int:
        return self.opened

    def price_of(self, _peer: PeerId) -> int:
        return self.price

    def record(self, account: bytes, *, open_value: int) -> Record:
        found = self.records[PeerId(account.decode())]
        return Record(found.streak, found.checked, found.stake, open_value)

    def standing(self, account: bytes, role: Role) -> Standing:
        is_banned = PeerId(account.decode()) in self.banned
        return Standing(
            account, role, 469_370, 450_000, 500_000, 500_000, 450_000, 10**6, Tally(), 0, is_banned
        )


def bidder(peer: PeerId, reputation: int = 500_000) -> Bidder:
    return Bidder(
        peer=peer,
        record=None,
        round_trip_ms=1,
        bytes_per_s=1,
        reputation=reputation,
        stake_weight=1,
        recent_awards=0,
    )


def admitted(known: Known, *bidders: Bidder, is_lane: bool = False, **changes: object) -> Admission:
    return admit(bidders, spec(**changes), job_id=job_id(is_lane=is_lane), standing=known)  # type: ignore[arg-type]


def codes(found: Admission) -> dict[PeerId, str]:
    return {outcome.peer: outcome.code for outcome in found.unfit}


def test_whoever_is_below_the_gate_is_not_asked() -> None:
    found = admitted(
        Known({BOB: RICH, CAROL: RICH}), bidder(BOB, DEFAULTS.gate), bidder(CAROL, DEFAULTS.gate - 1)
    )
    assert [one.peer for one in found.bidders] == [BOB]
    assert (codes(found), found.refused, found.gate) == ({CAROL: "reputation"}, {CAROL}, DEFAULTS.gate)


def test_a_job_may_take_the_risk_itself() -> None:
    poor = Known({BOB: Record(0, 0, 0)})
    assert admitted(poor, bidder(BOB, 288_539), placement={"reputation_min": 0.2}).bidders[0].peer == BOB
    assert codes(admitted(poor, bidder(BOB, 288_539), placement={"reputation_min": 0.3})) == {
        BOB: "reputation"
    }


def test_a_stake_covers_one_and_a_half_times_what_is_open() -> None:
    stake = 3 * UNIT
    room = Known({BOB: Record(20, 20, stake)}, price=UNIT, opened=UNIT)
    assert admitted(room, bidder(BOB)).bidders
    room.opened += 1
    assert codes(admitted(room, bidder(BOB))) == {BOB: "exposure"}
    asks_more = {"reputation_min": 0.6}
    assert codes(admitted(room, bidder(BOB, 700_000), placement=asks_more)) == {BOB: "exposure"}
    assert admitted(room, bidder(BOB), placement={"reputation_min": 0.2}).bidders, "its own risk"


def test_what_could_not_be_looked_up_is_held_against_nobody() -> None:
    assert admitted(Known({}), bidder(BOB)).bidders[0].peer == BOB
    nothing = Known({BOB: RICH})
    nothing.book = None
    assert admitted(nothing, bidder(BOB, 0)).gate == 0


def test_some_tenders_are_kept_for_newcomers() -> None:
    known = Known({BOB: RICH, CAROL: NEW})
    both = (bidder(BOB), bidder(CAROL))
    found = admitted(known, *both, is_lane=True)
    assert ([one.peer for one in found.bidders], found.is_lane, found.gate) == ([CAROL], True, 0)
    assert codes(found) == {BOB: "kept_for_newcomers"}
    assert not admitted(known, *both).is_lane


def test_no_place_is_kept_where_all_or_none_are_newcomers_or_the_job_is_large_or_asks_for_more() -> None:
    both = (bidder(BOB), bidder(CAROL))
    assert not admitted(Known({BOB: NEW, CAROL: NEW}), *both, is_lane=True).is_lane
    assert not admitted(Known({BOB: RICH, CAROL: RICH}), *both, is_lane=True).is_lane
    mixed = Known({BOB: RICH, CAROL: NEW})
    assert not admitted(mixed, *both, is_lane=True, placement={"reputation_min": 0.4}).is_lane
    assert not admitted(mixed, *both, is_lane=True, award={"policy": "wrr"}).is_lane
    mixed.price = 2 * UNIT
    assert not admitted(mixed, *both, is_lane=True).is_lane
    banned = Known({BOB: RICH, CAROL: NEW}, banned=frozenset({CAROL}))
    assert not admitted(banned, *both, is_lane=True).is_lane


def test_a_job_exposes_its_first_hour_or_its_budget() -> None:
    assert value_of(spec(timeouts={"execution": "30m"}), 2 * UNIT) == UNIT
    assert value_of(spec(timeouts={"execution": "5h"}), 2 * UNIT) == 2 * UNIT
    assert value_of(spec(price={"per_hour_max": 9, "total_max": 0.5}), 2 * UNIT) == UNIT // 2
