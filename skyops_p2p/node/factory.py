"""The production ports of a node: libp2p, SQLite, the system's clock and randomness, the hardware probe.

Foreign libraries are imported here and only when a node is built, so that the package itself imports quickly.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from ipaddress import ip_address

from skyops_p2p.config import NodeConfig, read_psk
from skyops_p2p.core.announcer import Offer
from skyops_p2p.core.core_settings import CoreSettings
from skyops_p2p.core.presence import PresenceTimes
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.node.book_shelf import FileShelf
from skyops_p2p.node.identity import Identity
from skyops_p2p.node.job_ports import JobPorts
from skyops_p2p.node.ports_bundle import NodePorts, OpenMoney, in_thread
from skyops_p2p.ports import DhtRules, Money, Network, Sandbox, Store
from skyops_p2p.ports.content import BlockStore
from skyops_p2p.types import Multiaddr, NetworkName, PeerId, WalletAddress


class NeutralStake:
    """Every wallet's stake suffices: the stake port while no chain is configured."""

    async def is_sufficient(self, wallet: WalletAddress) -> bool:
        """Return True; see ports.StakeCheck."""
        del wallet
        return True


def default_ports(config: NodeConfig, identity: Identity) -> NodePorts:
    """Build the ports that a real node runs on.

    Raises:
        ConfigError: The pre-shared key file cannot be used.
    """
    from skyops_p2p.adapters.cuda.process import ProcessProver
    from skyops_p2p.adapters.hardware import DeclaredHardwareProbe, MeasuredHardwareProbe, NvmlHardwareProbe
    from skyops_p2p.adapters.libp2p.network import Libp2pNetwork
    from skyops_p2p.adapters.sqlite import STORE_FILE_NAME, open_sqlite_store
    from skyops_p2p.adapters.system import SystemClock, SystemEntropy

    probe = MeasuredHardwareProbe(NvmlHardwareProbe(config.data_dir), config.data_dir)
    network = config.network
    psk = read_psk(network.psk_file) if network.psk_file is not None else None

    def open_network(dht_rules: DhtRules) -> AbstractAsyncContextManager[Network]:
        return Libp2pNetwork(
            seed=identity.node_key.seed,
            network=network.name,
            listen=network.listen,
            dht_rules=dht_rules,
            announce=network.announce,
            psk_hex=psk.hex() if psk is not None else None,
            connections_max=network.connections_max,
            peers_target=network.peers_target,
            mdns=network.mdns,
            relay=network.relay,
        )

    def open_store() -> AbstractAsyncContextManager[Store]:
        return open_sqlite_store(config.data_dir / STORE_FILE_NAME)

    gpus, cpu_cores = config.worker.declared_gpus, config.worker.declared_cpu_cores
    declared = DeclaredHardwareProbe(gpus, probe, cpu_cores=cpu_cores)
    return NodePorts(
        open_network=open_network,
        open_store=open_store,
        wall_clock=SystemClock(),
        entropy=SystemEntropy(),
        hardware=declared if gpus or cpu_cores else probe,
        stake=NeutralStake(),
        books=FileShelf(config.data_dir),
        compute=in_thread,
        prover=ProcessProver() if config.worker.enabled else None,
        jobs=_job_ports(config),
        open_money=_open_money(config, identity),
    )


def _open_money(config: NodeConfig, identity: Identity) -> OpenMoney | None:
    """Return how the node reaches its network's contracts, or None where nothing is paid."""
    if not config.payment.directory:
        return None

    def open_it(store: Store) -> AbstractAsyncContextManager[Money]:
        from skyops_p2p.adapters.contracts import (
            open_money,
        )  # takes long to import, and only who pays needs it

        return open_money(config, identity.wallet, store)

    return open_it


