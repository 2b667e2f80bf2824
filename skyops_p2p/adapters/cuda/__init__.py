"""The arithmetic of the proof of compute on a CUDA device, through cupy or torch; neither is a dependency of ours."""

from skyops_p2p.adapters.cuda.arithmetic import CupyArithmetic, DeviceArithmetic, TorchArithmetic
from skyops_p2p.adapters.cuda.choice import describe_arithmetic, fastest_arithmetic

__all__ = [
    "CupyArithmetic",
    "DeviceArithmetic",
    "TorchArithmetic",
    "describe_arithmetic",
    "fastest_arithmetic",
]
