"""Vectors of chapter 04: whole auctions as timed steps of event -> effects, good ones and those that go wrong."""

from typing import Any

from skyops_p2p.core.auction.sealing import commit_root
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages import auction
from skyops_p2p.wire.model import Message, encode_message
from tests.vectors.auction_cases import WANTED, Market, record_of
from tests.vectors.examples import TENDER
from tests.vectors.people import ALICE, BOB, CAROL, MALLORY, NOW, RULES, Person
from tests.vectors.talk import message_name, sides_of

Case = dict[str, Any]
HOP_MS = 10
"""How long a message is under way, and what the next thing takes to happen."""
OFFERS = {BOB: 1_200_000, CAROL: 1_500_000, MALLORY: 1_700_000}
"""Whoever is cheaper wins: bob, then carol, then mallory."""


def party(person: Person) -> Case:
    return {
        "name": person.name,
        "peer_id": person.node_key.peer_id,
        "node_seed": person.node_key.seed.hex(),
    }


def worker(person: Person, price: int) -> Case:
    record, salt = record_of(person, 81_920), sha256(person.name.encode())
    return {**party(person), "record": record.hex(), "price": price, "salt": salt.hex()}


class Talk:
    """Alice and her workers, joined by messages that may be lost.

    Args:
        name: Of the case.
        offers: Price of each worker.
        asked: Those whom alice knows and asks directly; all if omitted.
        terms: Changes of the tender.
    """

    def __init__(
        self,
        name: str,
        offers: dict[Person, int] = OFFERS,
        *,
        asked: tuple[Person, ...] | None = None,
        **terms: Any,
    ) -> None:
        workers = [worker(person, price) for person, price in offers.items()]
        bidders = [
            {
                "name": person.name,
                "record": record_of(person, 81_920).hex(),
                "is_asked": asked is None or person in asked,
                "round_trip_ms": 20,
                "bytes_per_s": 12_500_000,
                "reputation": 550_000,
                "stake_weight": 20,
                "recent_awards": 2,
                "throughput": 0,
            }
            for person in offers
        ]
        message = TENDER.model_copy(update={"needs": WANTED, "invite_share": 0, **terms})
        requester = {
            **party(ALICE),
            "secret": bytes([5] * 32).hex(),
            "timeout_ms": 5000,
            "expects_gossip": asked is not None,
            "terms": encode_message(message).hex(),
            "bidders": bidders,
        }
        self.case: Case = {"name": name, **NETWORK, "requester": requester, "workers": workers}
        self._sides = sides_of(self.case)
        self._steps: list[Case] = []
        self._at_ms = int(NOW)
        self._queue: list[Case] = []
        self.lost: set[tuple[str, str]] = set()
        """(worker, message) of requests that do not arrive."""
        self.held: set[tuple[str, str]] = set()
        """(worker, message) of requests whose answers do not arrive."""
        self.kept: dict[tuple[str, str], Case] = {}
        """The answers that did not."""
        self._deadlines: dict[str, int] = {}

    def step(self, who: str, event: str, **said: Any) -> list[Case]:
        """Let one thing happen to a side, write it down, and return its effects."""
        step = {"unix_ms": self._at_ms, "who": who, "event": event, **said}
        outcome = self._sides[who].take(step)
        self._steps.append({**step, **outcome})
        self._deadlines[who] = outcome.get("deadline_unix_ms", 0)
        self._at_ms += HOP_MS
        if who == "alice":
            self._queue += [effect for effect in outcome["effects"] if effect["effect"] in _MOVING]
        effects: list[Case] = outcome["effects"]
        return effects

    def run(self, *, until: str = "") -> "Talk":
        """Deliver what alice sends, and the answers, until nothing moves or a message of a kind is next."""
        while self._queue and message_name(bytes.fromhex(self._queue[0]["bytes"])) != until:
            self._deliver(self._queue.pop(0))
        return self

    def _deliver(self, effect: Case) -> None:
        if effect["effect"] == "publish":
            self._publish(effect)
            return
        to, kind = effect["to"], message_name(bytes.fromhex(effect["bytes"]))
        if (to, kind) in self.lost:
            return
        answers = self.step(to, "request", bytes=effect["bytes"])
        if effect["effect"] == "send":
            return
        (answer,) = [done for done in answers if done["effect"] in ("answer", "refuse")]
        event = {"from": to, "to": kind, **{k: v for k, v in answer.items() if k != "effect"}}
        if (to, kind) in self.held:
            self.kept[to, kind] = event
        else:
            self.step("alice", "answer" if answer["effect"] == "answer" else "silence", **event)

    def _publish(self, effect: Case) -> None:
        """Let everybody hear a tender, and bring the commitments that follow to alice, and her answers back."""
        for name in (row["name"] for row in self.case["workers"]):
            for ask in self.step(name, "heard", bytes=effect["bytes"]):
                answers = self.step("alice", "request", **{"from": name, "bytes": ask["bytes"]})
                (answer,) = [done for done in answers if done["effect"] == "answer"]
                self.step(name, "answer", to="commit", bytes=answer["bytes"])

    def wait(self, who: str = "alice") -> "Talk":
        """Let a side's deadline come."""
        self._at_ms = self._deadlines[who]
        self.step(who, "deadline")
        return self

    def look(self, *names: str) -> "Talk":
        """Bring workers the book that they want to see."""
        (book,) = [
            done["bytes"]
            for step in self._steps
            for done in step["effects"]
            if done["effect"] == "store_book"
        ]
        for name in names:
            self.step(name, "book", bytes=book)
        return self

    def done(self) -> Case:
        return {**self.case, "steps": self._steps}


