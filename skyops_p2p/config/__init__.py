"""Settings of a node: the models, their descriptions, and where their values come from.

Settings come from, later ones winning: defaults, the config file (TOML), the environment
(SKYOPS_<TABLE>_<NAME>), flags. Nothing here opens a socket or a key of the node.
"""

from skyops_p2p.config.addresses import check_bootstrap, is_loopback
from skyops_p2p.config.describe import SettingDescription, describe_settings, render_config
from skyops_p2p.config.loading import CONFIG_FILE_NAME, Setting, find_data_dir, load_config, read_psk
from skyops_p2p.config.models import (
    ApiSection,
    LogSection,
    NetworkSection,
    NodeConfig,
    PaymentSection,
    PresenceSection,
    Section,
    WorkerSection,
)

__all__ = [
    "CONFIG_FILE_NAME",
    "ApiSection",
    "LogSection",
    "NetworkSection",
    "NodeConfig",
    "PaymentSection",
    "PresenceSection",
    "Section",
    "Setting",
    "SettingDescription",
    "WorkerSection",
    "check_bootstrap",
    "describe_settings",
    "find_data_dir",
    "is_loopback",
    "load_config",
    "read_psk",
    "render_config",
]
