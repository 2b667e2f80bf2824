"""The node's two keys on disk: made once, readable by the owner only, never overwritten.

- `node.key`: the Ed25519 seed as PKCS#8 in PEM (RFC 8410), which openssl and other programs read. It is not
  encrypted: a node must be able to start alone, and the key moves no money.
- `wallet.json`: the secp256k1 secret as a keystore of version 3, under a passphrase.

A file is written beside its place, synced and linked into place, so a crash leaves all of it or nothing.
"""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.crypto.wallet import Wallet, address_from_bytes
from skyops_p2p.errors import IdentityError, LocalProtocolError
from skyops_p2p.node.keystore import KDF_WORK, open_secret, seal_secret
from skyops_p2p.ports import Entropy
from skyops_p2p.types import WalletAddress

NODE_KEY_FILE = "node.key"
WALLET_FILE = "wallet.json"
PASSPHRASE_VARIABLE = "SKYOPS_WALLET_PASSPHRASE"  # noqa: S105 - the name of a variable, not a secret
PASSPHRASE_FILE_VARIABLE = "SKYOPS_WALLET_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable
KEY_FILE_BYTES_MAX = 16 * 1024
"""More than any key file holds; a larger file is not one."""

_PEM_BEGIN, _PEM_END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
_PKCS8_ED25519 = bytes.fromhex("302e020100300506032b657004220420")
"""DER of RFC 8410's OneAsymmetricKey, version 1, Ed25519; 32 bytes of seed follow."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is."""

    node_key: NodeKey
    """Ed25519: the libp2p peer id."""
    wallet: Wallet
    """secp256k1: the payout account."""


async def create_identity(
    data_dir: Path, *, passphrase: str, entropy: Entropy, kdf_work: int = KDF_WORK
) -> Identity:
    """Make both keys in `data_dir`, which is made with mode 0700 if it is not there.

    Args:
        data_dir: Where the files go; other files in it are left alone.
        passphrase: Protects the wallet. An empty one protects nothing: for test networks only, and whoever
            asks for it should be told.
        entropy: Where the secrets come from.
        kdf_work: See keystore.seal_secret; the default takes about a second.

    Raises:
        IdentityError: `identity_exists` if either file is there (nothing is changed), `key_unreadable` if
            the files cannot be written.
    """
    return await trio.to_thread.run_sync(_create, data_dir, passphrase, entropy, kdf_work)


async def add_wallet(
    data_dir: Path, secret: bytes | None, *, passphrase: str, entropy: Entropy, kdf_work: int = KDF_WORK
) -> Identity:
    """Put a wallet into `data_dir` that has none, and a node key if there is none either.

    Args:
        data_dir: Where the files go, as for `create_identity`.
        secret: The wallet's 32 bytes; None: a new one.
        passphrase: Protects the wallet, as for `create_identity`.
        entropy: Where new secrets come from.
        kdf_work: See keystore.seal_secret.

    Raises:
        IdentityError: `identity_exists`: there is a wallet, and it is left as it is; `key_damaged`: that is no secret;
            `key_unreadable`, and for the node key as `load_node_key`.
    """
    return await trio.to_thread.run_sync(_add_wallet, data_dir, secret, passphrase, (entropy, kdf_work))


