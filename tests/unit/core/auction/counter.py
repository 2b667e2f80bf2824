"""Alice's side of one tender to bob, said by hand, and what bob answers."""

from typing import Any

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.sealing import commit_root
from skyops_p2p.core.machine import Effect
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.auction import (
    Award,
    Bid,
    Commit,
    CommitAck,
    CommitSet,
    Confirm,
    Decline,
    Release,
    Reveal,
    RevealRequest,
)
from skyops_p2p.wire.model import Message, decode_message, encode_message
from tests.unit.core.auction.house import House, Shop
from tests.unit.core.auction.market import signed_tender
from tests.unit.core.people import ALICE, BOB, NOW, RULES, START, Person, at

OWN = peer_id_to_bytes(BOB.peer)


class Counter:
    """Alice's side of one tender to bob, said by hand: each message right or wrong."""

    def __init__(self, shop: Shop | None = None, *, who: Person = ALICE, **changes: Any) -> None:
        self.shop = shop or Shop(BOB)
        self.tender = signed_tender(who, requester=peer_id_to_bytes(who.peer), **changes)
        self.who = who
        self.now = START
        self._house = House(self.shop)

    def offer(self, data: bytes | None = None) -> Effect:
        """Send the tender directly and return the answer."""
        offered, unix = data or self.tender.data, UnixMs(NOW + round((self.now - START) * 1000))
        return self._house.ask(
            self.shop,
            lambda rid: self.shop.desk.take_tender(offered, self.now, unix, salt=bytes(32), request_id=rid),
        )

    def hear(self, data: bytes | None = None) -> None:
        """Let bob hear the tender by gossip."""
        self._house.now = self.now
        self._house.hear(self.shop, data or self.tender.data)

    def send(self, data: bytes) -> Effect:
        """Send any other request and return the answer."""
        return self._house.ask(
            self.shop, lambda rid: self.shop.desk.take_request(data, self.now, request_id=rid)
        )

    def wake(self, seconds: float) -> None:
        self.now = at(seconds)
        self._house._keep(self.shop, self.shop.desk.wake(self.now))

    def commit(self) -> bytes:
        answer = self.offer()
        assert isinstance(answer, ev.AnswerRequest)
        assert open_envelope(answer.data, Commit, RULES.network).signer == BOB.peer
        return answer.data

    def sign(self, message: Message, who: Person | None = None) -> bytes:
        return seal(message, (who or self.who).node_key, RULES.network)

    def ack(self, commit: bytes, who: Person | None = None) -> bytes:
        return self.sign(CommitAck(commit=sha256(commit)), who)

    def request(self, *commits: bytes, who: Person | None = None, **changes: Any) -> bytes:
        digests = tuple(sorted(sha256(commit) for commit in commits))
        fields = {
            "tender": self.tender.digest,
            "root": commit_root(digests),
            "count": len(digests),
            "closed_unix_ms": NOW,
        }
        commit_set = self.sign(CommitSet.model_validate({**fields, **changes}), who)
        return encode_message(RevealRequest(commit_set=commit_set, digests=digests))

    def revealed(self) -> Bid:
        answer = self.send(self.request(self.commit()))
        assert isinstance(answer, ev.AnswerRequest)
        return decode_message(Reveal, answer.data).bid

    def award(self, bid: Bid, who: Person | None = None, **changes: Any) -> bytes:
        fields = {
            "tender": self.tender.digest,
            "book": bytes(32),
            "winner": OWN,
            "rank": 0,
            "price": bid.price,
            "expires_unix_ms": NOW + 2000,
        }
        return self.sign(Award.model_validate({**fields, **changes}), who)

    def release(
        self, code: str = "not_chosen", who: Person | None = None, *, book: bytes | None = None
    ) -> bytes:
        return self.sign(Release(tender=self.tender.digest, code=code, book=book), who)

    @property
    def proofs(self) -> list[ev.KeepProof]:
        return self.shop.told(ev.KeepProof)

    @property
    def ended(self) -> list[str]:
        return [effect.code for effect in self.shop.told(wev.EndBid)]


def code_of(answer: Effect) -> str:
    """Return the code of a refusal, a Decline or a Confirm."""
    if isinstance(answer, ev.RefuseRequest):
        return answer.code
    assert isinstance(answer, ev.AnswerRequest)
    kind = Confirm if b"award-confirm" in answer.data else Decline
    return str(open_envelope(answer.data, kind, RULES.network).message.code)
