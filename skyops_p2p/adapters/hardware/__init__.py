"""The HardwareProbe port: what this machine really has, or what a test network lets it pretend to have."""

from skyops_p2p.adapters.hardware.declared import DeclaredHardwareProbe
from skyops_p2p.adapters.hardware.probe import NvmlHardwareProbe

__all__ = ["DeclaredHardwareProbe", "NvmlHardwareProbe"]
