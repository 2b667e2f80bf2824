"""Chapter 03 read a second time, without the package: records, heartbeats, proofs, digests, beliefs."""

import hashlib

from tests.vectors import second_crypto as crypto
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError
from tests.vectors.second_handshake import Network, check_binding

DAY_MS = 86_400_000
SKEW_MS = 120_000


def check_record(data: bytes, network: Network, now: int) -> tuple[str, str]:
    """Return the peer id and the wallet of a record. PER-1, PER-2, PER-3, PER-5, PER-30."""
    fields, signer = wire.envelope(data, "node-record", network.network, 4096)
    if crypto.peer_id_text(fields["peer"]) != signer:
        raise RefusedError("wrong_signer")
    if fields["network"] != network.network:
        raise RefusedError("wrong_network")
    if fields["issued_unix_ms"] > now + SKEW_MS:
        raise RefusedError("not_yet_valid")
    if fields["expires_unix_ms"] <= now:
        raise RefusedError("expired")
    if fields["expires_unix_ms"] > fields["issued_unix_ms"] + DAY_MS:
        raise RefusedError("lifetime_too_long")
    if fields["hardware"]["source"] == "declared" and not network.is_testnet:
        raise RefusedError("declared_hardware")
    return signer, crypto.address_text(check_binding(fields["binding"], network, now, signer))


def check_presence(data: bytes, network: Network, now: int) -> str:
    """Return the signer of a heartbeat. PER-7, PER-8."""
    fields, signer = wire.envelope(data, "presence", network.network, 320)
    if fields["interval_ms"] > 4_000_000:
        raise RefusedError("lifetime_too_long")
    if fields["issued_unix_ms"] - now > SKEW_MS:
        raise RefusedError("not_yet_valid")
    if now - fields["issued_unix_ms"] > fields["interval_ms"] + SKEW_MS:
        raise RefusedError("expired")
    return signer


def check_proof(data: bytes, network: Network) -> str:
    """Return the proven equivocator. PER-12."""
    fields = wire.message(data, "equivocation-proof")
    first, second = (
        wire.envelope(fields[half], "node-record", network.network, 4096) for half in ("first", "second")
    )
    numbers = {(signer, record["sequence"]) for record, signer in (first, second)}
    if len(numbers) != 1 or first[0] == second[0]:
        raise RefusedError("proof_fails")
    return first[1]


def bucket(peer: bytes) -> int:
    return hashlib.sha256(peer).digest()[0] & 63


def digests(held: dict[bytes, int]) -> bytes:
    """Describe a map. PER-15."""
    buckets = [0] * 64
    for peer, sequence in held.items():
        digest = hashlib.sha256(peer + sequence.to_bytes(8, "big")).digest()[:8]
        buckets[bucket(peer)] ^= int.from_bytes(digest, "big")
    return b"".join(number.to_bytes(8, "big") for number in buckets)


def answer(held: dict[bytes, int], asker: bytes, after: bytes) -> tuple[list[bytes], bool]:
    """Return whose records are told (small ones, so only their count binds), and whether that was all. PER-16."""
    ours = digests(held)
    differs = [ours[8 * i : 8 * i + 8] != asker[8 * i : 8 * i + 8] for i in range(64)]
    wanted = sorted(peer for peer in held if differs[bucket(peer)] and peer > after)
    return wanted[:64], len(wanted) <= 64


class Belief:
    """What the table of states in chapter 03 says, with 30 s beats, 3 of them missed, and probes of 2 s."""

    def __init__(self, *, needs_stake: bool) -> None:
        self.state = "pending"
        self.due: float | None = 90.0
        self.has = {"record": False, "stake": not needs_stake, "life": False}
        self.is_witnessed = False

    def step(self, event: str, now: float) -> list[str]:
        if self.state == "slashed":
            return []
        if event == "proof":
            self.state, self.due = "slashed", None
            return []
        if event == "deadline":
            return self._deadline(now)
        return self._event(event, now)

    def _event(self, event: str, now: float) -> list[str]:
        match event, self.state:
            case (("beat" | "life"), _):
                self.has["life"] = True
                self._settle(now)
            case "goodbye", _:
                self._rest(now)
            case (("record" | "stake"), state):
                self.has[event] = True
                if state == "pending":
                    self._settle(now)
            case (("record_expired" | "no_stake"), state):
                self.has["record" if event == "record_expired" else "stake"] = False
                if state == "active" or (state == "pending" and event == "no_stake"):
                    self._settle(now)
            case "contact_lost", "active":
                return self._suspect(now)
            case "probe_failed", "pending":
                self._rest(now)
            case "probe_failed", "suspect" if not self.is_witnessed:
                return self._ask(now)
            case "witness_alive", "suspect" if self.is_witnessed:
                self.has["life"] = True
                self._settle(now)
        return []

    def _deadline(self, now: float) -> list[str]:
        if self.state == "pending":
            self.has["life"], self.due = False, now + 90
            return ["probe"]
        if self.state == "active":
            return self._suspect(now)
        if self.state == "suspect":
            if not self.is_witnessed:
                return self._ask(now)
            self._rest(now)
            return []
        self.due = None
        return ["expire"]

    def _settle(self, now: float) -> None:
        self.state = "active" if all(self.has.values()) else "pending"
        self.due, self.is_witnessed = now + 90, False

    def _suspect(self, now: float) -> list[str]:
        self.state, self.due, self.is_witnessed, self.has["life"] = "suspect", now + 2, False, False
        return ["probe"]

    def _ask(self, now: float) -> list[str]:
        self.is_witnessed, self.due = True, now + 3
        return ["ask_witnesses"]

    def _rest(self, now: float) -> None:
        self.state, self.due, self.has["life"] = "inactive", now + 86_400, False
