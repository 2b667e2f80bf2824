"""Vectors of messages, field by field at their bounds, of envelopes and of bindings."""

from collections.abc import Iterator
from typing import Any

from skyops_p2p.core.binding import make_binding
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import NodeKey, peer_id_to_bytes
from skyops_p2p.crypto.typed_data import binding_digest
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.limits import BINDING_LIFETIME_MS_MAX, CLOCK_SKEW_MS_MAX, FRAME_BYTES_MAX
from skyops_p2p.types import NetworkName, UnixMs
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.framing import encode_uvarint
from skyops_p2p.wire.messages.identity import Binding
from skyops_p2p.wire.messages.peering import Ping
from skyops_p2p.wire.model import encode_message
from tests.vectors import schema
from tests.vectors.examples import PRESENCE, examples
from tests.vectors.notation import fields_written, named_fields
from tests.vectors.people import ALICE, BOB, DAY_MS, MALLORY, NOW, RULES

Case = dict[str, Any]
STORED_BYTES_MAX = 700
"""Longer boundary cases are checked by the tests but not stored."""
TEXTS = {
    "^[a-z0-9][a-z0-9-]*$": "a",
    "^[a-z0-9-]{0,16}$": "a",
    "^[a-z_]{1,32}$": "a",
    "^[a-z0-9/-]*$": "a",
    r"^(\d{1,2}\.\d)?$": "8.0",
}


def example_cases() -> list[Case]:
    return [
        {
            "name": f"plain {message.name}",
            "message": message.name,
            "bytes": encode_message(message).hex(),
            "fields": fields_written(named_fields(message)),
        }
        for message in examples()
    ]


def boundary_cases() -> Iterator[tuple[str, str, bytes, bool]]:
    """Yield (name, message, bytes, is accepted): each field absent, at, and past each of its bounds."""
    document = schema.load()
    for message in examples():
        entry = document["messages"][message.name]
        whole = {0: message.number, **message.to_wire()}
        yield from (
            (f"{message.name}: {name}", message.name, canonical.encode(value), False)
            for name, value in (
                ("unknown field", whole | {255: 1}),
                ("no number", {key: value for key, value in whole.items() if key}),
                ("number is text", whole | {0: "x"}),
                ("an array", list(whole.values())),
            )
        )
        for field, rule in entry["fields"].items():
            without = {key: value for key, value in whole.items() if key != rule["number"]}
            is_optional = rule.get("optional", False)
            yield f"{message.name}: without {field}", message.name, canonical.encode(without), is_optional
            for label, value, is_legal in bounds(rule, document["parts"]):
                data = canonical.encode(whole | {rule["number"]: value}, items_max=2 * message.items_max)
                if len(data) <= FRAME_BYTES_MAX:
                    yield f"{message.name}: {field} {label}", message.name, data, is_legal


