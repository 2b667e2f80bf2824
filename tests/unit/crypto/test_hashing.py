"""Published vectors of the hash functions."""

import pytest

from skyops_p2p.crypto.hashing import hkdf_sha256, keccak256, sha256
from skyops_p2p.errors import LocalProtocolError


def test_sha256_and_keccak256_of_nothing() -> None:
    assert sha256(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_hkdf_fits_rfc_5869_case_1() -> None:
    output = hkdf_sha256(
        bytes([0x0B] * 22), salt=bytes(range(13)), info=bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"), size=42
    )
    assert output.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_hkdf_fits_rfc_5869_case_3_with_no_salt_and_no_info() -> None:
    output = hkdf_sha256(bytes([0x0B] * 22), salt=b"", info=b"", size=42)
    assert output.hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


def test_hkdf_size_one_below_at_and_above_its_bounds() -> None:
    assert len(hkdf_sha256(b"k", salt=b"", info=b"", size=1)) == 1
    assert len(hkdf_sha256(b"k", salt=b"", info=b"", size=8160)) == 8160
    for size in (0, 8161):
        with pytest.raises(LocalProtocolError):
            hkdf_sha256(b"k", salt=b"", info=b"", size=size)
