"""Wallets: EIP-55 vectors, agreement with eth_account, and refusals of malleable signatures."""

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.crypto.wallet import (
    SECP256K1_ORDER,
    Wallet,
    address_from_bytes,
    address_to_bytes,
    checksum,
    recover_address,
)
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import WalletAddress

SECRET = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
DIGEST = bytes(range(32))
EIP55 = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.fixture
def wallet() -> Wallet:
    return Wallet.from_secret(SECRET)


def test_address_and_signature_are_those_of_eth_account(wallet: Wallet) -> None:
    account = Account.from_key(SECRET)
    assert wallet.address == account.address == "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
    assert wallet.sign_digest(DIGEST) == bytes(account.unsafe_sign_hash(DIGEST).signature)


@given(st.binary(min_size=32, max_size=32))
def test_every_signature_is_low_s_and_recovers(digest: bytes) -> None:  # KEY-4
    wallet = Wallet.from_secret(SECRET)
    signature = wallet.sign_digest(digest)
    assert len(signature) == 65
    assert signature[64] in (27, 28)
    assert int.from_bytes(signature[32:64], "big") <= SECP256K1_ORDER // 2
    assert recover_address(digest, signature) == wallet.address


def test_the_malleable_twin_is_refused(wallet: Wallet) -> None:  # KEY-4
    signature = wallet.sign_digest(DIGEST)
    high = SECP256K1_ORDER - int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + high.to_bytes(32, "big") + bytes([55 - signature[64]])
    with pytest.raises(RemoteProtocolError) as refused:
        recover_address(DIGEST, twin)
    assert refused.value.code == "bad_signature"


def _signature(r: int, s: int, v: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])


BAD = {
    "empty": b"",
    "64 bytes": bytes(64),
    "66 bytes": _signature(1, 1, 27) + b"\0",
    "v 0": _signature(1, 1, 0),
    "v 1": _signature(1, 1, 1),
    "v 26": _signature(1, 1, 26),
    "v 29": _signature(1, 1, 29),
    "r 0": _signature(0, 1, 27),
    "s 0": _signature(1, 0, 27),
    "r the order": _signature(SECP256K1_ORDER, 1, 27),
    "s half the order and one": _signature(1, SECP256K1_ORDER // 2 + 1, 27),
    "r no x of a point": _signature(5, 1, 27),
}


@pytest.mark.parametrize("signature", BAD.values(), ids=BAD.keys())
def test_unusable_signature_is_refused(signature: bytes) -> None:  # KEY-4
    with pytest.raises(RemoteProtocolError) as refused:
        recover_address(DIGEST, signature)
    assert refused.value.code == "bad_signature"


def test_s_at_half_the_order_is_taken(wallet: Wallet) -> None:  # KEY-4
    assert recover_address(DIGEST, _signature(1, SECP256K1_ORDER // 2, 27)) != wallet.address


def test_signature_over_another_digest_recovers_another_account(wallet: Wallet) -> None:
    assert recover_address(bytes(32), wallet.sign_digest(DIGEST)) != wallet.address


@pytest.mark.parametrize("text", EIP55)
def test_checksum_fits_eip_55(text: str) -> None:  # CNV-11
    assert checksum(text.lower()) == text
    assert checksum("0x" + text[2:].upper()) == text
    assert checksum(text) == text
    assert address_from_bytes(address_to_bytes(WalletAddress(text))) == text


@pytest.mark.parametrize("text", ["", "0x", EIP55[0][2:], EIP55[0] + "0", EIP55[0][:-1], EIP55[0][:-1] + "g"])
def test_what_is_no_address_is_refused(text: str) -> None:  # CNV-11
    with pytest.raises(RemoteProtocolError) as refused:
        checksum(text)
    assert refused.value.code == "malformed"


def test_wrong_capitals_are_refused() -> None:  # CNV-11
    with pytest.raises(RemoteProtocolError) as refused:
        checksum(EIP55[0].replace("B", "b", 1))
    assert refused.value.code == "malformed"


@pytest.mark.parametrize("size", [0, 19, 21])
def test_address_of_another_length_is_refused(size: int) -> None:  # CNV-11
    with pytest.raises(RemoteProtocolError):
        address_from_bytes(bytes(size))


@pytest.mark.parametrize(
    "secret",
    [b"", bytes(32), bytes(31), SECP256K1_ORDER.to_bytes(32, "big")],
    ids=["empty", "zero", "short", "order"],
)
def test_unusable_secret_is_our_bug(secret: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        Wallet.from_secret(secret)


def test_digest_of_another_length_is_our_bug(wallet: Wallet) -> None:
    with pytest.raises(LocalProtocolError):
        wallet.sign_digest(bytes(31))
    with pytest.raises(LocalProtocolError):
        recover_address(bytes(33), bytes(65))


def test_repr_shows_no_secret(wallet: Wallet) -> None:
    assert repr(wallet) == f"Wallet({wallet.address})"
    assert wallet.secret == SECRET