def read_address(data_dir: Path) -> WalletAddress:
    """Return the address of a directory's wallet, which stands in its file in clear.

    Raises:
        IdentityError: `key_damaged`.
    """
    try:
        stored = json.loads((data_dir / WALLET_FILE).read_text(encoding="utf-8"))
        return address_from_bytes(bytes.fromhex(str(stored["address"]).removeprefix("0x")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IdentityError(
            f"{data_dir / WALLET_FILE} is missing or damaged",
            code="key_damaged",
            hint="Restore it from a backup; `skyops init` makes a new one in an empty directory.",
        ) from error


async def load_identity(data_dir: Path, passphrase: str) -> Identity:
    """Read both keys.

    Raises:
        IdentityError: `key_missing`, `key_exposed` (group or others may read it), `key_unreadable`,
            `key_damaged` or `wrong_passphrase`. No message repeats anything of a key.
    """
    return await trio.to_thread.run_sync(_load, data_dir, passphrase)


def load_node_key(path: Path) -> NodeKey:
    """Read the node key alone; quick, needs no passphrase.

    Raises:
        IdentityError: As `load_identity`.
    """
    lines = [line.strip() for line in _read_private(path).strip().splitlines()]
    try:
        if len(lines) < 3 or (lines[0], lines[-1]) != (_PEM_BEGIN, _PEM_END):
            raise ValueError("not a PEM private key")
        der = base64.b64decode("".join(lines[1:-1]), validate=True)
        if len(der) != 48 or not der.startswith(_PKCS8_ED25519):
            raise ValueError("not an Ed25519 private key in PKCS#8")
    except (ValueError, binascii.Error) as error:
        raise IdentityError(f"{path} is damaged: {error}", code="key_damaged", hint=_RESTORE_HINT) from error
    return NodeKey.from_seed(der[len(_PKCS8_ED25519) :])


def load_wallet(path: Path, passphrase: str) -> Wallet:
    """Read the wallet alone; takes about a second of CPU, so call it in a thread.

    Raises:
        IdentityError: As `load_identity`.
    """
    text = _read_private(path)
    try:
        return Wallet.from_secret(open_secret(text, passphrase))
    except IdentityError as error:
        hint = _RESTORE_HINT if error.code == "key_damaged" else error.hint
        raise IdentityError(f"{path}: {error}", code=error.code, hint=hint) from error
    except LocalProtocolError as error:
        raise IdentityError(
            f"{path}: it holds no usable secret", code="key_damaged", hint=_RESTORE_HINT
        ) from error


def read_passphrase(environment: Mapping[str, str]) -> str | None:
    """Return the wallet's passphrase from the environment or the file it names, or None if neither is set.

    One line break at the end of the file is not part of the passphrase.

    Raises:
        IdentityError: `key_unreadable` if the file cannot be read, `key_exposed` if others may read it.
    """
    if (text := environment.get(PASSPHRASE_VARIABLE)) is not None:
        return text
    if path := environment.get(PASSPHRASE_FILE_VARIABLE):
        return _read_private(Path(path).expanduser()).removesuffix("\n").removesuffix("\r")
    return None


_RESTORE_HINT = "Restore the file from a backup, or move it aside and run `skyops init` for a new identity."


def _create(data_dir: Path, passphrase: str, entropy: Entropy, kdf_work: int) -> Identity:
    node_path, wallet_path = data_dir / NODE_KEY_FILE, data_dir / WALLET_FILE
    for path in (node_path, wallet_path):
        if path.exists() or path.is_symlink():
            raise _exists(path)
    identity = Identity(NodeKey.from_seed(entropy.token(32)), Wallet.from_secret(_scalar(entropy)))
    wallet = identity.wallet
    keystore = seal_secret(
        wallet.secret, passphrase, address=wallet.address, random=entropy.token(64), kdf_work=kdf_work
    )
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The wallet first: what `node.key` stands for is complete when it is there.
        _write_private(wallet_path, keystore)
        try:
            _write_private(node_path, _pem(identity.node_key.seed))
        except BaseException:
            wallet_path.unlink()  # our own, a moment old and of no use without the other
            raise
    except OSError as error:
        raise _unwritable(data_dir, error) from error
    return identity


def _add_wallet(
    data_dir: Path, secret: bytes | None, passphrase: str, made_with: tuple[Entropy, int]
) -> Identity:
    entropy, kdf_work = made_with
    node_path, wallet_path = data_dir / NODE_KEY_FILE, data_dir / WALLET_FILE
    if wallet_path.exists() or wallet_path.is_symlink():
        raise _exists(wallet_path)
    try:
        wallet = Wallet.from_secret(_scalar(entropy) if secret is None else secret)
    except LocalProtocolError as error:
        raise IdentityError("these 32 bytes are no secret of a wallet", code="key_damaged") from error
    has_node_key = node_path.exists()
    node_key = load_node_key(node_path) if has_node_key else NodeKey.from_seed(entropy.token(32))
    keystore = seal_secret(
        wallet.secret, passphrase, address=wallet.address, random=entropy.token(64), kdf_work=kdf_work
    )
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(wallet_path, keystore)
        if not has_node_key:
            _write_private(node_path, _pem(node_key.seed))
    except OSError as error:
        raise _unwritable(data_dir, error) from error
    return Identity(node_key, wallet)


def _unwritable(data_dir: Path, error: OSError) -> IdentityError:
    return IdentityError(
        f"cannot write the keys in {data_dir}: {error.strerror}",
        code="key_unreadable",
        hint="Check that the directory can be written and that the disk has room.",
    )


def _load(data_dir: Path, passphrase: str) -> Identity:
    node_key = load_node_key(data_dir / NODE_KEY_FILE)
    return Identity(node_key, load_wallet(data_dir / WALLET_FILE, passphrase))


def _scalar(entropy: Entropy) -> bytes:
    """Draw a secp256k1 secret; a draw outside the group has a chance of 2^-128, so two draws always do."""
    first = entropy.token(32)
    try:
        Wallet.from_secret(first)
    except LocalProtocolError:
        return entropy.token(32)
    return first


def _pem(seed: bytes) -> str:
    return f"{_PEM_BEGIN}\n{base64.b64encode(_PKCS8_ED25519 + seed).decode()}\n{_PEM_END}\n"


def _exists(path: Path) -> IdentityError:
    return IdentityError(
        f"{path} is there already; a key is never overwritten",
        code="identity_exists",
        hint="Use another data directory, or move the old keys to a safe place first.",
    )


def _write_private(path: Path, text: str) -> None:
    """Write a file for the owner only, all or nothing, and never over another one.

    Raises:
        IdentityError: `identity_exists`.
        OSError: It cannot be written.
    """
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask says
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike rename, this fails if somebody was quicker
    except FileExistsError as error:
        raise _exists(path) from error
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read_private(path: Path) -> str:
    """Return the text of a file that only its owner may read.

    Raises:
        IdentityError: `key_missing`, `key_exposed`, `key_unreadable` or `key_damaged`.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777  # of the open file: no race with a swap
            if mode & 0o077:
                raise IdentityError(
                    f"{path} can be read by others (mode {mode:03o})",
                    code="key_exposed",
                    hint=f"chmod 600 {path} - and think about who may have read it.",
                )
            raw = file.read(KEY_FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise IdentityError(
            f"there is no {path}",
            code="key_missing",
            hint=f"Run `skyops init --data-dir {path.parent}` to make an identity.",
        ) from error
    except OSError as error:
        raise IdentityError(f"cannot read {path}: {error.strerror}", code="key_unreadable") from error
    if len(raw) > KEY_FILE_BYTES_MAX:
        raise IdentityError(f"{path} is too large for a key", code="key_damaged", hint=_RESTORE_HINT)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise IdentityError(f"{path} is damaged: not text", code="key_damaged", hint=_RESTORE_HINT) from error
