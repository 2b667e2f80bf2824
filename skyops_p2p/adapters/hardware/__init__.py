"""What this machine really has, what a test network lets it pretend to have, and how busy its GPUs are."""

from skyops_p2p.adapters.hardware.declared import DeclaredHardwareProbe
from skyops_p2p.adapters.hardware.gpu_loads import GpuLoads
from skyops_p2p.adapters.hardware.measured import MeasuredHardwareProbe
from skyops_p2p.adapters.hardware.probe import NvmlHardwareProbe

__all__ = ["DeclaredHardwareProbe", "GpuLoads", "MeasuredHardwareProbe", "NvmlHardwareProbe"]
