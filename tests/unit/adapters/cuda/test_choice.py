"""Which arithmetic a proof of compute runs on, and that a device gives the bytes of a processor.

No GPU is needed: `FakeCupy` and `FakeTorch` have the calls that the adapter makes, over numpy.
"""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from skyops_p2p.adapters.cuda import (
    CupyArithmetic,
    TorchArithmetic,
    describe_arithmetic,
    fastest_arithmetic,
)
from skyops_p2p.adapters.cuda.arithmetic import BLOCK
from skyops_p2p.core.auction import poc
from skyops_p2p.core.auction.poc import Parameters
from skyops_p2p.core.auction.poc_arithmetic import NumpyArithmetic, PlainArithmetic

CHALLENGE = poc.challenge_of(b"beacon", b"bob")


class FakeCupy(ModuleType):
    """What the adapter calls of cupy.

    Args:
        devices: How many there are; an error to raise instead.
    """

    float32, int32, uint32, uint8 = np.float32, np.int32, np.uint32, np.uint8

    def __init__(self, devices: int | Exception = 1) -> None:
        super().__init__("cupy")
        self.uploads = 0

        def count() -> int:
            if isinstance(devices, Exception):
                raise devices
            return devices

        self.cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count))

    def asarray(self, array: Any) -> Any:
        self.uploads += 1
        return np.array(array)

    def asnumpy(self, array: Any) -> Any:
        return np.array(array)


class FakeTensor:
    """A torch tensor, as far as the adapter uses one."""

    def __init__(self, array: Any, device: str = "cpu") -> None:
        self.array, self.device = array, device

    def reshape(self, *shape: int) -> "FakeTensor":
        return FakeTensor(self.array.reshape(*shape), self.device)

    def to(self, target: Any) -> "FakeTensor":
        if isinstance(target, str):
            return FakeTensor(self.array, target)
        return FakeTensor(self.array.astype(target), self.device)

    def cpu(self) -> "FakeTensor":
        return FakeTensor(self.array)

    def numpy(self) -> Any:
        assert self.device == "cpu", "torch refuses to show what is on a device"
        return self.array

    def _with(self, other: Any, operation: Callable[[Any, Any], Any]) -> "FakeTensor":
        if isinstance(other, FakeTensor):
            assert self.device == other.device == "cuda", "computed on the device"
            other = other.array
        return FakeTensor(operation(self.array, other), self.device)

    def __getitem__(self, key: Any) -> "FakeTensor":
        return FakeTensor(self.array[key], self.device)

    def __matmul__(self, other: Any) -> "FakeTensor":
        return self._with(other, np.matmul)

    def __add__(self, other: Any) -> "FakeTensor":
        return self._with(other, np.add)

    def __mul__(self, other: Any) -> "FakeTensor":
        return self._with(other, np.multiply)

    def __and__(self, other: Any) -> "FakeTensor":
        return self._with(other, np.bitwise_and)

    def __rshift__(self, other: Any) -> "FakeTensor":
        return self._with(other, np.right_shift)


