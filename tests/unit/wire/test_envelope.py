"""Envelopes: libp2p's form, our domains, and one code for each way to be wrong."""

import pytest
from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.crypto.pb import crypto_pb2
from libp2p.peer.envelope import Envelope, make_unsigned
from libp2p.peer.pb import envelope_pb2 as pb

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import ENVELOPE_BYTES_MAX
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.framing import encode_uvarint
from skyops_p2p.wire.messages.identity import Binding
from skyops_p2p.wire.messages.peering import EquivocationProof, Ping, Presence
from skyops_p2p.wire.model import encode_message
from tests.unit.wire.test_model import BEAT

NETWORK = "testnet-4f2a"
ALICE = NodeKey.from_seed(bytes([1] * 32))
MALLORY = NodeKey.from_seed(bytes([6] * 32))
SEALED = seal(BEAT, ALICE, NETWORK)
KEY_FIELD = b"\x0a\x24\x08\x01\x12\x20" + ALICE.public_key
BINDING = Binding(
    peer=bytes(38),
    wallet=bytes(20),
    x25519=bytes(32),
    network=NETWORK,
    chain_id=1,
    issued_unix_ms=0,
    expires_unix_ms=1,
    wallet_signature=bytes(65),
)


def refused_code(data: bytes, kind: type = Presence, network: str = NETWORK) -> str:
    with pytest.raises(RemoteProtocolError) as refused:
        open_envelope(data, kind, network)
    return refused.value.code


def forge(
    payload: bytes, *, key: NodeKey = ALICE, name: str = "presence", domain: str | None = None
) -> bytes:
    """Write an envelope field by field, with its signature right for the given domain."""
    payload_type = f"/skyops/{name}".encode()
    parts = ((domain or f"skyops/{NETWORK}/{name}/1").encode(), payload_type, payload)
    signature = key.sign(b"".join(encode_uvarint(len(part)) + part for part in parts))
    fields = (
        (0x0A, b"\x08\x01\x12\x20" + key.public_key),
        (0x12, payload_type),
        (0x1A, payload),
        (0x2A, signature),
    )
    return b"".join(bytes([tag]) + encode_uvarint(len(value)) + value for tag, value in fields)


def test_sealed_message_opens() -> None:  # ENV-1, ENV-9
    signed = open_envelope(SEALED, Presence, NETWORK)
    assert (signed.message, signed.signer, signed.data) == (BEAT, ALICE.peer_id, SEALED)
    assert signed.digest == sha256(SEALED)
    assert forge(encode_message(BEAT)) == SEALED


def test_libp2p_reads_our_envelope() -> None:  # ENV-1, ENV-3
    message = pb.Envelope()
    message.ParseFromString(SEALED)
    assert message.SerializeToString(deterministic=True) == SEALED
    assert message.public_key.Type == crypto_pb2.KeyType.Ed25519
    key = Ed25519PublicKey.from_bytes(message.public_key.Data)
    envelope = Envelope(key, message.payload_type, message.payload, message.signature)
    envelope.validate(f"skyops/{NETWORK}/presence/1")
    unsigned = make_unsigned(f"skyops/{NETWORK}/presence/1", b"/skyops/presence", message.payload)
    assert key.verify(bytes(unsigned), message.signature)


def test_every_changed_bit_is_refused() -> None:  # ENV-3, ENV-4
    for place in range(len(SEALED)):
        for bit in (1, 0x80):
            changed = SEALED[:place] + bytes([SEALED[place] ^ bit]) + SEALED[place + 1 :]
            assert refused_code(changed) in {
                "bad_key", "bad_signature", "malformed", "non_canonical", "wrong_type"
            }  # fmt: skip


def test_every_truncation_is_malformed() -> None:  # ENV-4
    assert {refused_code(SEALED[:length]) for length in range(len(SEALED))} == {"malformed"}


def test_another_signer_under_the_same_signature_is_refused() -> None:  # ENV-3
    assert refused_code(SEALED.replace(ALICE.public_key, MALLORY.public_key)) == "bad_signature"


def test_signature_for_another_network_is_refused() -> None:  # CNV-7, ENV-3
    assert refused_code(SEALED, network="skyops") == "bad_signature"


