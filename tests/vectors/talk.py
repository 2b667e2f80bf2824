"""Auctions step by step in the words of auction-conversations.json: what came to a side, and what it does then.

The words are explained in protocol/vectors/README.md. The same translation writes the file and replays it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.bidding_context import BiddingContext, WorkerTerms
from skyops_p2p.core.auction.book import build_book
from skyops_p2p.core.auction.capacity import Capacity, Supply, supply_of
from skyops_p2p.core.auction.desk import BiddingDesk
from skyops_p2p.core.auction.leases import LeaseTerms
from skyops_p2p.core.auction.named_book import audit_named_book
from skyops_p2p.core.auction.prices import FixedPriceList
from skyops_p2p.core.auction.requester import Auction, AuctionContext
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.records import check_record
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.types import MicroCredits, MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.envelope import envelope_kind
from skyops_p2p.wire.messages.auction import Tender
from skyops_p2p.wire.model import decode_fields, decode_message
from skyops_p2p.wire.registry import message_of
from tests.vectors.people import NOW, RULES

Case = dict[str, Any]
ARRIVED = {"tender": ev.AnswerArrived, "reveal-request": ev.RevealArrived, "award": ev.ConfirmArrived}
MISSING = {"tender": ev.AnswerMissing, "reveal-request": ev.RevealMissing, "award": ev.ConfirmMissing}
REQUEST = 1
"""One request is answered before the next one comes."""


def message_name(data: bytes) -> str:
    kind = envelope_kind(data)
    return kind if kind is not None else message_of(decode_fields(data)[0]).name


def instant(step: Case) -> MonotonicS:
    return MonotonicS((step["unix_ms"] - NOW) / 1000)


def written_deadline(at: MonotonicS | None) -> Case:
    return {} if at is None else {"deadline_unix_ms": NOW + round(at * 1000)}


class RequesterSide:
    """Alice's machine.

    Args:
        case: Of which `requester` is read.
        peers: Peer ids by name.
    """

    def __init__(self, case: Case, peers: dict[str, PeerId]) -> None:
        self._party = case["requester"]
        self._peers = peers
        self._names = {peer: name for name, peer in peers.items()}
        key = NodeKey.from_seed(bytes.fromhex(self._party["node_seed"]))
        self._machine = Auction(AuctionContext(RULES, key, build_book))
        self._tender = b""

    def take(self, step: Case) -> Case:
        """Take what came, and return what is to be done, and when to wake the machine."""
        effects = self._machine.handle(self._event(step), instant(step))
        self._machine.check_invariants()
        done = [said for effect in effects if (said := self._said(effect))]
        return {"effects": done, **written_deadline(self._machine.next_deadline())}

    def _bidder(self, name: str) -> ev.Bidder:
        (row,) = [row for row in self._party["bidders"] if row["name"] == name]
        record = check_record(bytes.fromhex(row["record"]), RULES, now=NOW)
        rest = {key: value for key, value in row.items() if key not in ("name", "record", "is_asked")}
        return ev.Bidder(peer=self._peers[name], record=record, **rest)

    def _event(self, step: Case) -> Event:
        match step["event"]:
            case "begun":
                rows = [row["name"] for row in self._party["bidders"] if row["is_asked"]]
                return ev.AuctionBegun(
                    terms=decode_message(Tender, bytes.fromhex(self._party["terms"])),
                    bidders=tuple(map(self._bidder, rows)),
                    secret=bytes.fromhex(self._party["secret"]),
                    unix_ms=UnixMs(step["unix_ms"]),
                    timeout_s=self._party["timeout_ms"] / 1000,
                    expects_gossip=self._party["expects_gossip"],
                )
            case "answer":
                arrived = ARRIVED[step["to"]]
                return arrived(self._peers[step["from"]], self._tender, bytes.fromhex(step["bytes"]))
            case "silence":
                return MISSING[step["to"]](self._peers[step["from"]], self._tender, step["code"])
            case "request":
                name = step["from"]
                data = bytes.fromhex(step["bytes"])
                return ev.CommitArrived(REQUEST, self._peers[name], data, self._bidder(name))
        assert step["event"] == "deadline"
        return DeadlineReached()

    def _said(self, effect: Effect) -> Case | None:
        match effect:
            case ev.AskBid(peer, tender, data, _):
                self._tender = tender
                return {"effect": "ask", "to": self._names[peer], "bytes": data.hex()}
            case ev.AskReveal(peer, _, data, _) | ev.SendAward(peer, _, data, _):
                return {"effect": "ask", "to": self._names[peer], "bytes": data.hex()}
            case ev.AcknowledgeCommit(peer, _, data) | ev.SendRelease(peer, _, data):
                return {"effect": "send", "to": self._names[peer], "bytes": data.hex()}
            case ev.PublishTender(tender, topic, data):
                self._tender = tender
                return {"effect": "publish", "topic": f"tender-{topic}", "bytes": data.hex()}
            case ev.StoreBook(_, _, data):
                return {"effect": "store_book", "bytes": data.hex()}
            case ev.FinishMatch(match_):
                winner, rank = self._names[match_.winner], match_.award.message.rank
                return {"effect": "finish", "winner": winner, "rank": rank, "price": match_.bid.price}
            case ev.FailMatch(failure):
                return {"effect": "fail", "code": failure.code}
            case ev.ReportProgress():
                return None
        return said_by_both(effect, self._names)


class WorkerSide:
    """One worker's desk.

    Args:
        party: Of the case's `workers`.
        peers: Peer ids by name.
    """

    def __init__(self, party: Case, peers: dict[str, PeerId]) -> None:
        self._party = party
        self._names = {peer: name for name, peer in peers.items()}
        self._record = check_record(bytes.fromhex(party["record"]), RULES, now=NOW).record
        self._supply = supply_of(self._record)
        self._fetch: wev.FetchBook | None = None
        self._lease: LeaseTerms | None = None
        self._start(Capacity(self._supply))

    def _start(self, capacity: Capacity) -> None:
        price = MicroCredits(self._party["price"])
        self._capacity = capacity
        self._desk = BiddingDesk(
            BiddingContext(
                rules=RULES,
                node_key=NodeKey.from_seed(bytes.fromhex(self._party["node_seed"])),
                capacity=capacity,
                pricing=FixedPriceList({}, other_gpu=price, machine=price),
                record=lambda: self._record,
                terms=WorkerTerms(),
            )
        )

    def take(self, step: Case) -> Case:
        """Take what came, and return what is to be done, and when to wake the desk."""
        effects = self._effects(step, instant(step))
        self._desk.check_invariants()
        for effect in effects:
            if isinstance(effect, wev.FetchBook):
                self._fetch = effect
            elif isinstance(effect, wev.StoreLease):
                self._lease = effect.lease
        done = [said for effect in effects if (said := self._said(effect))]
        return {"effects": done, **written_deadline(self._desk.next_deadline())}

    def _effects(self, step: Case, now: MonotonicS) -> Sequence[Effect]:
        data = bytes.fromhex(step.get("bytes", ""))
        match step["event"]:
            case "request" | "heard" if message_name(data) == "tender":
                number = REQUEST if step["event"] == "request" else None
                salt, unix = bytes.fromhex(self._party["salt"]), UnixMs(step["unix_ms"])
                return self._desk.take_tender(data, now, unix, salt=salt, request_id=number)
            case "request":
                return self._desk.take_request(data, now, request_id=REQUEST)
            case "answer":
                return self._desk.handle(self._only_tender(), wev.CommitAcknowledged(data), now)
            case "book":
                assert self._fetch is not None, "no book was asked for"
                audited = audit_named_book(self._fetch, data, RULES)
                return self._desk.handle(self._fetch.tender, audited, now) if audited else []
            case "devices":
                there = tuple(device for device in self._supply.devices if device.name in step["names"])
                self._capacity.resize(replace(self._supply, devices=there))
                return []
            case "restarted":
                self._restart()
                return []
        assert step["event"] == "deadline"
        return self._desk.wake(now)

    def _only_tender(self) -> bytes:
        (claim,) = self._capacity.claims()
        return claim.tender

    def _restart(self) -> None:
        assert self._lease is not None, "nothing was stored"
        self._start(Capacity(Supply((), 0, 0, 0, 0)))
        assert self._desk.restore(self._lease)
        self._capacity.resize(self._supply)

    def _said(self, effect: Effect) -> Case | None:
        match effect:
            case wev.SendCommit(peer, _, data):
                return {"effect": "ask", "to": self._names[peer], "bytes": data.hex()}
            case wev.StoreLease(lease):
                devices = [device.name for device in lease.claim.devices]
                return {"effect": "store_lease", "award": lease.award.digest.hex(), "devices": devices}
            case wev.ForgetLease(award):
                return {"effect": "forget_lease", "award": award.hex()}
            case wev.FetchBook(_, _, book):
                return {"effect": "fetch_book", "book": book.hex()}
            case wev.EndBid(_, code):
                return {"effect": "end", "code": code}
            case wev.CapacityChanged():
                return None
        return said_by_both(effect, self._names)


def said_by_both(effect: Effect, names: dict[PeerId, str]) -> Case:
    match effect:
        case ev.AnswerRequest(_, data):
            return {"effect": "answer", "bytes": data.hex()}
        case ev.RefuseRequest(_, code):
            return {"effect": "refuse", "code": code}
        case ev.KeepProof(offence, offender, _, evidence):
            shown = [part.hex() for part in evidence]
            return {
                "effect": "keep_proof",
                "offence": offence,
                "offender": names[offender],
                "evidence": shown,
            }
    raise AssertionError(f"no words for {effect}")


def sides_of(case: Case) -> dict[str, RequesterSide | WorkerSide]:
    """Return fresh machines for everybody in a case that has one."""
    parties = [*case["workers"], *([case["requester"]] if "requester" in case else [])]
    peers = {party["name"]: PeerId(party["peer_id"]) for party in [*parties, *case.get("others", [])]}
    sides: dict[str, RequesterSide | WorkerSide] = {
        party["name"]: WorkerSide(party, peers) for party in case["workers"]
    }
    if "requester" in case:
        sides[case["requester"]["name"]] = RequesterSide(case, peers)
    return sides
