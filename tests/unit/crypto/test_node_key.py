"""Node keys and peer ids: RFC 8032 and RFC 7748 vectors, libp2p's spelling, and refusals."""

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.peer.id import ID

from skyops_p2p.crypto import node_key
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import PeerId

RFC8032_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC8032_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
RFC8032_SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)
SMALL_ORDER = [
    bytes(32),
    bytes([1]) + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
]
"""Points of small order on Curve25519."""
RSA_PEER = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
"""A peer id of libp2p's specification that is a SHA-256 multihash."""


@pytest.fixture
def alice() -> NodeKey:
    return NodeKey.from_seed(RFC8032_SEED)


def test_signature_fits_rfc_8032(alice: NodeKey) -> None:
    assert alice.public_key == RFC8032_PUBLIC
    assert alice.sign(b"") == RFC8032_SIGNATURE
    node_key.verify(RFC8032_PUBLIC, b"", RFC8032_SIGNATURE)


def test_peer_id_is_the_one_that_libp2p_computes(alice: NodeKey) -> None:
    foreign = ID.from_pubkey(Ed25519PublicKey.from_bytes(alice.public_key))
    assert alice.peer_id == str(foreign)
    assert node_key.peer_id_to_bytes(alice.peer_id) == foreign.to_bytes()
    assert len(foreign.to_bytes()) == 38
    assert node_key.public_key_of(alice.peer_id) == alice.public_key


@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_changed_signature_is_refused(alice: NodeKey, place: int) -> None:  # KEY-1
    changed = bytearray(RFC8032_SIGNATURE)
    changed[place] ^= 1
    with pytest.raises(RemoteProtocolError) as refused:
        node_key.verify(alice.public_key, b"", bytes(changed))
    assert refused.value.code == "bad_signature"


@pytest.mark.parametrize("size", [0, 63, 65, 128])
def test_signature_of_another_length_is_refused(alice: NodeKey, size: int) -> None:  # KEY-1
    signature = (RFC8032_SIGNATURE + RFC8032_SIGNATURE)[:size]
    with pytest.raises(RemoteProtocolError) as refused:
        node_key.verify(alice.public_key, b"", signature)
    assert refused.value.code == "bad_signature"


def test_a_longer_signature_does_not_borrow_bytes_from_the_message(alice: NodeKey) -> None:  # KEY-1
    signature = alice.sign(b"xy")
    with pytest.raises(RemoteProtocolError):
        node_key.verify(alice.public_key, b"y", signature + b"x")


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), bytes(32), bytes([1]) + bytes(31)])
def test_useless_public_key_verifies_nothing(key: bytes) -> None:  # KEY-1
    with pytest.raises(RemoteProtocolError) as refused:
        node_key.verify(key, b"", bytes([1]) + bytes(63))
    assert refused.value.code == "bad_signature"


def test_static_x25519_key_agrees_and_differs_from_the_signing_key(alice: NodeKey) -> None:  # KEY-2
    bob = NodeKey.from_seed(bytes([2] * 32))
    assert alice.x25519_agree(bob.x25519_public) == bob.x25519_agree(alice.x25519_public)
    assert alice.x25519_public != alice.public_key


def test_x25519_fits_rfc_7748_section_5_2() -> None:
    shared = node_key.x25519(
        bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
        bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
    )
    assert shared.hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"


@pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda point: point[:2].hex())
def test_x25519_point_of_small_order_is_refused(alice: NodeKey, point: bytes) -> None:  # KEY-3
    with pytest.raises(RemoteProtocolError) as refused:
        alice.x25519_agree(point)
    assert refused.value.code == "bad_key"


@pytest.mark.parametrize("size", [0, 31, 33])
def test_x25519_key_of_another_length_is_refused(alice: NodeKey, size: int) -> None:  # KEY-3
    with pytest.raises(RemoteProtocolError) as refused:
        alice.x25519_agree(bytes([9] * size))
    assert refused.value.code == "bad_key"


def test_repr_shows_no_secret(alice: NodeKey) -> None:
    assert repr(alice) == f"NodeKey({alice.peer_id})"
    assert alice.seed == RFC8032_SEED


@pytest.mark.parametrize("size", [0, 31, 33])
def test_seed_of_another_length_is_our_bug(size: int) -> None:
    with pytest.raises(LocalProtocolError):
        NodeKey.from_seed(bytes(size))


def test_hashed_peer_id_parses_but_has_no_key() -> None:  # CNV-10
    assert node_key.peer_id_from_bytes(node_key.peer_id_to_bytes(PeerId(RSA_PEER))) == RSA_PEER
    with pytest.raises(RemoteProtocolError) as refused:
        node_key.public_key_of(PeerId(RSA_PEER))
    assert refused.value.code == "bad_key"


BAD_TEXT = {
    "empty": "",
    "not base58": "0OIl",
    "not ascii": "12D3KooWé",
    "too long": "1" * 65,
    "another multihash": base58.b58encode(bytes.fromhex("1114") + bytes(20)).decode(),
    "cut short": "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH",
    "spaces around": " 12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5 ",
}


@pytest.mark.parametrize("text", BAD_TEXT.values(), ids=BAD_TEXT.keys())
def test_what_is_no_peer_id_is_refused(text: str) -> None:  # CNV-10
    with pytest.raises(RemoteProtocolError) as refused:
        node_key.peer_id_to_bytes(PeerId(text))
    assert refused.value.code == "malformed"


@given(st.binary(max_size=48))
def test_bytes_of_no_known_form_are_malformed(data: bytes) -> None:  # CNV-10
    with pytest.raises(RemoteProtocolError) as refused:
        node_key.peer_id_from_bytes(b"\x00\x25" + data)
    assert refused.value.code == "malformed"


@given(st.binary(min_size=32, max_size=32))
def test_every_key_has_a_peer_id_and_comes_back(public_key: bytes) -> None:  # CNV-10
    text = node_key.peer_id_from_public_key(public_key)
    assert node_key.public_key_of(text) == public_key
    assert node_key.peer_id_from_bytes(node_key.peer_id_to_bytes(text)) == text