_MOVING = ("ask", "send", "publish")
NETWORK = {"network": RULES.network, "chain_id": RULES.chain_id, "is_testnet": RULES.is_testnet}


def good_cases() -> list[Case]:
    happy = Talk("three bids, the best wins, all look at the book")
    happy.step("alice", "begun")
    happy.run().look("bob", "carol", "mallory")

    gossip = Talk("one is asked, the others hear it by gossip", asked=(BOB,), invite_share=2**32)
    gossip.step("alice", "begun")
    gossip.run()

    declined = Talk(
        "one declines, the winner has lost its GPU, the reserve takes the job", {**OFFERS, MALLORY: 2_000_001}
    )
    declined.step("alice", "begun")
    declined.run(until="award")
    declined.step("bob", "devices", names=[])
    declined.run()

    silent = Talk("one commits and does not reveal")
    silent.lost.add(("bob", "reveal-request"))
    silent.step("alice", "begun")
    silent.run().wait().run()

    reserve = Talk("the winner is silent, the reserve takes the job, and the winner confirms too late")
    reserve.held.add(("bob", "award"))
    reserve.step("alice", "begun")
    reserve.run().wait().run()
    reserve.step("alice", "answer", **reserve.kept["bob", "award"])
    reserve.run()

    restart = Talk(
        "the winner restarts, confirms the same award again, and obeys the release", {BOB: 1_200_000}
    )
    restart.held.add(("bob", "award"))
    restart.step("alice", "begun")
    restart.run()
    restart.step("bob", "restarted")
    award = next(s["bytes"] for s in restart.done()["steps"][::-1] if s["who"] == "bob" and "bytes" in s)
    restart.step("bob", "request", bytes=award)
    restart.wait().run()

    nobody = Talk("all decline", dict.fromkeys(OFFERS, 2_000_001))
    nobody.step("alice", "begun")
    nobody.run()
    return [talk.done() for talk in (happy, gossip, declined, silent, reserve, restart, nobody)]