class FakeTorch(ModuleType):
    """What the adapter calls of torch."""

    int8, int32, int64, uint8, float32 = np.int8, np.int32, np.int64, np.uint8, np.float32

    def __init__(self, *, is_available: bool = True) -> None:
        super().__init__("torch")
        self.cuda = SimpleNamespace(is_available=lambda: is_available)

    @staticmethod
    def frombuffer(buffer: bytearray, *, dtype: Any) -> FakeTensor:
        assert isinstance(buffer, bytearray), "torch warns about memory that cannot be written to"
        return FakeTensor(np.frombuffer(buffer, dtype))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say which libraries there are; None stands for one that is not."""

    def install(**modules: ModuleType | None) -> None:
        for name in ("cupy", "torch"):
            monkeypatch.setitem(sys.modules, name, modules.get(name))
        if "numpy" in modules:
            monkeypatch.setitem(sys.modules, "numpy", modules["numpy"])

    return install


# --- the choice -----------------------------------------------------------------------------------------------------
def test_cupy_is_taken_before_torch(installed: Callable[..., None]) -> None:
    installed(cupy=FakeCupy(), torch=FakeTorch())
    unit = fastest_arithmetic()
    assert isinstance(unit, CupyArithmetic)
    assert describe_arithmetic(unit) == "the GPU, through cupy"


@pytest.mark.parametrize(
    "cupy",
    [
        None,
        FakeCupy(0),
        FakeCupy(RuntimeError("cudaErrorInsufficientDriver")),
        FakeCupy(OSError("libcudart")),
    ],
    ids=["not installed", "no device", "no driver", "no library"],
)
def test_torch_is_taken_where_cupy_has_no_device(
    cupy: FakeCupy | None, installed: Callable[..., None]
) -> None:
    installed(cupy=cupy, torch=FakeTorch())
    unit = fastest_arithmetic()
    assert isinstance(unit, TorchArithmetic)
    assert describe_arithmetic(unit) == "the GPU, through torch"


@pytest.mark.parametrize("torch", [None, FakeTorch(is_available=False)])
def test_numpy_is_taken_where_there_is_no_device(
    torch: FakeTorch | None, installed: Callable[..., None]
) -> None:
    installed(cupy=FakeCupy(0), torch=torch)
    unit = fastest_arithmetic()
    assert isinstance(unit, NumpyArithmetic)
    assert describe_arithmetic(unit) == "the processor, through numpy"


def test_plain_python_is_taken_where_there_is_nothing(installed: Callable[..., None]) -> None:
    installed(numpy=None)
    unit = fastest_arithmetic()
    assert isinstance(unit, PlainArithmetic)
    assert "plain Python" in describe_arithmetic(unit)


def test_cupy_without_numpy_is_not_taken(installed: Callable[..., None]) -> None:
    installed(cupy=FakeCupy(), numpy=None)
    assert isinstance(fastest_arithmetic(), PlainArithmetic)


class LossyCupy(FakeCupy):
    """A device that multiplies with too few bits."""

    float32 = np.float16  # type: ignore[assignment]


def test_a_device_that_computes_wrongly_is_not_taken(
    installed: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    with np.errstate(all="ignore"):
        installed(cupy=LossyCupy())
        assert isinstance(fastest_arithmetic(), NumpyArithmetic)
    assert "device_wrong library=CupyArithmetic" in caplog.text


# --- the bytes ------------------------------------------------------------------------------------------------------
def devices() -> list[Any]:
    host = PlainArithmetic()
    return [CupyArithmetic(FakeCupy(), np, host), TorchArithmetic(FakeTorch(), host)]


@pytest.mark.parametrize("unit", devices(), ids=["cupy", "torch"])
@pytest.mark.parametrize("size", [1, 12, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
def test_a_device_gives_the_bytes_of_a_processor(unit: Any, size: int) -> None:
    random = np.random.default_rng(size)
    left, right = random.bytes(3 * size), random.bytes(size * size)
    wanted = NumpyArithmetic(np)
    assert unit.multiply(left, right, size) == wanted.multiply(left, right, size)
    assert unit.advance(left, right, size) == wanted.advance(left, right, size)
    assert unit.fold(wanted.multiply(left, right, size)) == wanted.advance(left, right, size)


@pytest.mark.parametrize("unit", devices(), ids=["cupy", "torch"])
def test_the_largest_entries_are_exact(unit: Any) -> None:
    size = 2 * BLOCK
    lowest = unit.multiply(b"\x80" * size, b"\x80" * size * size, size)
    assert lowest == (size * 128 * 128).to_bytes(4, "little") * size
    mixed = unit.multiply(b"\x80" * size, b"\x7f" * size * size, size)
    assert mixed == (-size * 128 * 127).to_bytes(4, "little", signed=True) * size


@pytest.mark.parametrize("unit", devices(), ids=["cupy", "torch"])
def test_a_proof_made_on_a_device_is_that_of_plain_python_and_passes(unit: Any) -> None:
    parameters = Parameters(size=16, checkpoints=2, stride=2)
    transcript = poc.run(CHALLENGE, parameters, arithmetic=unit)
    root = transcript.tree.root
    assert root == poc.run(CHALLENGE, parameters, arithmetic=PlainArithmetic()).tree.root
    secret = bytes(32)
    rows = poc.draw_rows(root, secret, parameters, count=8)
    openings = poc.open_rows(transcript, rows)
    poc.check_openings(CHALLENGE, root, openings, parameters=parameters, secret=secret, count=8)


def test_the_matrix_of_a_challenge_stays_on_the_device() -> None:
    cupy = FakeCupy()
    unit = CupyArithmetic(cupy, np, PlainArithmetic())
    poc.run(CHALLENGE, Parameters(size=8, checkpoints=5), arithmetic=unit)
    assert cupy.uploads == 1 + 5, "the matrix once, and the rows of each step"
    unit.multiply(bytes(8), bytes(64), 8)
    assert cupy.uploads == 1 + 5 + 2, "another matrix takes its place"


# --- a device that fails --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), MemoryError("out of memory")])
def test_where_the_device_fails_the_processor_takes_over(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    cupy = FakeCupy()
    unit = CupyArithmetic(cupy, np, PlainArithmetic())
    left, right = bytes(range(8)), bytes(range(64))
    wanted = PlainArithmetic().multiply(left, right, 8)
    works = cupy.asnumpy

    def fail(_array: object) -> None:
        raise error

    cupy.asnumpy = fail  # type: ignore[method-assign]
    assert unit.multiply(left, right, 8) == wanted
    assert unit.advance(left, right, 8) == PlainArithmetic().fold(wanted)
    assert caplog.text.count("device_failed") == 2
    cupy.asnumpy = works  # type: ignore[method-assign]
    assert unit.multiply(left, right, 8) == wanted
    assert caplog.text.count("device_failed") == 2, "it is tried again"
