"""Every vector, by skyops_p2p and by the second decoder that shares no code with it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from skyops_p2p.core.binding import check_binding
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import NodeKey, peer_id_from_bytes, verify
from skyops_p2p.crypto.sealing import open_sealed
from skyops_p2p.crypto.session_keys import CipherState, Ephemeral, derive_session
from skyops_p2p.crypto.wallet import Wallet, address_from_bytes, recover_address
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import NetworkName, PeerId, UnixMs
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.framing import FrameDecoder
from skyops_p2p.wire.model import decode_message
from tests.vectors import generate, schema
from tests.vectors import second_crypto as crypto
from tests.vectors import second_handshake as handshake
from tests.vectors import second_wire as wire
from tests.vectors.notation import fields_written, named_fields, written
from tests.vectors.second_crypto import RefusedError

Case = dict[str, Any]
Check = Callable[[Case], Any]


def cases(family: str) -> list[Case]:
    text = (schema.PROTOCOL / "vectors" / f"{family}.json").read_text(encoding="utf-8")
    found: list[Case] = json.loads(text)["cases"]
    return found


def everything(family: str) -> Any:
    return pytest.mark.parametrize("case", cases(family), ids=lambda case: case["name"])


def outcome(check: Check, case: Case) -> Any:
    """Return what a check gives, or {"code": …} if it refuses."""
    try:
        return check(case)
    except (RemoteProtocolError, RefusedError) as refused:
        return {"code": refused.code}


def expect(case: Case, result: Any, *checks: Check) -> None:
    """Both implementations give the result, or refuse with the case's code."""
    for check in checks:
        assert outcome(check, case) == ({"code": case["code"]} if "code" in case else result)


def raw(case: Case, name: str = "bytes") -> bytes:
    return bytes.fromhex(case[name])


# --- files ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("family", generate.FAMILIES)
def test_file_is_what_the_code_writes(family: str) -> None:
    path = schema.PROTOCOL / "vectors" / f"{family}.json"
    assert path.read_text(encoding="utf-8") == generate.rendered(family), "run `make vectors`, and say why"


@pytest.mark.parametrize("family", generate.FAMILIES)
def test_names_of_cases_are_unique(family: str) -> None:
    names = [case["name"] + case.get("role", "") for case in cases(family)]
    assert len(names) == len(set(names))