def bounds(rule: dict[str, Any], parts: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Yield (label, value, is legal) around the bounds of one field."""
    kind = rule["type"]
    yield (
        "of another type",
        {"bool": 1, "int": True, "bytes": "a", "text": b"a", "array": 1, "map": []}[kind],
        False,
    )
    low, high = rule.get("min"), rule.get("max")
    if kind == "int":
        yield "at its least", low, True
        yield "below its least", low - 1, False
        yield "at its most", high, True
        yield "above its most", high + 1, False
    elif "one_of" in rule:
        yield from ((f"is {choice}", choice, True) for choice in rule["one_of"])
        yield "is another word", "other", False
    elif kind in ("bytes", "text", "array"):
        unit = _unit(rule, parts)
        if low and "pattern" not in rule:
            yield "below its least", unit * (low - 1), False
        yield from ((f"{size} long", unit * size, True) for size in {low or 1, high or 1})
        if high is not None:
            yield "above its most", unit * (high + 1), False
        if "pattern" in rule:
            yield from (("in capitals", "A", False), ("with a line end", "a\n", False))
    elif kind == "map":
        whole = _least(parts[rule["part"]]["fields"], parts)
        for name, inner in parts[rule["part"]]["fields"].items():
            without = {k: v for k, v in whole.items() if k != inner["number"]}
            yield f"without {name}", without, inner.get("optional", False)
            for label, value, is_legal in bounds(inner, parts):
                yield f"{name} {label}", whole | {inner["number"]: value}, is_legal


def _unit(rule: dict[str, Any], parts: dict[str, Any]) -> Any:
    """Return one byte, letter or entry."""
    if rule["type"] == "bytes":
        return b"\x01"
    if rule["type"] == "text":
        return TEXTS.get(rule.get("pattern", ""), "é")
    return [_legal(rule["of"], parts)]


def _legal(rule: dict[str, Any], parts: dict[str, Any]) -> Any:
    """Return the least legal value of a field."""
    if "one_of" in rule:
        return rule["one_of"][0]
    if rule["type"] == "map":
        return _least(parts[rule["part"]]["fields"], parts)
    if rule["type"] == "int":
        return rule["min"]
    return False if rule["type"] == "bool" else _unit(rule, parts) * max(rule["min"], 1)


def _least(fields: dict[str, Any], parts: dict[str, Any]) -> dict[int, Any]:
    return {rule["number"]: _legal(rule, parts) for rule in fields.values()}


def message_cases() -> list[Case]:
    stored = [case for case in boundary_cases() if len(case[2]) <= STORED_BYTES_MAX]
    cases = example_cases()
    for name, message, data, is_legal in stored:
        outcome = {} if is_legal else {"code": "malformed"}
        cases.append({"name": name, "message": message, "bytes": data.hex(), **outcome})
    for message in examples():
        data = canonical.encode({0: message.number + 1, **message.to_wire()})
        if len(data) <= STORED_BYTES_MAX:
            cases.append({"name": f"{message.name}: another number", "message": message.name,
                          "bytes": data.hex(), "code": "wrong_type"})  # fmt: skip
    return cases


# --- envelopes --------------------------------------------------------------------------------------------------
def forge(payload: bytes, key: NodeKey, name: str, domain: str) -> bytes:
    """Write an envelope whose signature is right for the given domain."""
    payload_type = f"/skyops/{name}".encode()
    parts = (domain.encode(), payload_type, payload)
    signature = key.sign(b"".join(encode_uvarint(len(part)) + part for part in parts))
    fields = ((10, b"\x08\x01\x12\x20" + key.public_key), (18, payload_type), (26, payload), (42, signature))
    return b"".join(bytes([tag]) + encode_uvarint(len(value)) + value for tag, value in fields)


def envelope_cases() -> list[Case]:
    key, network = ALICE.node_key, RULES.network
    payload = encode_message(PRESENCE)
    good = seal(PRESENCE, key, network)
    own, of_ping = f"skyops/{network}/presence/1", f"skyops/{network}/ping/1"
    later = good.replace(payload[:5], payload[:4] + b"\x2a")
    ping = encode_message(Ping(nonce=bytes(8)))
    one = b"\x01" + bytes(31)  # the neutral element: as a key, it verifies this signature over any text
    anyones = good[:-64].replace(key.public_key, one) + one + bytes(32)
    binding = ALICE.binding
    swapped = good.replace(key.public_key, MALLORY.node_key.public_key)
    refused: list[tuple[str, bytes, str, str]] = [
        ("empty", b"", "presence", "malformed"),
        ("cut short", good[:-1], "presence", "malformed"),
        ("last field missing", good[:-66], "presence", "malformed"),
        ("length past the end", good[:-66] + b"\x2a\x7f" + good[-64:], "presence", "malformed"),
        ("a byte behind", good + b"\0", "presence", "non_canonical"),
        ("unknown field behind", good + b"\x30\x01", "presence", "non_canonical"),
        ("first field twice", good[:38] + good, "presence", "non_canonical"),
        ("type before key", good[38:56] + good[:38] + good[56:], "presence", "non_canonical"),
        ("length not minimal", b"\x0a\xa4\x00" + good[2:], "presence", "non_canonical"),
        ("key of type secp256k1", good.replace(b"\x08\x01\x12\x20", b"\x08\x02\x12\x20"), "presence", "bad_key"),
        ("empty key", b"\x0a\x00" + good[38:], "presence", "bad_key"),
        ("another kind", good, "ping", "wrong_type"),
        ("named ping, numbered presence", forge(payload, key, "ping", of_ping), "ping", "wrong_type"),
        ("signature changed", good[:-1] + bytes([good[-1] ^ 1]), "presence", "bad_signature"),
        ("signature of 63 bytes", good[:-65] + b"\x3f" + good[-64:-1], "presence", "bad_signature"),
        ("payload changed", later, "presence", "bad_signature"),
        ("key of small order", anyones, "presence", "bad_signature"),
        ("another signer", swapped, "presence", "bad_signature"),
        ("another network", seal(PRESENCE, key, "skyops"), "presence", "bad_signature"),
        ("domain of another kind", forge(payload, key, "presence", of_ping), "presence", "bad_signature"),
        ("domain of libp2p", forge(payload, key, "presence", "libp2p-peer-record"), "presence", "bad_signature"),
        ("signed garbage", forge(b"\xc1", key, "presence", own), "presence", "malformed"),
        ("signed, not canonical", forge(b"\x81\xcc\x00\x03", key, "presence", own), "presence", "non_canonical"),
        ("signed, another message", forge(ping, key, "presence", own), "presence", "wrong_type"),
    ]  # fmt: skip
    base = {"network": network}
    smuggled = forge(_payload(binding), key, "binding", "skyops/skyops/binding/1")
    return [
        {"name": "presence", **base, "message": "presence", "bytes": good.hex(), "signer": key.peer_id,
         "fields": fields_written(named_fields(PRESENCE))},
        {"name": "at the caller's limit", **base, "message": "presence", "bytes": good.hex(),
         "bytes_max": len(good), "signer": key.peer_id},
        {"name": "above the caller's limit", **base, "message": "presence", "bytes": good.hex(),
         "bytes_max": len(good) - 1, "code": "oversized"},
        *({"name": n, **base, "message": kind, "bytes": d.hex(), "code": code} for n, d, kind, code in refused),
        {"name": "says another network", "network": "skyops", "message": "binding", "bytes": binding.hex(),
         "code": "wrong_network"},
        {"name": "signed for us, says another network", "network": "skyops", "message": "binding",
         "bytes": smuggled.hex(), "code": "wrong_network"},
    ]  # fmt: skip


def _payload(envelope: bytes) -> bytes:
    """Cut the payload out of a binding's envelope of ours, whose payload is 128 bytes or more."""
    start = 38 + 2 + len("/skyops/binding") + 3
    return envelope[start:-66]


# --- bindings ---------------------------------------------------------------------------------------------------
def binding(**changes: Any) -> bytes:
    """Seal alice's binding with changes; the wallet's signature fits the changed fields unless it is given."""
    signer: Wallet = changes.pop("signer", ALICE.wallet)
    key: NodeKey = changes.pop("key", ALICE.node_key)
    fields: dict[str, Any] = {
        "peer": peer_id_to_bytes(ALICE.node_key.peer_id),
        "wallet": address_to_bytes(ALICE.wallet.address),
        "x25519": ALICE.node_key.x25519_public,
        "network": RULES.network,
        "chain_id": RULES.chain_id,
        "issued_unix_ms": NOW,
        "expires_unix_ms": NOW + DAY_MS,
    } | changes
    digest = binding_digest(
        wallet=signer.address,
        peer_id=fields["peer"],
        x25519=fields["x25519"],
        network=fields["network"],
        chain_id=fields["chain_id"],
        issued_unix_ms=fields["issued_unix_ms"],
        expires_unix_ms=fields["expires_unix_ms"],
    )
    fields.setdefault("wallet_signature", signer.sign_digest(digest))
    return seal(Binding(**fields), key, fields["network"])


def binding_cases() -> list[Case]:
    bob_peer = peer_id_to_bytes(BOB.node_key.peer_id)
    elsewhere = NetworkRules(network=NetworkName("skyops"), chain_id=RULES.chain_id)
    foreign = make_binding(ALICE.node_key, ALICE.wallet, elsewhere, issued=UnixMs(NOW), lifetime_ms=DAY_MS)
    longest = BINDING_LIFETIME_MS_MAX
    rows: list[tuple[str, bytes, int, str | None]] = [
        ("good", binding(), NOW, None),
        ("in its last millisecond", binding(), NOW + DAY_MS - 1, None),
        ("expired", binding(), NOW + DAY_MS, "expired"),
        ("from as far in the future as the skew admits", binding(), NOW - CLOCK_SKEW_MS_MAX, None),
        ("from the future", binding(), NOW - CLOCK_SKEW_MS_MAX - 1, "not_yet_valid"),
        ("longest life", binding(expires_unix_ms=NOW + longest), NOW, None),
        ("lives too long", binding(expires_unix_ms=NOW + longest + 1), NOW, "lifetime_too_long"),
        ("for another peer id", binding(peer=bob_peer), NOW, "wrong_signer"),
        ("sealed by another key", binding(key=MALLORY.node_key), NOW, "wrong_signer"),
        ("for another chain", binding(chain_id=1), NOW, "wrong_network"),
        ("for another network", foreign, NOW, "wrong_network"),
        ("signed by another wallet", binding(signer=MALLORY.wallet), NOW, "bad_signature"),
        ("another wallet named", binding(wallet=bytes(20)), NOW, "bad_signature"),
        ("signature of zeros", binding(wallet_signature=bytes(65)), NOW, "bad_signature"),
    ]
    base = {"network": RULES.network, "chain_id": RULES.chain_id, "peer": ALICE.node_key.peer_id}
    return [
        {"name": name, **base, "now_unix_ms": now, "bytes": data.hex(),
         **({"code": code} if code else {"wallet": ALICE.wallet.address})}
        for name, data, now, code in rows
    ]  # fmt: skip
