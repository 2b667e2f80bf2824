"""Lays out a new test network on disk: ports, identities, settings, record. Starts nothing."""

import json
import secrets
import shutil
import time
from functools import partial
from pathlib import Path

from skyops_p2p.config import CONFIG_FILE_NAME, render_config
from skyops_p2p.errors import SkyopsError, TestnetError
from skyops_p2p.testnet.chain.place import chain_place
from skyops_p2p.testnet.port_numbers import release_ports, reserve_ports
from skyops_p2p.testnet.record import (
    LOCK_NAME,
    RECORD_NAME,
    ChainEntry,
    NodeEntry,
    TestnetRecord,
    write_record,
)
from skyops_p2p.testnet.topology import CHAIN_NAME, NetworkPlan, NodePlan, Topology

CHAIN_ID = 31337
"""The usual chain id of a local development chain."""
PSK_NAME = "psk"
CHAIN_POLL_S = 0.2
"""Seconds between looks at the embedded chain, which makes a block at once."""
FAULTS_NAME = "faults.json"
"""A node's faults, read when it starts, so that they survive a restart."""


def node_dir(directory: Path, name: str) -> Path:
    """Return a node's data directory."""
    return directory / "nodes" / name


def guests_dir(directory: Path) -> Path:
    """Return where peers that join from outside without a data directory of their own keep theirs."""
    return directory / "guests"


def chain_dir(directory: Path) -> Path:
    """Return the directory of the network's embedded chain."""
    return directory / CHAIN_NAME


def log_path(directory: Path, name: str) -> Path:
    """Return the file that a node's output goes to."""
    return chain_place(chain_dir(directory)).log if name == CHAIN_NAME else node_dir(directory, name) / "log"


def create_files(directory: Path, *, name: str, topology: Topology) -> TestnetRecord:
    """Make identities and settings for every node and write the record.

    Args:
        directory: The network's own directory; must hold no test network.
        name: What people call it.
        topology: The nodes, expanded.

    Raises:
        TestnetError: `ports_exhausted`.
    """
    has_chain = topology.network.chain
    *ports, chain_port = reserve_ports(len(topology.nodes) + 1, directory)
    try:
        peer_ids = _make_identities([node_dir(directory, plan.name) for plan in topology.nodes])
        entries = tuple(
            NodeEntry(
                name=plan.name,
                peer_id=peer_id,
                port=port,
                gpus=plan.gpus,
                region=plan.region,
                is_worker=plan.worker,
            )
            for plan, peer_id, port in zip(topology.nodes, peer_ids, ports, strict=True)
        )
        record = TestnetRecord(
            name=name,
            network=f"testnet-{secrets.token_hex(2)}",
            chain_id=CHAIN_ID,
            beat_s=topology.network.beat_s,
            probe_slot_s=topology.network.probe_slot_s,
            probe_watch_slots=topology.network.probe_watch_slots,
            psk_file=PSK_NAME if topology.network.private else "",
            chain=_chain_entry(chain_port, topology.network) if has_chain else None,
            created_unix_ms=time.time_ns() // 1_000_000,
            nodes=entries,
        )
        if record.psk_file:
            psk = directory / record.psk_file
            psk.touch(mode=0o600)
            psk.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
        for plan, entry in zip(topology.nodes, entries, strict=True):
            settings = node_settings(record, directory, plan, entry)
            path = node_dir(directory, plan.name) / CONFIG_FILE_NAME
            path.write_text(render_config(settings), encoding="utf-8")
            if plan.delay_ms or plan.loss_permille:
                faults = {"delay_ms": plan.delay_ms, "loss_permille": plan.loss_permille}
                (path.parent / FAULTS_NAME).write_text(json.dumps(faults) + "\n", encoding="utf-8")
        write_record(directory, record)
    except BaseException:
        release_ports(directory)
        raise
    return record


