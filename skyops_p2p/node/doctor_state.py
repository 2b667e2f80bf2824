"""The doctor's checks of the data directory: the directory itself, the keys, the wallet, the store."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from skyops_p2p.adapters.sqlite import STORE_FILE_NAME, inspect_store, lock_holder
from skyops_p2p.config import NodeConfig
from skyops_p2p.errors import IdentityError, StoreError
from skyops_p2p.node.finding import Finding
from skyops_p2p.node.identity import (
    NODE_KEY_FILE,
    PASSPHRASE_FILE_VARIABLE,
    PASSPHRASE_VARIABLE,
    WALLET_FILE,
    load_node_key,
    load_wallet,
    read_passphrase,
)


def running_process(data_dir: Path) -> int | None:
    """Return the process that uses the data directory now (0 if its id is unknown), or None."""
    return lock_holder((data_dir / STORE_FILE_NAME).with_suffix(".lock"))


def check_settings(config: NodeConfig, *, is_running: bool) -> list[Finding]:
    """Say whose settings were looked at: a running node may have been started with flags, or joined with them."""
    name, network = "settings", f"network {config.network.name}"
    if is_running:
        return [Finding(name, "ok", f"{network}, as the running node has them")]
    if running_process(config.data_dir) is None:
        return [Finding(name, "ok", f"{network}, as files and environment say")]
    mend = "Restart the node, or switch [api] enabled on, to have looked at what it runs with."
    return [
        Finding(name, "warn", f"{network}, as files and environment say: the running node tells none", mend)
    ]


def check_data_dir(config: NodeConfig) -> list[Finding]:
    """Check that the directory is there, ours, writable, and closed to others."""
    name, path = "data directory", config.data_dir
    try:
        facts = path.stat()
    except OSError as error:
        mend = f"Run `skyops init --data-dir {path}`."
        return [Finding(name, "fail", f"{path}: {error.strerror}", mend)]
    if not stat.S_ISDIR(facts.st_mode):
        return [Finding(name, "fail", f"{path} is not a directory", "Name another one with --data-dir.")]
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return [Finding(name, "fail", f"{path} cannot be written", f"sudo chown -R $USER {path}")]
    mode = stat.S_IMODE(facts.st_mode)
    if mode & 0o022:
        return [
            Finding(name, "fail", f"{path} can be changed by others (mode {mode:03o})", f"chmod 700 {path}")
        ]
    if mode & 0o077:
        return [
            Finding(name, "warn", f"{path} can be listed by others (mode {mode:03o})", f"chmod 700 {path}")
        ]
    return [Finding(name, "ok", str(path))]


def check_node_key(config: NodeConfig) -> list[Finding]:
    """Check that the node key opens."""
    try:
        key = load_node_key(config.data_dir / NODE_KEY_FILE)
    except IdentityError as error:
        return [Finding("node key", "fail", str(error), error.hint)]
    return [Finding("node key", "ok", key.peer_id)]


def check_wallet(config: NodeConfig, environment: Mapping[str, str]) -> list[Finding]:
    """Check that the wallet opens with the passphrase that is set; takes about a second."""
    name = "wallet"
    path = config.data_dir / WALLET_FILE
    try:
        passphrase = read_passphrase(environment)
        wallet = load_wallet(path, passphrase or "")
    except IdentityError as error:
        if error.code == "wrong_passphrase" and not _is_set(environment):
            mend = (
                f"Set {PASSPHRASE_VARIABLE} or {PASSPHRASE_FILE_VARIABLE}, or type it when `skyops run` asks."
            )
            return [Finding(name, "warn", f"{path} is there, but no passphrase is set to open it", mend)]
        return [Finding(name, "fail", str(error), error.hint)]
    if not passphrase and not config.is_testnet:
        mend = "Move the money to a new wallet with a passphrase: whoever copies this file owns it."
        return [Finding(name, "warn", f"{wallet.address}, with an empty passphrase", mend)]
    return [Finding(name, "ok", wallet.address)]


def check_store(config: NodeConfig) -> list[Finding]:
    """Check that the store is whole, or in use by a running node."""
    name, path = "store", config.data_dir / STORE_FILE_NAME
    holder = running_process(config.data_dir)
    if holder is not None:
        return [Finding(name, "ok", f"in use by the running node (process {holder or 'unknown'})")]
    if not path.exists():
        return [Finding(name, "ok", "none yet; the first `skyops run` makes it")]
    try:
        version = inspect_store(path)
    except StoreError as error:
        return [Finding(name, "fail", str(error), error.hint)]
    return [Finding(name, "ok", f"{path.stat().st_size / 2**20:.1f} MiB, schema {version}")]


def _is_set(environment: Mapping[str, str]) -> bool:
    return any(environment.get(name) for name in (PASSPHRASE_VARIABLE, PASSPHRASE_FILE_VARIABLE))
