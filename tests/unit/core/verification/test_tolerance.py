"""VER-17, VER-18 and invariant V4: honest rounding passes, cheats do not, and nothing a worker writes breaks it."""

import math
import random
import struct
from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.core.verification.arrays import compare_files, read_numbers
from skyops_p2p.core.verification.tolerance import Tolerance, calibrate, measure, needed_rtol, tolerance_for
from skyops_p2p.errors import RemoteProtocolError

FP32 = tolerance_for(32)
NAN, INF = math.nan, math.inf
FLOATS = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=40)


def fp32(values: Sequence[float]) -> bytes:
    return array("f", values).tobytes()


def is_equal(first: Sequence[float], second: Sequence[float], tolerance: Tolerance = FP32) -> bool:
    return measure(first, second, tolerance).is_within(tolerance)


# --- elements -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("first", "second", "within"),
    [
        ((1.0,), (1.00009,), 1),
        ((1.0,), (1.0002,), 0),
        ((NAN,), (NAN,), 1),
        ((NAN,), (1.0,), 0),
        ((INF,), (INF,), 1),
        ((INF,), (-INF,), 0),
        ((INF,), (1e300,), 0),
        ((0.0,), (-0.0,), 1),
        ((0.0, 1.0), (1e-6, 1.0), 2),
        ((0.0, 1.0), (1e-4, 1.0), 1),
        ((1e300, 1e300), (1.00005e300, 1e300), 2),
        ((5e-324,), (0.0,), 0),
        ((), (), 0),
    ],
)
def test_element_is_within_just_by_the_rule(
    first: Sequence[float], second: Sequence[float], within: int
) -> None:  # VER-17
    assert measure(first, second, FP32).within == within
    assert measure(second, first, FP32).within == within


@given(FLOATS, st.randoms(use_true_random=False))
def test_comparison_is_symmetric_and_an_array_equals_itself(
    values: list[float], source: random.Random
) -> None:  # VER-17
    other = [value if source.random() < 0.5 else source.uniform(-1, 1) for value in values]
    assert measure(values, other, FP32) == measure(other, values, FP32)
    same = measure(values, values, FP32)
    assert same.within == same.elements
    assert abs(same.cosine_gap) < 1e-9
    assert is_equal(values, values)


def test_one_in_a_thousand_may_be_off_but_not_the_direction() -> None:  # VER-17
    values = [1.0] * 1000
    assert is_equal(values, [*values[:-1], 1.01])
    assert not is_equal(values, [*values[:-2], 1.01, 1.01])
    assert not is_equal(values, [*values[:-1], 50.0])


def test_specification_may_ask_for_more_or_less() -> None:  # VER-17
    assert tolerance_for(32, 10) == Tolerance(1e-5, 1e-6)
    assert tolerance_for(64, 100_000) == Tolerance(0.1, 0.1 * 0.1)
    assert tolerance_for(16) == Tolerance(2e-2, 1e-3)


# --- calibration ----------------------------------------------------------------------------------------------------
def network(weights: list[list[float]], order: list[int]) -> list[float]:
    """Return the outputs of a small layer, summed up in some order in single precision."""
    outputs = []
    for row in weights:
        total = 0.0
        for place in order:
            (total,) = struct.unpack("<f", struct.pack("<f", total + row[place]))
        outputs.append(total)
    return outputs


def products(source: random.Random, size: int = 64, rows: int = 120) -> list[list[float]]:
    return [[source.gauss(0, 1) * source.gauss(0, 1) for _ in range(size)] for _ in range(rows)]


def quantised(weights: list[list[float]]) -> list[list[float]]:
    """Round to 8 bits, as the cheapest cheat does."""
    step = max(abs(value) for row in weights for value in row) / 127
    return [[round(value / step) * step for value in row] for row in weights]


def test_honest_results_pass_and_cheats_do_not() -> None:  # V4
    source = random.Random(1)
    accepted = rejected = 0
    for _ in range(60):
        weights = products(source)
        orders = [source.sample(range(64), 64) for _ in range(2)]
        one, other = (network(weights, order) for order in orders)
        rejected += not is_equal(one, other)
        fewer = network([[*row[:-1], 0.0] for row in weights], orders[0])
        accepted += is_equal(one, network(quantised(weights), orders[0])) + is_equal(one, fewer)
    assert rejected == 0
    assert accepted == 0


def test_calibration_keeps_cheats_three_tolerances_away() -> None:  # VER-18
    source = random.Random(2)
    honest, cheats = [], []
    for _ in range(20):
        weights = products(source)
        one = network(weights, list(range(64)))
        honest.append(needed_rtol(one, [value * (1 + source.gauss(0, 1e-5)) for value in one]))
        cheats.append(needed_rtol(one, network(quantised(weights), list(range(64)))))
    found = calibrate(honest, cheats)
    assert found is not None
    assert found == 3 * max(honest) > 1e-5
    assert min(cheats) >= 3 * found
    assert calibrate(honest, [*cheats, 2.9 * found]) is None
    assert calibrate([0.0], cheats) == 1e-6


@given(FLOATS, st.floats(1e-7, 1e-2))
def test_needed_tolerance_is_the_least_that_is_enough(values: list[float], noise: float) -> None:  # VER-18
    source = random.Random(3)
    other = [value * (1 + noise * source.uniform(-1, 1)) for value in values]
    needed = needed_rtol(values, other)
    if math.isfinite(needed):
        enough = measure(values, other, Tolerance(needed * (1 + 1e-9) + 1e-300, 2.0))
        assert enough.within * 1000 >= 999 * enough.elements