def remove_files(directory: Path) -> None:
    """Remove what `create_files` and the nodes made; the directory itself only if nothing else is in it.

    Raises:
        TestnetError: `cannot_remove`.
    """
    _clear_leftovers([*(directory / "nodes").glob("*"), *guests_dir(directory).glob("*")])
    try:
        shutil.rmtree(directory / "nodes")
        shutil.rmtree(guests_dir(directory), ignore_errors=True)
        shutil.rmtree(chain_dir(directory), ignore_errors=True)
        for name in (PSK_NAME, RECORD_NAME, LOCK_NAME):
            (directory / name).unlink(missing_ok=True)
        if not any(directory.iterdir()):
            directory.rmdir()
    except OSError as error:
        raise TestnetError(f"cannot remove {directory}: {error}", code="cannot_remove") from error


def node_settings(
    record: TestnetRecord, directory: Path, plan: NodePlan, entry: NodeEntry
) -> dict[str, object]:
    """Return the settings of one node, by dotted name."""
    settings = shared_settings(record, directory)
    bootstrap = [addr for addr in record.bootstrap if addr != entry.addr]
    return settings | {
        "network.listen": [f"/ip4/127.0.0.1/tcp/{entry.port}"],
        "network.bootstrap": bootstrap,
        "worker.enabled": plan.worker,
        "worker.region": plan.region,
        "worker.labels": [f"name={plan.name}", *plan.labels],
        "worker.slots": plan.slots,
        "worker.price_microcredits_per_hour": plan.price_microcredits_per_hour,
        "worker.declared_gpus": list(plan.gpus),
        "worker.declared_cpu_cores": plan.cpu_cores,
        "worker.misbehaves": plan.misbehaves,
    }


def shared_settings(record: TestnetRecord, directory: Path) -> dict[str, object]:
    """Return the settings that everybody on the network has, also a peer that joins from outside."""
    settings: dict[str, object] = {
        "is_testnet": True,
        "network.name": record.network,
        "network.chain_id": record.chain_id,
        "network.bootstrap": list(record.bootstrap),
        "network.probe_slot_s": record.probe_slot_s,
        "network.probe_watch_slots": record.probe_watch_slots,
        "presence.beat_s": record.beat_s,
        "presence.probe_timeout_s": min(2.0, max(0.5, record.beat_s)),
    }
    if record.psk_file:
        settings["network.psk_file"] = str(directory / record.psk_file)
    if record.chain is not None:
        settings |= {
            "chain.endpoints": [record.chain.url],
            "chain.confirmations": record.chain.confirmations,
            "chain.poll_s": CHAIN_POLL_S,
            "payment.directory": record.chain.contracts,
            "payment.redeem_interval_s": record.chain.redeem_s,
        }
    return settings


def _chain_entry(port: int, plan: NetworkPlan) -> ChainEntry:
    from skyops_p2p.crypto.wallet import address_from_bytes
    from skyops_p2p.testnet.chain.development import directory_account

    return ChainEntry(
        port=port,
        contracts=address_from_bytes(directory_account()),
        block_s=plan.block_s,
        confirmations=plan.confirmations,
        redeem_s=plan.redeem_s,
    )


def _clear_leftovers(data_dirs: list[Path]) -> None:
    """Remove what nodes that were killed under a job have mounted, or left with the machine's container engine.

    Raises:
        TestnetError: `cannot_remove`.
    """
    import trio

    from skyops_p2p.node.leftovers import clear_leftovers, has_leftovers

    try:
        for data_dir in filter(has_leftovers, data_dirs):
            trio.run(clear_leftovers, data_dir)
    except SkyopsError as error:
        raise TestnetError(f"cannot clear up after {data_dir.name}: {error}", code="cannot_remove") from error


def _make_identities(data_dirs: list[Path]) -> list[str]:
    """Make identities with an unprotected wallet and little work: nothing on a test network is worth money."""
    import trio

    from skyops_p2p.adapters.system import SystemEntropy
    from skyops_p2p.node.identity import create_identity
    from skyops_p2p.node.keystore import KDF_WORK_MIN

    peer_ids: list[str] = []

    async def make() -> None:
        for data_dir in data_dirs:
            create = partial(create_identity, passphrase="", entropy=SystemEntropy(), kdf_work=KDF_WORK_MIN)
            peer_ids.append((await create(data_dir)).node_key.peer_id)

    trio.run(make)
    return peer_ids
