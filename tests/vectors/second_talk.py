"""Second reader of auction conversations, sharing no code with skyops_p2p. Written from protocol/04-auction.md.

It knows no machine. It reads what travels, in the order in which it was sent, and insists that each message follows
from those before it.
"""

from typing import Any

from tests.vectors import second_auction as auction
from tests.vectors import second_wire as wire
from tests.vectors.second_auction import sha
from tests.vectors.second_crypto import RefusedError
from tests.vectors.second_handshake import Network

Fields = dict[str, Any]


def opened(data: bytes, network: str) -> tuple[str, Fields, str]:
    """Return a message's name, its fields, and who signed it; nobody where it is not enveloped."""
    if data[:1] == b"\n":  # an envelope's first tag; a map begins with 0x8_
        name = wire._protobuf(data)[1].decode().removeprefix("/skyops/")
        fields, signer = wire.envelope(data, name, network)
        return name, fields, signer
    number = wire.decode(data)[0]
    (name,) = [name for name, entry in wire.SCHEMA["messages"].items() if entry["number"] == number]
    return name, wire.message(data, name), ""


# --- what convinces a stranger ----------------------------------------------------------------------------------
def is_proven(offence: str, evidence: list[bytes], offender: str, network: Network) -> bool:
    """Judge a proof as somebody who was not there."""
    shown = [opened(part, network.network) for part in evidence]
    if any(signer not in ("", offender) for name, _, signer in shown if name != "commit"):
        return False
    names, said = [name for name, _, _ in shown], [fields for _, fields, _ in shown]
    match offence, names:
        case "two_tenders", ["tender", "tender"]:
            seats = [(fields["job_id"], fields["round"]) for fields in said]
            return seats[0] == seats[1] and said[0] != said[1]
        case "two_commit_sets", ["tender", "commit-set", "commit-set"]:
            return said[1] != said[2] and all(part["tender"] == sha(evidence[0]) for part in said[1:])
        case "commit_censored", ["tender", "commit", "commit-ack", "reveal-request"]:
            closed, signer = wire.envelope(said[3]["commit_set"], "commit-set", network.network)
            is_whole = signer == offender and closed["root"] == sha(*said[3]["digests"])
            is_ours = closed["tender"] == sha(evidence[0]) == said[1]["tender"]
            digest = sha(evidence[1])
            return is_whole and is_ours and said[2]["commit"] == digest not in said[3]["digests"]
        case "commit_censored", ["award" | "release", "bid-book", "commit-ack"]:
            is_named = said[0]["book"] == sha(evidence[1]) and said[0]["tender"] == sha(said[1]["tender"])
            return is_named and said[2]["commit"] not in map(sha, said[1]["commits"])
        case "misaward", ["award" | "release", "bid-book", *_]:
            if said[0]["book"] != sha(evidence[1]):
                return False
            return said[0]["tender"] != sha(said[1]["tender"]) or not _is_by_the_rule(evidence[1], network)
    return False


def _is_by_the_rule(book: bytes, network: Network) -> bool:
    try:
        auction.audit(book, network)
    except RefusedError:
        return False
    return True


# --- what follows from what -------------------------------------------------------------------------------------


