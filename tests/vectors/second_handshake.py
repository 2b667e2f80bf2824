"""Second reader of bindings and of whole handshakes, sharing no code with skyops_p2p.

It holds every party's secrets, so it checks what each side says and computes both sides' keys. Written from
protocol/01-identity.md.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from tests.vectors import second_crypto as crypto
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError

BINDING_TYPE = (
    "Binding(address wallet,bytes peerId,bytes32 x25519,string network,"
    "uint64 issuedUnixMs,uint64 expiresUnixMs)"
)
SESSION_TYPE = "Session(bytes32 transcript,string role,string network)"
CLOCK_SKEW_MS_MAX = 120_000
BINDING_LIFETIME_MS_MAX = 366 * 24 * 3600 * 1000


@dataclass
class Network:
    network: str
    chain_id: int
    is_testnet: bool


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def check_binding(data: bytes, network: Network, now: int, peer: str) -> bytes:
    """Return the wallet that a binding gives to a peer. IDN-3 to IDN-8."""
    fields, signer = wire.envelope(data, "binding", network.network)
    if signer != peer or crypto.peer_id_text(fields["peer"]) != peer:
        raise RefusedError("wrong_signer")
    if fields["chain_id"] != network.chain_id:
        raise RefusedError("wrong_network")
    if fields["issued_unix_ms"] > now + CLOCK_SKEW_MS_MAX:
        raise RefusedError("not_yet_valid")
    if fields["expires_unix_ms"] <= now:
        raise RefusedError("expired")
    if fields["expires_unix_ms"] - fields["issued_unix_ms"] > BINDING_LIFETIME_MS_MAX:
        raise RefusedError("lifetime_too_long")
    if crypto.recover(binding_digest(fields), fields["wallet_signature"]) != fields["wallet"]:
        raise RefusedError("bad_signature")
    return bytes(fields["wallet"])


def binding_digest(fields: dict[str, Any]) -> bytes:
    words = [
        bytes(12) + fields["wallet"],
        crypto.keccak256(fields["peer"]),
        fields["x25519"],
        crypto.keccak256(fields["network"].encode()),
        word(fields["issued_unix_ms"]),
        word(fields["expires_unix_ms"]),
    ]
    return crypto.typed_digest(fields["chain_id"], BINDING_TYPE, words)


def session_digest(transcript: bytes, role: str, network: Network) -> bytes:
    words = [transcript, crypto.keccak256(role.encode()), crypto.keccak256(network.network.encode())]
    return crypto.typed_digest(network.chain_id, SESSION_TYPE, words)


def lp(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def session_keys(shared: bytes, transcript: bytes) -> tuple[bytes, bytes, bytes]:
    """Return session id, key from the initiator, key from the responder. HSK-9."""
    output = crypto.hkdf(shared, transcript, b"skyops/session/1", 80)
    return output[:16], output[16:48], output[48:]


def nonce(counter: int) -> bytes:
    return bytes(16) + counter.to_bytes(8, "big")


@dataclass
class Conversation:
    """Both sides of one handshake, read message by message."""

    network: Network
    initiator: str
    responder: str
    versions: dict[str, list[int]]
    """What each role speaks."""
    ephemeral_secrets: dict[str, bytes]
    seen_nonces: set[bytes] = field(default_factory=set)
    wallets: dict[str, bytes] = field(default_factory=dict)
    transcripts: dict[str, bytes] = field(default_factory=dict)
    """What each role has heard and said."""
    keys: dict[str, tuple[bytes, bytes, bytes]] = field(default_factory=dict)

    def read(self, awaited: str, data: bytes, now: int, *, sent: bytes) -> dict[str, Any]:
        """Read the next message as its receiver does; `sent` is what its sender wrote."""
        number = wire.decode(data)
        known = {
            wire.SCHEMA["messages"][name]["number"]: name
            for name in ("hello", "accept", "confirm", "established")
        }
        name = known.get(number.get(0)) if isinstance(number, dict) else "none"
        if number == {0: 24, 1: number.get(1)} if isinstance(number, dict) else False:
            raise RefusedError(wire.message(data, "refusal")["code"])
        if name != awaited:
            raise RefusedError("malformed" if name == "none" else "unexpected_message")
        fields = wire.message(data, awaited)
        result = getattr(self, f"_{awaited}")(fields, data, now, sent)
        assert result is None or isinstance(result, dict)
        return result or fields

    def _hello(self, fields: dict[str, Any], data: bytes, now: int, sent: bytes) -> None:
        if crypto.peer_id_text(fields["responder"]) != self.responder:
            raise RefusedError("wrong_peer")
        if not set(fields["versions"]) & set(self.versions["responder"]):
            raise RefusedError("no_common_version")
        if abs(now - fields["issued_unix_ms"]) > CLOCK_SKEW_MS_MAX:
            raise RefusedError("stale_nonce")
        if fields["nonce"] in self.seen_nonces:
            raise RefusedError("replayed")
        self.seen_nonces.add(fields["nonce"])
        self.wallets["initiator"] = check_binding(fields["binding"], self.network, now, self.initiator)
        crypto.x25519_agree(self.ephemeral_secrets["responder"], fields["ephemeral"])
        peers = [lp(self._peer_bytes(peer)) for peer in (self.initiator, self.responder)]
        head = b"".join([b"skyops/handshake/1", lp(self.network.network.encode()), *peers])
        self.transcripts = {
            "initiator": sha256(head + lp(sent)).digest(),
            "responder": sha256(head + lp(data)).digest(),
        }

    def _accept(self, fields: dict[str, Any], data: bytes, now: int, sent: bytes) -> None:
        common = set(fields["versions"]) & set(self.versions["initiator"])
        if not common or fields["version"] != max(common):
            raise RefusedError("downgrade")
        self.wallets["responder"] = check_binding(fields["binding"], self.network, now, self.responder)
        second = self._signed_by_responder("initiator", fields)
        self._check_proof(second, "responder", fields)
        views = {"initiator": (fields, data), "responder": (wire.message(sent, "accept"), sent)}
        shared = crypto.x25519_agree(self.ephemeral_secrets["initiator"], fields["ephemeral"])
        for role, (heard, text) in views.items():
            final = sha256(self._signed_by_responder(role, heard) + lp(text)).digest()
            self.keys[role] = session_keys(shared, final)
            self.transcripts[role] = final

    def _signed_by_responder(self, role: str, fields: dict[str, Any]) -> bytes:
        numbers = [fields["version"], len(fields["versions"]), *fields["versions"]]
        text = b"".join(number.to_bytes(2, "big") for number in numbers)
        parts = [lp(fields[name]) for name in ("nonce", "ephemeral", "binding")]
        return sha256(self.transcripts[role] + text + b"".join(parts)).digest()

    def _confirm(self, fields: dict[str, Any], *_: Any) -> dict[str, Any]:
        self._check_proof(self.transcripts["responder"], "initiator", fields)
        return self._manifest(self.keys["responder"][1], fields["manifest"])

    def _established(self, fields: dict[str, Any], *_: Any) -> dict[str, Any]:
        return self._manifest(self.keys["initiator"][2], fields["manifest"])

    def _manifest(self, key: bytes, sealed: bytes) -> dict[str, Any]:
        manifest = wire.message(crypto.xchacha_open(key, nonce(0), sealed, b""), "manifest")
        if manifest["hardware"]["source"] == "declared" and not self.network.is_testnet:
            raise RefusedError("declared_hardware")
        return manifest

    def _check_proof(self, transcript: bytes, role: str, fields: dict[str, Any]) -> None:
        peer = self.initiator if role == "initiator" else self.responder
        text = b"skyops/handshake/1/" + role.encode() + transcript
        crypto.ed25519_verify(self._peer_bytes(peer)[6:], text, fields["node_signature"])
        digest = session_digest(transcript, role, self.network)
        if crypto.recover(digest, fields["wallet_signature"]) != self.wallets[role]:
            raise RefusedError("bad_signature")

    @staticmethod
    def _peer_bytes(peer: str) -> bytes:
        number = 0
        for character in peer:
            number = number * 58 + crypto.ALPHABET.index(character)
        zeros = len(peer) - len(peer.lstrip("1"))
        return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
