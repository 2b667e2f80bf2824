"""Web3 Secret Storage, version 3: a wallet's secret under a passphrase, as other wallets read and write it.

scrypt by default; pbkdf2 is read too, since some wallets write it. The parameters of a file are bounded before
any work is done, so that a damaged file cannot take all memory. The usual library for this format is correct but
costs 0.4 s and 19 MiB to import, which every node would pay; the tests hold this file against it both ways.

Source: ethereum.org, Web3 Secret Storage Definition; RFC 7914 (scrypt), RFC 8018 (PBKDF2).
"""

import hashlib
import hmac
import json
import uuid
from typing import Annotated, Literal

from Crypto.Cipher import AES
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.errors import IdentityError

KDF_WORK = 1 << 18
"""scrypt's n: about 0.7 s and 256 MiB. A test network may use less, see `seal_secret`."""
KDF_WORK_MIN = 1 << 10
KDF_WORK_MAX = 1 << 20
_SCRYPT_R = 8
_SCRYPT_MEMORY_MAX = (1 << 31) - 1  # the most that hashlib admits
_SALT_BYTES = 32
_IV_BYTES = 16

_Hex = Annotated[str, StringConstraints(pattern=r"^(0x)?([0-9a-fA-F]{2})+$", max_length=132)]


class _Part(BaseModel):
    # Unknown keys are kept by other wallets (names, icons): they are ignored here.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Scrypt(_Part):
    dklen: Literal[32]
    n: int = Field(ge=2, le=KDF_WORK_MAX)
    r: int = Field(ge=1, le=16)
    p: int = Field(ge=1, le=16)
    salt: _Hex


class _Pbkdf2(_Part):
    dklen: Literal[32]
    c: int = Field(ge=1, le=10_000_000)
    prf: Literal["hmac-sha256"]
    salt: _Hex


class _CipherParams(_Part):
    iv: _Hex


class _Crypto(_Part):
    cipher: Literal["aes-128-ctr"]
    cipherparams: _CipherParams
    ciphertext: _Hex
    kdf: Literal["scrypt", "pbkdf2"]
    kdfparams: _Scrypt | _Pbkdf2
    mac: _Hex


class _Keystore(_Part):
    version: Literal[3]
    crypto: _Crypto


def seal_secret(
    secret: bytes, passphrase: str, *, address: str, random: bytes, kdf_work: int = KDF_WORK
) -> str:
    """Return the keystore file of a wallet. Slow on purpose: run it in a thread.

    Args:
        secret: The 32-byte secret scalar.
        passphrase: Any text, also empty; an empty one protects nothing.
        address: The wallet's address, written in clear so that it can be shown without the passphrase.
        random: 64 fresh unpredictable bytes: salt, IV and file id.
        kdf_work: scrypt's n, a power of two from KDF_WORK_MIN to KDF_WORK_MAX; lower than KDF_WORK only
            where nothing is worth money.
    """
    assert len(secret) == 32
    assert len(random) == 64
    if kdf_work & (kdf_work - 1) or not KDF_WORK_MIN <= kdf_work <= KDF_WORK_MAX:
        raise ValueError(f"kdf_work is {kdf_work}, not a power of two in {KDF_WORK_MIN}..{KDF_WORK_MAX}")
    salt, iv, name = random[:_SALT_BYTES], random[_SALT_BYTES:48], uuid.UUID(bytes=random[48:], version=4)
    params = _Scrypt(dklen=32, n=kdf_work, r=_SCRYPT_R, p=1, salt=salt.hex())
    derived = _derive(params, passphrase)
    ciphertext = _aes_ctr(derived[:16], iv, secret)
    keystore = {
        "address": address.removeprefix("0x").lower(),
        "id": str(name),
        "version": 3,
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": params.model_dump(),
            "mac": keccak256(derived[16:] + ciphertext).hex(),
        },
    }
    return json.dumps(keystore, indent=2) + "\n"


def open_secret(text: str, passphrase: str) -> bytes:
    """Return the 32-byte secret inside a keystore file. Slow on purpose: run it in a thread.

    Raises:
        IdentityError: `key_damaged` if it is no keystore of version 3 or asks for absurd work,
            `wrong_passphrase` if the passphrase does not open it.
    """
    try:
        sealed = _Keystore.model_validate_json(text).crypto
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise IdentityError(
            f"not a version 3 keystore: {place}: {first['msg']}", code="key_damaged"
        ) from None
    ciphertext, iv = _unhex(sealed.ciphertext), _unhex(sealed.cipherparams.iv)
    if len(ciphertext) != 32 or len(iv) != _IV_BYTES:
        raise IdentityError("the keystore does not hold 32 bytes under a 16-byte IV", code="key_damaged")
    derived = _derive(sealed.kdfparams, passphrase)
    if not hmac.compare_digest(keccak256(derived[16:] + ciphertext), _unhex(sealed.mac)):
        raise IdentityError(
            "the passphrase does not open the wallet",
            code="wrong_passphrase",
            hint="Set SKYOPS_WALLET_PASSPHRASE, or SKYOPS_WALLET_PASSPHRASE_FILE to a file that holds it.",
        )
    return _aes_ctr(derived[:16], iv, ciphertext)


def _derive(params: _Scrypt | _Pbkdf2, passphrase: str) -> bytes:
    secret, salt = passphrase.encode(), _unhex(params.salt)
    if isinstance(params, _Pbkdf2):
        return hashlib.pbkdf2_hmac("sha256", secret, salt, params.c, params.dklen)
    try:
        return hashlib.scrypt(
            secret,
            salt=salt,
            n=params.n,
            r=params.r,
            p=params.p,
            maxmem=_SCRYPT_MEMORY_MAX,
            dklen=params.dklen,
        )
    except (ValueError, MemoryError) as error:
        raise IdentityError(
            f"the keystore's scrypt parameters cannot be used: {error}", code="key_damaged"
        ) from error


def _aes_ctr(key: bytes, iv: bytes, content: bytes) -> bytes:
    """Encrypt or decrypt (CTR mode is its own inverse)."""
    return AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=iv).encrypt(content)


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