class Listener:
    """Somebody who hears everything that one requester and its workers say.

    Args:
        case: A conversation.
    """

    def __init__(self, case: Fields) -> None:
        self.network = Network(case["network"], case["chain_id"], is_testnet=case["is_testnet"])
        self.peers = {party["name"]: party["peer_id"] for party in case["workers"]}
        if "requester" in case:
            self.peers[case["requester"]["name"]] = case["requester"]["peer_id"]
        self.tender = b""
        self.commits: dict[str, bytes] = {}
        self.acks: set[bytes] = set()
        self.commit_set: Fields = {}
        self.digests: list[bytes] = []
        self.reveals: dict[str, Fields] = {}
        self.book = b""
        self.ranking: list[str] = []
        self.awards: list[tuple[str, bytes]] = []
        """Winner and digest, in the order in which they were sent."""
        self.released: list[str] = []
        self.confirmed: dict[str, bool] = {}

    def hear(self, speaker: str, to: str, data: bytes) -> None:
        """Hear one message."""
        name, fields, signer = opened(data, self.network.network)
        assert signer in ("", self.peers[speaker]), f"{speaker} sends what another signed"
        method = getattr(self, "_" + name.replace("-", "_"))
        method(speaker, to, fields, data)

    def _tender(self, _speaker: str, _to: str, fields: Fields, data: bytes) -> None:
        assert self.tender in (b"", sha(data)), "a second tender"
        assert auction.peer_id_text(fields["requester"]) == self.peers["alice"]  # AUC-2
        assert sum(fields["weights"].values()) == 10**6  # AUC-4
        self.tender = sha(data)

    def _commit(self, speaker: str, _to: str, fields: Fields, data: bytes) -> None:
        assert fields["tender"] == self.tender  # AUC-7
        assert self.commits.setdefault(speaker, data) == data  # AUC-9

    def _decline(self, speaker: str, _to: str, fields: Fields, _data: bytes) -> None:
        assert fields["tender"] == self.tender
        assert speaker not in self.commits

    def _commit_ack(self, _speaker: str, to: str, fields: Fields, _data: bytes) -> None:
        assert fields["commit"] == sha(self.commits[to])
        self.acks.add(fields["commit"])

    def _reveal_request(self, _speaker: str, to: str, fields: Fields, _data: bytes) -> None:
        closed, signer = wire.envelope(fields["commit_set"], "commit-set", self.network.network)
        assert signer == self.peers["alice"]
        assert self.commit_set in ({}, closed), "a second commit set"
        assert fields["digests"] == sorted(map(sha, self.commits.values()))
        assert self.acks <= set(fields["digests"])  # AUC-10
        assert closed["root"] == sha(*fields["digests"])  # AUC-11
        assert closed["count"] == len(fields["digests"])
        assert to in self.commits
        self.commit_set = closed

    def _reveal(self, speaker: str, _to: str, fields: Fields, _data: bytes) -> None:
        assert self.commit_set, "opened before the set was closed"  # AUC-11
        commit, _ = wire.envelope(self.commits[speaker], "commit", self.network.network)
        peer = auction.peer_id_bytes_of(self.peers[speaker])
        sealed = auction.commitment(self.tender, peer, fields["bid"], fields["salt"])
        assert sealed == commit["commitment"]  # AUC-12
        self.reveals[speaker] = fields["bid"]

    def store(self, data: bytes) -> None:
        """See the requester store its book."""
        assert not self.awards, "stored after the first award"  # AUC-26
        assert not self.book, "a second book"
        book, signer = wire.envelope(data, "bid-book", self.network.network)
        assert signer == self.peers["alice"]
        assert sha(book["tender"]) == self.tender
        assert sorted(book["commits"]) == sorted(self.commits.values())
        bids = [reveal["bid"] for reveal in book["reveals"]]
        assert sorted(map(str, bids)) == sorted(map(str, self.reveals.values()))
        self.book, self.ranking = sha(data), auction.audit(data, self.network)

    def _award(self, _speaker: str, to: str, fields: Fields, data: bytes) -> None:
        if self.awards:
            before, _ = self.awards[-1]
            assert before in self.released, "the one before was not released"  # AUC-27, AUC-28
        assert fields["tender"] == self.tender
        assert fields["book"] == self.book
        assert auction.peer_id_text(fields["winner"]) == self.peers[to] == self.ranking[fields["rank"]]
        assert fields["rank"] == len(self.awards)  # AUC-27
        assert fields["price"] == self.reveals[to]["price"]
        assert fields["expires_unix_ms"] <= self.reveals[to]["valid_until_unix_ms"]
        self.awards.append((to, sha(data)))

    def _award_confirm(self, speaker: str, _to: str, fields: Fields, _data: bytes) -> None:
        assert (speaker, fields["award"]) in self.awards
        assert fields["is_accepted"] == (fields["code"] == "accepted")  # AUC-32
        self.confirmed[speaker] = fields["is_accepted"]

    def _release(self, _speaker: str, to: str, fields: Fields, _data: bytes) -> None:
        assert fields["tender"] == self.tender
        if to not in self.released:
            assert fields.get("book", b"") == self.book  # AUC-29
        self.released.append(to)

    def _received(self, *_what: object) -> None:
        pass

    def finish(self, effect: Fields) -> None:
        """See the match made: nobody else holds a place."""
        winner, _ = self.awards[-1]
        assert winner == effect["winner"]
        assert self.confirmed[winner]
        assert (effect["rank"], effect["price"]) == (len(self.awards) - 1, self.reveals[winner]["price"])
        assert {name for name, _ in self.awards[:-1]} <= set(self.released)  # AUC-28

    def end(self, *, is_matched: bool) -> None:
        """Hear no more: whoever has no place was told so."""
        winner = {self.awards[-1][0]} if is_matched else set[str]()
        assert set(self.commits) - winner <= set(self.released)  # AUC-29
        assert not winner & set(self.released)