def test_the_page_tells_what_a_case_of_each_family_is() -> None:
    page = (schema.PROTOCOL / "vectors" / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| ([a-z-]+) \| ", page, re.MULTILINE)) - {"file"}
    assert told == set(generate.FAMILIES)


# --- 00 ---------------------------------------------------------------------------------------------------------
@everything("canonical")
def test_canonical(case: Case) -> None:  # CNV-1, CNV-2, CNV-3, CNV-4, CNV-5
    bytes_max = case.get("bytes_max", 65_536)
    expect(
        case,
        case.get("value"),
        lambda case: written(canonical.decode(raw(case), bytes_max=bytes_max)),
        lambda case: written(wire.decode(raw(case), bytes_max)),
    )


@everything("framing")
def test_framing(case: Case) -> None:  # CNV-6
    def ours(case: Case) -> Any:
        decoder = FrameDecoder(case["bytes_max"])
        found = decoder.feed(raw(case, "stream"))
        return [frame.hex() for frame in found], decoder.bytes_buffered

    def second(case: Case) -> Any:
        found, left = wire.frames(raw(case, "stream"), case["bytes_max"])
        return [frame.hex() for frame in found], left

    expect(case, (case.get("frames"), case.get("left")), ours, second)


@everything("identifiers")
def test_identifiers(case: Case) -> None:  # CNV-10, CNV-11
    is_peer = case["kind"] == "peer"
    ours = peer_id_from_bytes if is_peer else address_from_bytes
    second = crypto.peer_id_text if is_peer else crypto.address_text
    expect(case, case.get("text"), lambda case: ours(raw(case)), lambda case: second(raw(case)))


@everything("messages")
def test_messages(case: Case) -> None:  # CNV-8
    kind = schema.kind_of(case["message"])

    def ours(case: Case) -> Any:
        return "fields", fields_written(named_fields(decode_message(kind, raw(case))))

    def second(case: Case) -> Any:
        return "fields", fields_written(wire.message(raw(case), case["message"]))

    result = outcome(ours, case)
    expect(case, result, ours, second)
    if "fields" in case:
        assert result == ("fields", case["fields"])


# --- 01 ---------------------------------------------------------------------------------------------------------
@everything("keys")
def test_keys(case: Case) -> None:  # KEY-1, KEY-2
    seed, secret, text = raw(case, "seed"), raw(case, "wallet_secret"), raw(case, "text")
    key, wallet = NodeKey.from_seed(seed), Wallet.from_secret(secret)
    ours = (key.public_key, key.peer_id, key.x25519_public, wallet.address, key.sign(text))
    public = crypto.ed25519_public(seed)
    second = (
        public,
        crypto.peer_id_text(crypto.peer_id_bytes(public)),
        crypto.x25519_public(crypto.x25519_static(seed)),
        crypto.address_text(crypto.address(secret)),
        crypto.ed25519_sign(seed, text),
    )
    expected = (
        raw(case, "public_key"),
        case["peer_id"],
        raw(case, "x25519_public"),
        case["wallet"],
        raw(case, "node_signature"),
    )
    assert ours == second == expected
    verify(key.public_key, text, raw(case, "node_signature"))
    crypto.ed25519_verify(public, text, raw(case, "node_signature"))


@everything("wallet-signatures")
def test_wallet_signatures(case: Case) -> None:  # KEY-4
    digest, signature = raw(case, "digest"), raw(case, "signature")
    expect(
        case,
        case.get("wallet"),
        lambda _: recover_address(digest, signature),
        lambda _: crypto.address_text(crypto.recover(digest, signature)),
    )


@everything("typed-data")
def test_typed_data(case: Case) -> None:
    if case["name"] == "session":
        network = handshake.Network(case["network"], case["chain_id"], is_testnet=True)
        assert handshake.session_digest(raw(case, "transcript"), case["role"], network) == raw(case, "digest")
        return
    fields = {name: raw(case, name) for name in ("wallet", "peer", "x25519")}
    fields |= {name: case[name] for name in ("network", "chain_id", "issued_unix_ms", "expires_unix_ms")}
    assert handshake.binding_digest(fields) == raw(case, "digest")
    assert crypto.recover(raw(case, "digest"), raw(case, "signature")) == fields["wallet"]


@everything("bindings")
def test_bindings(case: Case) -> None:  # CNV-9, IDN-2, IDN-3, IDN-4, IDN-5, IDN-6, IDN-7, IDN-8
    now, peer = UnixMs(case["now_unix_ms"]), PeerId(case["peer"])
    rules = NetworkRules(network=NetworkName(case["network"]), chain_id=case["chain_id"], is_testnet=True)
    network = handshake.Network(case["network"], case["chain_id"], is_testnet=True)
    expect(
        case,
        case.get("wallet"),
        lambda case: check_binding(raw(case), rules, now=now, peer=peer).wallet,
        lambda case: crypto.address_text(handshake.check_binding(raw(case), network, now, peer)),
    )


@everything("handshakes")
def test_handshakes_by_the_second_reader(
    case: Case,
) -> None:  # HSK-2 to HSK-14
    """Our own machine wrote the conversation; the other implementation must read the same out of it."""
    parties = {role: case[role] for role in ("initiator", "responder")}
    talk = handshake.Conversation(
        network=handshake.Network(case["network"], case["chain_id"], is_testnet=case["is_testnet"]),
        initiator=case["initiator"]["peer_id"],
        responder=case["responder"]["peer_id"],
        versions={role: party["versions"] for role, party in parties.items()},
        ephemeral_secrets={role: raw(party, "ephemeral_secret") for role, party in parties.items()},
        seen_nonces=set(map(bytes.fromhex, case["responder"]["seen_nonces"])),
    )
    fails = {effect["fail"] for step in case["steps"] for effect in step["effects"] if "fail" in effect}
    assert fails == ({case["code"]} if "code" in case else set())  # HSK-13: both ends with one code
    awaited = ["hello", "accept", "confirm", "established"]
    manifests: dict[str, Any] = {}
    sent = b""
    for step in case["steps"]:
        said = {key: value for effect in step["effects"] for key, value in effect.items()}
        if step["event"] == "frame":
            result = outcome(
                lambda step: talk.read(awaited.pop(0), raw(step), step["unix_ms"], sent=sent),  # noqa: B023 - called here
                step,
            )
            if "code" in result:
                assert said.get("fail") == result["code"] == case["code"]
                return
            manifests[step["who"]] = fields_written(result)
        elif "fail" in said:  # HSK-10, HSK-11: not by what was said
            assert (said["fail"], step["event"]) in {("insufficient_stake", "stake"), ("timeout", "deadline")}
            assert said["fail"] == case["code"]
            return
        sent = bytes.fromhex(said.get("send", "")) or sent
        if "finish" in said:
            other = parties["responder" if step["who"] == "initiator" else "initiator"]
            _check_finish(said["finish"], other, talk.keys[step["who"]][0], manifests[step["who"]])
    assert "code" not in case
    assert awaited == []


def _check_finish(finish: Case, other: Case, session_id: bytes, manifest: Any) -> None:
    assert (finish["peer"], finish["wallet"]) == (other["peer_id"], other["wallet"])
    assert raw(finish, "session_id") == session_id
    assert finish["manifest"] == manifest


@everything("sessions")
def test_sessions(case: Case) -> None:  # SES-1, SES-2, SES-3
    transcript = raw(case, "transcript")
    secrets = {role: raw(case, f"{role}_secret") for role in ("initiator", "responder")}
    shared = Ephemeral.from_secret(secrets["initiator"]).agree(raw(case, "responder_public"))
    assert shared == crypto.x25519_agree(secrets["responder"], crypto.x25519_public(secrets["initiator"]))
    keys = derive_session(shared=shared, transcript=transcript, is_initiator=False)
    session_id, from_initiator, from_responder = handshake.session_keys(shared, transcript)
    assert keys.session_id == session_id == raw(case, "session_id")
    if "code" in case:
        expect(
            case,
            None,
            lambda case: [
                keys.receive.open(bytes.fromhex(data), raw(case, "aad")) for data in case["receive"]
            ],
            lambda case: _open_all(from_initiator, case),
        )
        return
    second = {"from_initiator": from_initiator, "from_responder": from_responder}
    epoch = 0
    for message in case["messages"]:
        if message["epoch"] > epoch:
            epoch += 1
            keys.send.rekey()
            keys.receive.rekey()
            second = {name: crypto.hkdf(key, b"", b"skyops/rekey/1", 32) for name, key in second.items()}
        _check_message(message, keys.receive, keys.send, second)


def _check_message(message: Case, receive: CipherState, send: CipherState, second: dict[str, bytes]) -> None:
    plaintext, aad = raw(message, "plaintext"), raw(message, "aad")
    assert receive.open(raw(message, "from_initiator"), aad) == plaintext
    assert send.seal(plaintext, aad) == raw(message, "from_responder")
    for name, key in second.items():
        assert (
            crypto.xchacha_open(key, handshake.nonce(message["counter"]), raw(message, name), aad)
            == plaintext
        )


def _open_all(key: bytes, case: Case) -> list[bytes]:
    streams = map(bytes.fromhex, case["receive"])
    return [
        crypto.xchacha_open(key, handshake.nonce(counter), data, raw(case, "aad"))
        for counter, data in enumerate(streams)
    ]


@everything("sealing")
def test_sealing(case: Case) -> None:  # KEY-5
    def second(case: Case) -> str:
        sealed = raw(case, "sealed")
        if len(sealed) < 48:
            raise RefusedError("malformed")
        shared = crypto.x25519_agree(crypto.x25519_static(raw(case, "seed")), sealed[:32])
        key = crypto.hkdf(shared, sealed[:32] + raw(case, "x25519_public"), b"skyops/sealed/1", 32)
        return crypto.xchacha_open(key, bytes(24), sealed[32:], b"").hex()

    expect(
        case,
        case.get("plaintext"),
        lambda case: open_sealed(NodeKey.from_seed(raw(case, "seed")), raw(case, "sealed")).hex(),
        second,
    )


# --- 02 ---------------------------------------------------------------------------------------------------------
@everything("envelopes")
def test_envelopes(case: Case) -> None:  # ENV-1 to ENV-8
    bytes_max = case.get("bytes_max", 66_048)
    kind = schema.kind_of(case["message"])

    def ours(case: Case) -> Any:
        signed = open_envelope(raw(case), kind, case["network"], bytes_max=bytes_max)
        return fields_written(named_fields(signed.message)), signed.signer

    def second(case: Case) -> Any:
        fields, signer = wire.envelope(raw(case), case["message"], case["network"], bytes_max)
        return fields_written(fields), signer

    results = outcome(ours, case)
    assert results == outcome(second, case)
    if "code" in case:
        assert results == {"code": case["code"]}
    else:
        assert results == (case.get("fields", results[0]), case["signer"])