# --- a requester that cheats ------------------------------------------------------------------------------------
class Cheat:
    """Bob alone with what alice says, written by hand.

    Args:
        name: Of the case.
        market: An auction of alice's with bob in it, told as she would tell it.
    """

    def __init__(self, name: str, market: Market) -> None:
        bob = worker(BOB, OFFERS[BOB])
        others = [{key: value for key, value in party(ALICE).items() if key != "node_seed"}]
        self._case: Case = {"name": name, **NETWORK, "workers": [bob], "others": others}
        self._bob = sides_of(self._case)["bob"]
        self._steps: list[Case] = []
        self._at_ms = int(NOW)
        self.market = market

    def say(self, message: Message | bytes, *, event: str = "request") -> list[Case]:
        """Send bob a request, enveloped by alice if it is a message, and return his effects."""
        data = message if isinstance(message, bytes) else seal(message, ALICE.node_key, RULES.network)
        step = {"unix_ms": self._at_ms, "who": "bob", "event": event, "bytes": data.hex()}
        outcome = self._bob.take(step)
        self._steps.append({**step, **outcome})
        self._at_ms += HOP_MS
        effects: list[Case] = outcome["effects"]
        return effects

    def committed(self) -> bytes:
        """Let bob bid, and acknowledge it; return the digest of his commitment."""
        (answer,) = self.say(self.market.tender.data)
        commit = sha256(bytes.fromhex(answer["bytes"]))
        self.say(auction.CommitAck(commit=commit))
        return commit

    def ask_reveal(self, *digests: bytes) -> list[Case]:
        ordered = tuple(sorted(digests))
        closed = auction.CommitSet(
            tender=self.market.tender.digest,
            root=commit_root(ordered),
            count=len(ordered),
            closed_unix_ms=NOW + 500,
        )
        commit_set = seal(closed, ALICE.node_key, RULES.network)
        return self.say(encode_message(auction.RevealRequest(commit_set=commit_set, digests=ordered)))

    def release(self, book: bytes) -> list[Case]:
        return self.say(
            auction.Release(tender=self.market.tender.digest, code="not_chosen", book=sha256(book))
        )

    def done(self) -> Case:
        return {**self._case, "steps": self._steps}


def market_with(*others: Person, **tender: Any) -> Market:
    offers: dict[Person, tuple[int, int, dict[str, Any]]] = {
        person: (81_920, OFFERS[person], {}) for person in others
    }
    return Market(offers, **{"tier_mib": 81_920, **tender})


def cheating_cases() -> list[Case]:
    censored = Cheat("an acknowledged commitment is not in the commit set", market_with(CAROL))
    censored.committed()
    censored.ask_reveal(*(commit.digest for commit in censored.market.evidence.commits))

    dropped = Cheat("an acknowledged commitment is not in the bid book", market_with(CAROL))
    dropped.committed()
    dropped.release(dropped.market.signed())
    dropped.say(dropped.market.signed(), event="book")

    market = market_with(CAROL, MALLORY)
    wrong = market.signed(ranking=market.book.ranking[::-1])
    misaward = Cheat("the bid book does not follow the rule", market)
    misaward.say(market.tender.data)
    misaward.release(wrong)
    misaward.say(wrong, event="book")

    foreign = Cheat("the bid book is that of another tender", market_with(CAROL))
    another = market_with(CAROL, job_id=bytes(16)).signed()
    foreign.say(foreign.market.tender.data)
    foreign.release(another)
    foreign.say(another, event="book")

    two_sets = Cheat("two commit sets", market_with(CAROL))
    commit = two_sets.committed()
    two_sets.ask_reveal(commit)
    two_sets.ask_reveal(commit, bytes(32))

    two_tenders = Cheat("two tenders with one id", market_with(CAROL))
    two_tenders.committed()
    two_tenders.say(market_with(CAROL, price_max=2_000_001).tender.data)
    return [cheat.done() for cheat in (censored, dropped, misaward, foreign, two_sets, two_tenders)]


def conversation_cases() -> list[Case]:
    return good_cases() + cheating_cases()


FAMILIES = {"auction-conversations": ("04-auction.md", conversation_cases)}