# --- files ----------------------------------------------------------------------------------------------------------
def npy(
    values: Sequence[float], kind: str = "<f4", shape: tuple[int, ...] | None = None, version: int = 1
) -> bytes:
    head = repr({"descr": kind, "fortran_order": False, "shape": shape or (len(values),)}).encode() + b"\n"
    letter = {"<f2": "e", "<f4": "f", "<f8": "d"}[kind]
    size = struct.pack("<H" if version == 1 else "<I", len(head))
    return b"\x93NUMPY" + bytes([version, 0]) + size + head + struct.pack(f"<{len(values)}{letter}", *values)


@pytest.mark.parametrize(
    ("path", "first", "second", "wanted"),
    [
        ("a.npy", npy([1, 2]), npy([1.00001, 2]), True),
        ("a.npy", npy([1, 2]), npy([1.1, 2]), False),
        ("a.npy", npy([1, 2], "<f8"), npy([1.00001, 2], "<f8", version=2), True),
        ("a.npy", npy([1, 2], "<f2"), npy([1.01, 2], "<f2"), True),
        ("a.npy", npy([1, 2, 3, 4], shape=(2, 2)), npy([1.00001, 2, 3, 4], shape=(4,)), False),
        ("a.npy", npy([1, 2], "<f8"), npy([1, 2], "<f4"), False),
        ("a.npy", npy([1, 2]), npy([1, 2])[:-1], False),
        ("a.npy", npy([1, 2]), b"", False),
        ("out/a.f32", fp32([1, 2]), fp32([1.00001, 2]), True),
        ("out/a.f32", fp32([1, 2]), fp32([1.00001, 2, 3]), False),
        ("out/a.f64", struct.pack("<2d", 1, 2), struct.pack("<2d", 1, 2.00001), True),
        ("a.json", b'{"loss": 1.0, "n": [1, 2]}', b'{"n": [1, 2], "loss": 1.00001}', True),
        ("a.json", b'{"loss": 1.0}', b'{"loss": 1.1}', False),
        ("a.json", b'{"loss": 1.0}', b'{"loss": "1.0"}', False),
        ("a.json", b'{"loss": 1}', b'{"loss": true}', False),
        ("a.json", b'{"x": 1}', b'{"y": 1}', False),
        ("a.json", b"[NaN]", b"[ NaN]", True),
        ("a.json", b'{"a": 1, "a": 2}', b'{"a": 2}', False),
        ("a.json", b"[1e999]", b"[1e998]", True),
        ("a.json", b"[1" + b"0" * 400 + b"]", b"[2]", False),
        ("a.txt", b"1.0", b"1.00001", False),
        ("f32", fp32([1]), fp32([1.00001]), False),
        ("same.bin", b"anything", b"anything", True),
    ],
)
def test_files_of_numbers_are_compared_by_their_numbers(
    path: str, first: bytes, second: bytes, *, wanted: bool
) -> None:  # VER-17
    assert compare_files(path, first, second)[1] is wanted
    assert compare_files(path, second, first)[1] is wanted


def test_tolerance_of_the_specification_counts() -> None:  # VER-17
    files = ("a.f32", fp32([1, 2]), fp32([1.01, 2]))
    assert compare_files(*files, asked=20_000)[1]
    assert not compare_files(*files)[1]


@pytest.mark.parametrize("path", ["a.npy", "a.f32", "a.json"])
def test_file_above_its_limit_is_no_file_of_numbers(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-17
    whole = {"a.npy": npy([1] * 6), "a.f32": fp32([1] * 6), "a.json": b"[1, 1, 1, 1, 1, 1]"}[path]
    name = "NUMERIC_JSON_BYTES_MAX" if path == "a.json" else "NUMERIC_FILE_BYTES_MAX"
    monkeypatch.setattr(limits, name, len(whole))
    found = read_numbers(path, whole)
    assert found is not None
    assert list(found.values) == [1.0] * 6
    monkeypatch.setattr(limits, name, len(whole) - 1)
    with pytest.raises(RemoteProtocolError) as refused:
        read_numbers(path, whole)
    assert refused.value.code == "oversized"


def test_deep_json_is_refused() -> None:  # VER-17
    deep = limits.NUMERIC_JSON_DEPTH_MAX
    assert read_numbers("a.json", b"[" * deep + b"]" * deep) is not None
    for depth in (deep + 2, 100_000):
        with pytest.raises(RemoteProtocolError) as refused:
            read_numbers("a.json", b"[" * depth + b"]" * depth)
        assert refused.value.code == "malformed"


@pytest.mark.parametrize(
    "head",
    [
        b"{}",
        b"__import__('os')",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}",
        b"(" * 3000,
    ],
)
def test_odd_head_of_an_npy_file_is_refused(head: bytes) -> None:  # VER-17
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + fp32([1])
    with pytest.raises(RemoteProtocolError) as refused:
        read_numbers("a.npy", data)
    assert refused.value.code == "malformed"


@given(st.binary(max_size=200), st.sampled_from(["a.npy", "a.f32", "a.json"]))
def test_no_file_breaks_the_comparison(data: bytes, path: str) -> None:  # VER-17
    for other in (b"", npy([1]), b"[1]"):
        distance, equal = compare_files(path, data, other)
        assert 0 <= distance.within <= distance.elements
        assert equal or data != other
