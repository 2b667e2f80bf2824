"""Exact products of integer matrices on a CUDA device: the same bytes as on a processor, faster.

Products are made in 32-bit floats, block by block: a block's sum of BLOCK products of two signed bytes stays at or
below 2^23 in size, so every partial sum is an integer that such a float holds exactly, in whatever order the device
adds, and also where it multiplies with fewer bits (TF32), which eight-bit entries fit. The blocks' sums are added as
32-bit integers. Freivalds' test of a verifier needs 64 bits and is cheap: it stays on the processor.

A device that fails (out of memory, fallen off the bus) costs time only: the processor takes over.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from skyops_p2p.core.auction.poc_arithmetic import FOLD, Arithmetic

log = logging.getLogger(__name__)

BLOCK = 512
"""Columns whose products are added as floats: 512 * 2^14 = 2^23."""
DEVICE_ERRORS = (RuntimeError, MemoryError, OSError)
"""What cupy and torch raise when the device or its driver does not do as told; their own errors are kinds of these."""


class DeviceArithmetic:
    """What the libraries have in common. The matrix of a challenge stays on the device from one product to the next.

    Args:
        host: Takes over where the device fails, and for what is not worth the way to it.
    """

    def __init__(self, host: Arithmetic) -> None:
        self._host = host
        self._kept: tuple[bytes, Any] | None = None
        """The right factor that is on the device already."""

    def multiply(self, left: bytes, right: bytes, size: int) -> bytes:
        """See Arithmetic."""
        return self._tried(
            lambda: self._bytes(self._product(left, right, size)),
            lambda: self._host.multiply(left, right, size),
        )

    def fold(self, product: bytes) -> bytes:
        """See Arithmetic; alone, it is not worth the way to the device."""
        return self._host.fold(product)

    def advance(self, left: bytes, right: bytes, size: int) -> bytes:
        """See Arithmetic: only the folded bytes come back from the device."""
        return self._tried(
            lambda: self._bytes(self._folded(self._product(left, right, size))),
            lambda: self._host.advance(left, right, size),
        )

    def apply(self, matrix: bytes, vector: Sequence[int], width: int) -> tuple[int, ...]:
        """See Arithmetic."""
        return self._host.apply(matrix, vector, width)

    def _tried(self, on_device: Callable[[], bytes], on_host: Callable[[], bytes]) -> bytes:
        try:
            return on_device()
        except DEVICE_ERRORS as error:
            self._kept = None
            log.warning("device_failed: %r; the processor takes over", error)
            return on_host()

    def _product(self, left: bytes, right: bytes, size: int) -> Any:
        """Return rows times matrix as 32-bit integers on the device."""
        if self._kept is None or self._kept[0] is not right:
            self._kept = None  # first make room
            self._kept = (right, self._upload(right, size))
        rows, matrix = self._upload(left, size), self._kept[1]
        total: Any = None
        for at in range(0, size, BLOCK):
            part = self._block(rows[:, at : at + BLOCK], matrix[at : at + BLOCK])
            total = part if total is None else total + part
        return total

    def _upload(self, data: bytes, size: int) -> Any:
        """Bring rows of `size` signed bytes to the device."""
        raise AssertionError("of the library")

    def _block(self, rows: Any, matrix: Any) -> Any:
        """Multiply as 32-bit floats, and return 32-bit integers."""
        raise AssertionError("of the library")

    def _folded(self, product: Any) -> Any:
        """Return the high byte of each entry times FOLD, modulo 2^32."""
        raise AssertionError("of the library")

    def _bytes(self, entries: Any) -> bytes:
        """Bring entries back, little-endian, row by row."""
        raise AssertionError("of the library")


class CupyArithmetic(DeviceArithmetic):
    """Through cupy.

    Args:
        cupy: The module.
        numpy: The module; cupy needs it too.
        host: See DeviceArithmetic.
    """

    def __init__(self, cupy: Any, numpy: Any, host: Arithmetic) -> None:
        super().__init__(host)
        self._cupy, self._numpy = cupy, numpy

    def _upload(self, data: bytes, size: int) -> Any:
        return self._cupy.asarray(self._numpy.frombuffer(data, self._numpy.int8).reshape(-1, size))

    def _block(self, rows: Any, matrix: Any) -> Any:
        cupy = self._cupy
        return (rows.astype(cupy.float32) @ matrix.astype(cupy.float32)).astype(cupy.int32)

    def _folded(self, product: Any) -> Any:
        cupy = self._cupy
        scrambled = product.view(cupy.uint32) * cupy.uint32(FOLD)
        return (scrambled >> cupy.uint32(24)).astype(cupy.uint8)

    def _bytes(self, entries: Any) -> bytes:
        here = self._cupy.asnumpy(entries)
        data: bytes = here.astype(here.dtype.newbyteorder("<")).tobytes()
        return data


class TorchArithmetic(DeviceArithmetic):
    """Through torch.

    Args:
        torch: The module.
        host: See DeviceArithmetic.
        device: Where tensors are put.
    """

    def __init__(self, torch: Any, host: Arithmetic, *, device: str = "cuda") -> None:
        super().__init__(host)
        self._torch, self._device = torch, device

    def _upload(self, data: bytes, size: int) -> Any:
        torch = self._torch
        # A bytearray, because torch warns about memory that must not be written to.
        return torch.frombuffer(bytearray(data), dtype=torch.int8).reshape(-1, size).to(self._device)

    def _block(self, rows: Any, matrix: Any) -> Any:
        torch = self._torch
        return (rows.to(torch.float32) @ matrix.to(torch.float32)).to(torch.int32)

    def _folded(self, product: Any) -> Any:
        torch = self._torch
        # Entries are below 2^28 in size, so the product with FOLD stays below 2^63: nothing is lost.
        scrambled = product.to(torch.int64) * FOLD & 0xFFFF_FFFF
        return (scrambled >> 24).to(torch.uint8)

    def _bytes(self, entries: Any) -> bytes:
        here = entries.cpu().numpy()
        data: bytes = here.astype(here.dtype.newbyteorder("<")).tobytes()
        return data
