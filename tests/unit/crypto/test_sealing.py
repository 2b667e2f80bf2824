"""Sealing to a node's static key."""

import pytest

from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.crypto.sealing import SEALED_OVERHEAD_BYTES, open_sealed, seal_to
from skyops_p2p.errors import RemoteProtocolError

BOB = NodeKey.from_seed(bytes([2] * 32))
SECRET = bytes([9] * 32)


@pytest.mark.parametrize("plaintext", [b"", b"a", bytes(10_000)])
def test_only_the_recipient_opens(plaintext: bytes) -> None:  # KEY-5
    sealed = seal_to(BOB.x25519_public, plaintext, ephemeral_secret=SECRET)
    assert len(sealed) == len(plaintext) + SEALED_OVERHEAD_BYTES
    assert open_sealed(BOB, sealed) == plaintext
    with pytest.raises(RemoteProtocolError) as refused:
        open_sealed(NodeKey.from_seed(bytes([3] * 32)), sealed)
    assert refused.value.code == "bad_ciphertext"


def test_every_changed_byte_is_noticed() -> None:  # KEY-5
    sealed = seal_to(BOB.x25519_public, b"key of a job", ephemeral_secret=SECRET)
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(RemoteProtocolError):
            open_sealed(BOB, changed)


@pytest.mark.parametrize("size", [0, 32, SEALED_OVERHEAD_BYTES - 1])
def test_too_short_is_malformed(size: int) -> None:  # KEY-5
    with pytest.raises(RemoteProtocolError) as refused:
        open_sealed(BOB, bytes([9] * size))
    assert refused.value.code == "malformed"


def test_small_order_point_is_refused_on_both_sides() -> None:  # KEY-3
    with pytest.raises(RemoteProtocolError) as refused:
        seal_to(bytes(32), b"", ephemeral_secret=SECRET)
    assert refused.value.code == "bad_key"
    with pytest.raises(RemoteProtocolError) as refused:
        open_sealed(BOB, bytes(48))
    assert refused.value.code == "bad_key"