def _job_ports(config: NodeConfig) -> JobPorts:
    """Build the place for jobs of a real node, all of it in the data directory."""
    from skyops_p2p.adapters.blobs import open_disk_blocks
    from skyops_p2p.adapters.hardware import GpuLoads
    from skyops_p2p.adapters.system.allocator import keep_freed_memory
    from skyops_p2p.adapters.workspace import open_workspace
    from skyops_p2p.node.sandboxes import open_own_runtime, open_sandboxes

    data_dir = config.data_dir

    def open_blocks() -> AbstractAsyncContextManager[BlockStore]:
        keep_freed_memory()
        return open_disk_blocks(data_dir / "content", quota_bytes=config.content.quota_mib << 20)

    def open_all() -> AbstractAsyncContextManager[Mapping[str, Sandbox]]:
        return open_sandboxes(
            data_dir, is_worker=config.worker.enabled, docker_images_gib=config.worker.docker_images_gib
        )

    return JobPorts(
        folder=data_dir / "jobs",
        open_blocks=open_blocks,
        open_sandboxes=open_all,
        open_workspace=lambda: open_workspace(data_dir),
        open_own_runtime=lambda name: open_own_runtime(data_dir, name),
        gpu_meter=GpuLoads(),
        channel_port=config.content.channel_port if config.content.has_channels else None,
    )


def rules_of(config: NodeConfig) -> NetworkRules:
    """Return the network's constants."""
    network = config.network
    return NetworkRules(
        NetworkName(network.name),
        network.chain_id,
        is_testnet=config.is_testnet,
        probe_times=ProbeTimes(network.probe_slot_s * 1000, network.probe_watch_slots),
    )


def core_settings(config: NodeConfig, *, agent: str, needs_stake: bool) -> CoreSettings:
    """Return what the core needs to know of the configuration."""
    worker, presence = config.worker, config.presence
    return CoreSettings(
        rules=rules_of(config),
        offer=Offer(
            agent=agent,
            is_worker=worker.enabled,
            region=worker.region,
            labels=worker.labels,
            slots=worker.slots,
            price_microcredits_per_hour=worker.price_microcredits_per_hour,
        ),
        times=PresenceTimes(
            beat_s=presence.beat_s,
            missed_beats=presence.missed_beats,
            probe_timeout_s=presence.probe_timeout_s,
            inactive_expiry_s=presence.inactive_expiry_s,
        ),
        peers_target=config.network.peers_target,
        bootstrap=tuple(split_peer_addr(Multiaddr(addr)) for addr in config.network.bootstrap),
        needs_stake=needs_stake,
    )


def split_peer_addr(addr: Multiaddr) -> tuple[PeerId, tuple[Multiaddr, ...]]:
    """Split "/ip4/…/tcp/…/p2p/<peer>" into the peer and the address before it.

    Raises:
        ConfigError: Code `bad_address`: there is no peer id at its end.
    """
    from skyops_p2p.errors import ConfigError

    head, separator, peer = addr.rpartition("/p2p/")
    if not separator or not head or not peer:
        raise ConfigError(
            f"{addr!r} does not end in /p2p/<peer id>",
            code="bad_address",
            hint="Copy the whole address that the other node prints.",
        )
    return PeerId(peer), (Multiaddr(head),)


def reachable_addrs(listen: Iterable[Multiaddr]) -> tuple[Multiaddr, ...]:
    """Replace an unspecified address ("/ip4/0.0.0.0/…") by those of this machine's interfaces.

    Loopback is told only where there is nothing else.
    """
    told: list[Multiaddr] = []
    for addr in listen:
        parts = addr.split("/")
        if len(parts) > 2 and parts[1] in ("ip4", "ip6") and ip_address(parts[2]).is_unspecified:
            hosts = _interface_hosts(version=4 if parts[1] == "ip4" else 6)
            told += [Multiaddr("/".join(["", parts[1], host, *parts[3:]])) for host in hosts]
        else:
            told.append(addr)
    return tuple(dict.fromkeys(told))


def _interface_hosts(*, version: int) -> list[str]:
    import socket

    import psutil

    family = socket.AF_INET if version == 4 else socket.AF_INET6
    found = [
        ip_address(entry.address)
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == family and "%" not in entry.address
    ]
    outside = [str(host) for host in found if not host.is_loopback and not host.is_link_local]
    return outside or [str(host) for host in found if host.is_loopback]
