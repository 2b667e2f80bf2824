"""Vectors of chapter 07: what both sides of a pair do at each step, when all goes well and when it does not."""

from collections.abc import Callable
from typing import Any

from skyops_p2p.core.settlement.lanes import LaneTerms
from skyops_p2p.core.settlement.meters import Counts
from skyops_p2p.core.settlement.vouchers import sign_voucher
from skyops_p2p.wire.messages.settlement import Meter, Voucher
from skyops_p2p.wire.model import decode_message, encode_message
from tests.vectors.pair_talk import facts_written, sides_of, terms_written
from tests.vectors.people import ALICE, BOB, MALLORY
from tests.vectors.settlement_cases import FACTS, PAIR, Case, pair_written, terms

RICH = 10**21
OTHERS = {"alice": "bob", "bob": "alice"}


class PairTalk:
    """Alice and bob, joined by messages that may be lost; what each meters is said step by step."""

    def __init__(self, name: str, *, allotted: int = RICH, prepaid_ms: int = 0, lanes: int = 1) -> None:
        self.name = name
        self.now_ms = 0
        self.steps: list[Case] = []
        self.queue: list[tuple[str, str]] = []
        """(to whom, bytes), the oldest first."""
        self.deadlines: dict[str, int] = {}
        self._sides = sides_of(PAIR, ALICE.wallet, BOB.wallet)
        for who in OTHERS:
            self.funds(who, allotted)
        self.lanes = [terms(number, prepaid_ms=prepaid_ms) for number in range(1, lanes + 1)]
        for lane in self.lanes:
            self.begin(lane)

    def case(self) -> Case:
        """Return the vector."""
        secrets = {"requester_secret": ALICE.wallet.secret.hex(), "worker_secret": BOB.wallet.secret.hex()}
        return {"name": self.name, "pair": pair_written(), **secrets, "steps": self.steps}

    def step(self, who: str, event: str, **said: Any) -> list[Case]:
        """Let one thing happen to a side, write it down, and return its effects."""
        step = {"at_ms": self.now_ms, "who": who, "event": event, **said}
        outcome = self._sides[who].take(step)
        self.steps.append(step | outcome)
        self.deadlines.pop(who, None)
        if "deadline_ms" in outcome:
            self.deadlines[who] = outcome["deadline_ms"]
        effects: list[Case] = outcome["effects"]
        self.queue += [(OTHERS[who], effect["bytes"]) for effect in effects if effect["effect"] == "send"]
        return effects

    def funds(self, who: str, allotted: int, **said: Any) -> "PairTalk":
        self.step(who, "funds", redeemed="0", allotted=str(allotted), shared="0", **said)
        return self

    def begin(self, lane: LaneTerms) -> None:
        for who in ("bob", "alice"):
            self.step(who, "begun", terms=terms_written(lane))

    def deliver(self, messages: int = 1000) -> "PairTalk":
        """Let so many messages arrive, in order."""
        while self.queue and messages:
            to, data = self.queue.pop(0)
            self.step(to, "heard", bytes=data)
            messages -= 1
        return self

    def lose(self) -> "PairTalk":
        """Let what is under way be lost."""
        self.queue.clear()
        return self

    def work(
        self,
        total_ms: int,
        *,
        lane: int = 0,
        alice_ms: int | None = None,
        unseen_ms: int = 0,
        has_alice: bool = True,
    ) -> "PairTalk":
        """Have both sides read a total; alice may have metered something else, not have seen bob, or be away."""
        self.now_ms += 1000
        name = self.lanes[lane].lane.hex()
        counts = {
            "bob": Counts(total_ms, total_ms // 2),
            "alice": Counts(total_ms if alice_ms is None else alice_ms),
        }
        for who in ("alice", "bob") if has_alice else ("bob",):
            unseen = {"unseen_ms": unseen_ms} if who == "alice" and unseen_ms else {}
            self.step(who, "metered", lane=name, counts=counts[who].part().model_dump(), **unseen)
        return self

    def finish(self, *, lane: int = 0, has_facts: bool = True) -> "PairTalk":
        facts = facts_written(FACTS) if has_facts else None
        for who in ("bob", "alice"):
            self.step(who, "finished", lane=self.lanes[lane].lane.hex(), facts=facts)
        return self

    def lapse(self, *, lane: int = 0) -> "PairTalk":
        for who in ("bob", "alice"):
            self.step(who, "lapsed", lane=self.lanes[lane].lane.hex())
        return self

    def restart(self, who: str, allotted: int = RICH) -> "PairTalk":
        """End a side and bring it back with nothing but what it stored; the session and all in it are lost."""
        self.lose()
        self.step(who, "restarted")
        self.funds(who, allotted)
        for one in OTHERS:
            self.step(one, "linked")
        return self

    def wait(self, who: str, *, at_ms: int = 0) -> "PairTalk":
        """Let a side's next deadline come, late if so wished."""
        self.now_ms = max(self.now_ms, self.deadlines[who], at_ms)
        self.step(who, "deadline")
        return self


def _run(name: str) -> PairTalk:
    return PairTalk(name).deliver().work(10_000).deliver().work(30_000).deliver()


def _forged() -> PairTalk:
    talk = (
        PairTalk("vouchers that are not alice's, not the next, or not exact")
        .deliver()
        .work(10_000)
        .deliver(1)
    )
    ((to, data),) = talk.queue
    assert to == "bob"
    good = decode_message(Voucher, bytes.fromhex(data))
    item = good.items[0]
    rows = [
        (MALLORY.wallet, 10**16, item),
        (ALICE.wallet, 10**16 + 1, item),
        (ALICE.wallet, 10**16 - 1, item),
        (ALICE.wallet, 10**16, item.model_copy(update={"interval": 2})),
        (ALICE.wallet, 10**16, item.model_copy(update={"lane": bytes(32)})),
    ]
    talk.lose()
    for wallet, amount, said in rows:
        forged = sign_voucher(PAIR, wallet, cumulative=amount, receipts_root=bytes(32), items=(said,))
        talk.step("bob", "heard", bytes=encode_message(forged).hex())
        talk.lose()
    talk.step("bob", "heard", bytes=data)
    talk.deliver()
    replayed = sign_voucher(PAIR, ALICE.wallet, cumulative=1, receipts_root=bytes(32), items=(item,))
    talk.step("bob", "heard", bytes=encode_message(replayed).hex())
    return talk.lose()


def _behind() -> PairTalk:
    """Alice comes back with a database from before: she has promised more than she knows."""
    talk = _run("a requester whose record is too old signs nothing more")
    talk.step("alice", "restarted", stored_ms=0)
    return talk.funds("alice", RICH).work(70_000).deliver()


def _later_meter() -> PairTalk:
    talk = _run("meters of a lane that is unknown, or paid already")
    unknown = Meter(lane=bytes(32), interval=1, counts=Counts(1).part(), is_last=False)
    paid = Meter(lane=talk.lanes[0].lane, interval=1, counts=Counts(10_000).part(), is_last=False)
    for message in (unknown, paid):
        talk.step("alice", "heard", bytes=encode_message(message).hex())
    return talk.deliver()


def _two_lanes() -> PairTalk:
    talk = PairTalk(
        "meters that come while a voucher is out are paid together by the next", lanes=3
    ).deliver()
    for lane in range(3):
        talk.work(10_000 + lane, lane=lane)
    return talk.deliver().finish(lane=1).finish(lane=2).deliver()


TALKS: tuple[Callable[[], PairTalk], ...] = (
    lambda: _run("a lane of three intervals and its receipt").work(41_000).finish().deliver(),
    lambda: PairTalk("paid ahead", prepaid_ms=10_000).deliver().work(10_000).deliver().work(12_000).finish().deliver(),
    lambda: _run("a run without a result is paid, and has no receipt").work(33_000).finish(has_facts=False).deliver(),
    _two_lanes,
    lambda: PairTalk("an offer that is lost is made again").lose().wait("alice").deliver(),
    lambda: PairTalk("a worker that does not answer").lose().wait("alice").lose().wait("alice", at_ms=30_000),
    lambda: PairTalk("a voucher that is lost is sent again")
    .deliver().work(10_000).deliver(1).lose().wait("alice").deliver(),
    lambda: PairTalk("an answer that is lost is given again")
    .deliver().work(10_000).deliver(2).lose().wait("alice").deliver(),
    lambda: PairTalk("a meter that is lost is sent again").deliver().work(10_000).lose().wait("bob").deliver(),
    lambda: _run("a requester restarts with a voucher out").work(70_000).deliver(1).restart("alice").deliver(),
    lambda: _run("a requester restarts before it heard the meter").work(70_000).restart("alice").deliver(),
    lambda: _run("a requester that was away believes one interval")
    .restart("alice").work(70_000, has_alice=False).deliver(),
    lambda: _run("and no more than that").restart("alice").work(100_000, has_alice=False).deliver(),
    lambda: _run("a requester that could not hear its worker believes it about that time")
    .work(70_000, alice_ms=45_000, unseen_ms=25_000).deliver(),
    lambda: _run("and about nothing more").work(100_000, alice_ms=40_000, unseen_ms=25_000).deliver(),
    lambda: _run("a worker restarts with a meter out, and is paid for it").work(70_000).restart("bob").deliver(),
    lambda: _run("a worker restarts after it took a voucher").work(70_000).deliver(2).restart("bob").deliver(),
    lambda: _run("both restart with a receipt under way")
    .finish().deliver(2).restart("alice").restart("bob").deliver(),
    lambda: PairTalk("a program that is not paid is paused, stopped, and paid late")
    .deliver().work(10_000).deliver(1).lose().wait("bob", at_ms=6000).lose().wait("bob", at_ms=126_000).lose()
    .wait("alice").deliver(),
    lambda: _run("a lease that lapses costs nothing further").work(40_000).lapse().deliver(),
    lambda: PairTalk("meters too far apart").deliver().work(10_000, alice_ms=7999).deliver(),
    lambda: PairTalk("meters just not too far apart").deliver().work(10_000, alice_ms=8000).deliver(),
    lambda: PairTalk("no deposit for a lane", allotted=10**16).deliver(),
    lambda: PairTalk("a deposit that shrinks pauses, redeems and resumes")
    .deliver().work(10_000).deliver().funds("bob", 5 * 10**15).funds("bob", RICH),
    lambda: PairTalk("an allotment that is asked back").deliver().work(10_000).deliver()
    .funds("bob", RICH, leaves_at_ms=6 * 3_600_000),
    lambda: PairTalk("a runway of ten minutes", allotted=10**12 * 620_000).deliver().work(10_000).deliver()
    .work(30_000).deliver(),
    _forged,
    _behind,
    _later_meter,
)  # fmt: skip


def pair_cases() -> list[Case]:
    return [talk().case() for talk in TALKS]


FAMILIES = {"pairs": ("07-settlement.md, Requester and Worker", pair_cases)}
