"""Put the fault box of a test network between a node and its network."""

import json
import logging
from dataclasses import replace
from pathlib import Path

from skyops_p2p.config import NodeConfig
from skyops_p2p.errors import ConfigError
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.testnet.creation import FAULTS_NAME
from skyops_p2p.testnet.faults import FaultBox

_log = logging.getLogger(__name__)


def testnet_faults(config: NodeConfig, ports: NodePorts) -> tuple[NodePorts, FaultBox | None]:
    """Put a fault box between a test network's node and its network; other nodes get none.

    Raises:
        ConfigError: `faults_unreadable`.
    """
    if not config.is_testnet:
        return ports, None
    box = FaultBox(ports.entropy)
    path: Path = config.data_dir / FAULTS_NAME
    if path.exists():
        try:
            box.set(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {path}: {error}", code="faults_unreadable") from error
        _log.info("faults_in_force %s", box.describe())
    return replace(ports, open_network=box.wrap(ports.open_network)), box