def test_message_that_names_another_network_is_told_apart() -> None:  # ENV-7
    sealed = seal(BINDING, ALICE, NETWORK)
    assert open_envelope(sealed, Binding, NETWORK).message == BINDING
    assert refused_code(sealed, Binding, "skyops") == "wrong_network"
    smuggled = forge(encode_message(BINDING), name="binding", domain="skyops/skyops/binding/1")
    assert refused_code(smuggled, Binding, "skyops") == "wrong_network"


def test_we_do_not_seal_for_another_network_than_the_message_names() -> None:  # ENV-7
    with pytest.raises(LocalProtocolError):
        seal(BINDING, ALICE, "skyops")


def test_another_kind_is_wrong_type_even_if_its_payload_fits() -> None:  # ENV-6
    assert refused_code(SEALED, Ping) == "wrong_type"
    renamed = forge(encode_message(BEAT), name="ping")
    assert refused_code(renamed) == "wrong_type"
    assert refused_code(renamed, Ping) == "wrong_type"  # its number says presence


def test_signature_for_the_domain_of_another_kind_is_refused() -> None:  # ENV-3
    assert refused_code(forge(encode_message(BEAT), domain=f"skyops/{NETWORK}/ping/1")) == "bad_signature"
    assert refused_code(forge(encode_message(BEAT), domain="libp2p-peer-record")) == "bad_signature"


def test_key_of_another_type_is_bad_key() -> None:  # ENV-5
    assert refused_code(SEALED.replace(b"\x08\x01\x12\x20", b"\x08\x02\x12\x20")) == "bad_key"
    assert refused_code(SEALED.replace(KEY_FIELD, b"\x0a\x04\x08\x01\x12\x00")) == "bad_key"


def test_signed_garbage_has_the_code_of_its_payload() -> None:  # ENV-8
    assert refused_code(forge(b"\xc1")) == "malformed"
    assert refused_code(forge(b"\x81\xcc\x00\x03")) == "non_canonical"
    assert refused_code(forge(encode_message(Ping(nonce=bytes(8))))) == "wrong_type"
    assert refused_code(forge(b"")) == "malformed"


REORDERED = {
    "fields swapped": SEALED[38:56] + SEALED[:38] + SEALED[56:],
    "field doubled": SEALED[:38] + SEALED,
    "bytes behind": SEALED + b"\0",
    "unknown field first": b"\x08\x01" + SEALED,
    "unknown field last": SEALED + b"\x30\x01",
    "length not minimal": b"\x0a\xa4\x00" + SEALED[2:],
}


@pytest.mark.parametrize("data", REORDERED.values(), ids=REORDERED.keys())
def test_other_protobuf_spelling_is_non_canonical(data: bytes) -> None:  # ENV-4
    assert refused_code(data) == "non_canonical"


def test_length_past_the_end_or_too_long_is_malformed() -> None:  # ENV-4
    assert refused_code(SEALED[:-66] + b"\x2a\xff\xff\xff\x7f") == "malformed"
    assert refused_code(SEALED[:-66] + b"\x2a\xff\xff\xff\xff\x7f") == "malformed"


def test_size_one_below_at_and_above_the_limit() -> None:  # ENV-2
    for size in (len(SEALED) + 1, len(SEALED)):
        assert open_envelope(SEALED, Presence, NETWORK, bytes_max=size).message == BEAT
    with pytest.raises(RemoteProtocolError) as refused:
        open_envelope(SEALED, Presence, NETWORK, bytes_max=len(SEALED) - 1)
    assert refused.value.code == "oversized"
    assert refused_code(bytes(ENVELOPE_BYTES_MAX + 1)) == "oversized"


def test_largest_message_fits_its_envelope_and_a_larger_is_our_bug() -> None:  # ENV-2
    class Blob(EquivocationProof):
        """Only its size matters."""

    largest = canonical.encode(bytes(64 * 1024 - 3))
    assert len(forge(largest, name="n" * 64)) <= ENVELOPE_BYTES_MAX
    blob = Blob.model_construct(kind="node-record", first=bytes(40_000), second=bytes(40_000))
    with pytest.raises(LocalProtocolError):
        seal(blob, ALICE, NETWORK)
