"""EIP-712 digests against eth_account's own encoder."""

from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.crypto.typed_data import binding_digest, session_digest
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError

UINT64 = st.integers(0, 2**64 - 1)


def foreign_digest(chain_id: int, types: dict[str, Any], message: dict[str, Any]) -> bytes:
    domain = {"name": "Skyops", "version": "1", "chainId": chain_id}
    return bytes(_hash_eip191_message(encode_typed_data(domain, types, message)))


@given(
    st.binary(min_size=20, max_size=20),
    st.binary(min_size=34, max_size=42),
    st.binary(min_size=32, max_size=32),
    st.text(max_size=24),
    st.integers(1, 2**53),
    UINT64,
    UINT64,
)
def test_binding_digest_is_that_of_eth_account(  # IDN-7
    wallet: bytes, peer_id: bytes, x25519: bytes, network: str, chain_id: int, issued: int, expires: int
) -> None:
    types = {
        "Binding": [
            {"name": "wallet", "type": "address"},
            {"name": "peerId", "type": "bytes"},
            {"name": "x25519", "type": "bytes32"},
            {"name": "network", "type": "string"},
            {"name": "issuedUnixMs", "type": "uint64"},
            {"name": "expiresUnixMs", "type": "uint64"},
        ]
    }
    address = address_from_bytes(wallet)
    message = {
        "wallet": address,
        "peerId": peer_id,
        "x25519": x25519,
        "network": network,
        "issuedUnixMs": issued,
        "expiresUnixMs": expires,
    }
    for account in (address, wallet):
        ours = binding_digest(
            wallet=account,
            peer_id=peer_id,
            x25519=x25519,
            network=network,
            chain_id=chain_id,
            issued_unix_ms=issued,
            expires_unix_ms=expires,
        )
        assert ours == foreign_digest(chain_id, types, message)


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_session_digest_is_that_of_eth_account(role: Any) -> None:
    types = {
        "Session": [
            {"name": "transcript", "type": "bytes32"},
            {"name": "role", "type": "string"},
            {"name": "network", "type": "string"},
        ]
    }
    message = {"transcript": bytes(range(32)), "role": role, "network": "testnet-4f2a"}
    ours = session_digest(transcript=bytes(range(32)), role=role, network="testnet-4f2a", chain_id=31_337)
    assert ours == foreign_digest(31_337, types, message)


def test_each_argument_changes_the_session_digest() -> None:
    base = session_digest(transcript=bytes(32), role="initiator", network="a", chain_id=1)
    others = [
        session_digest(transcript=bytes([1]) + bytes(31), role="initiator", network="a", chain_id=1),
        session_digest(transcript=bytes(32), role="responder", network="a", chain_id=1),
        session_digest(transcript=bytes(32), role="initiator", network="b", chain_id=1),
        session_digest(transcript=bytes(32), role="initiator", network="a", chain_id=2),
    ]
    assert len({base, *others}) == 5


def test_values_out_of_their_type_are_our_bug() -> None:
    with pytest.raises(LocalProtocolError):
        session_digest(transcript=bytes(31), role="initiator", network="a", chain_id=1)
    with pytest.raises(LocalProtocolError):
        session_digest(transcript=bytes(32), role="initiator", network="a", chain_id=-1)
    with pytest.raises(LocalProtocolError):
        binding_digest(
            wallet=address_from_bytes(bytes(20)),
            peer_id=bytes(38),
            x25519=bytes(32),
            network="a",
            chain_id=1,
            issued_unix_ms=2**64,
            expires_unix_ms=0,
        )


@pytest.mark.parametrize("size", [0, 19, 21, 32])
def test_account_of_another_length_is_refused(size: int) -> None:  # CNV-11
    with pytest.raises(RemoteProtocolError, match="20 bytes"):
        binding_digest(
            wallet=bytes(size),
            peer_id=bytes(38),
            x25519=bytes(32),
            network="a",
            chain_id=1,
            issued_unix_ms=0,
            expires_unix_ms=0,
        )
