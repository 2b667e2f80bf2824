"""Sizes, lengths of time, money and GPUs as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.core.jobs import sizes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16Gi", 16 << 30),
        ("16GiB", 16 << 30),
        ("512Mi", 512 << 20),
        ("2G", 2_000_000_000),
        ("2GB", 2_000_000_000),
        ("1.5Gi", 3 << 29),
        ("10 k", 10_000),
        ("7B", 7),
        ("0B", 0),
        ("1Ti", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert sizes.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "16", "Gi", "-1Gi", "1.5B", "1e3Mi", "16 Gigs", "16Gib8", "9" * 40 + "Gi", "²Gi"]
)
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="16Gi"):
        sizes.parse_size(text)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2h30m", 9000), ("1d", 86_400), ("90s", 90), ("1h 5s", 3605), (90, 90), ("0s", 0), (0, 0)],
)
def test_durations(value: str | int, seconds: int) -> None:
    assert sizes.parse_duration(value) == seconds


@pytest.mark.parametrize("value", ["", " ", "90", "30m2h", "1.5h", "-1s", "1w", -1, True, "9" * 30 + "s"])
def test_what_is_no_duration_is_refused_with_examples(value: str | int) -> None:
    with pytest.raises(ValueError, match="2h30m"):
        sizes.parse_duration(value)


@pytest.mark.parametrize(
    ("value", "micro"), [(2, 2_000_000), (1.1, 1_100_000), ("0.000001", 1), ("10.50", 10_500_000), (0, 0)]
)
def test_money_is_exact(value: str | float, micro: int) -> None:
    assert sizes.parse_millionths(value, sizes.CREDITS_WORDS) == micro


@pytest.mark.parametrize(
    "value",
    ["", "1,5", "-1", -1, "1e3", 1e-7, "0.0000001", float("nan"), float("inf"), True, "1.", ".5", "9" * 11],
)
def test_what_is_no_amount_is_refused(value: str | float) -> None:
    with pytest.raises(ValueError, match="credits"):
        sizes.parse_millionths(value, sizes.CREDITS_WORDS)


@pytest.mark.parametrize(
    ("value", "need"),
    [
        ("1xRTX4090", (1, ("RTX4090",))),
        ("2 x RTX 4090", (2, ("RTX 4090",))),
        ("A100", (1, ("A100",))),
        ("2xH100|A100", (2, ("H100", "A100"))),
        ("any", (1, ())),
        ("4xany", (4, ())),
        ("3", (3, ())),
        (0, (0, ())),
    ],
)
def test_gpus(value: str | int, need: tuple[int, tuple[str, ...]]) -> None:
    assert sizes.parse_gpu(value) == need


@pytest.mark.parametrize("value", ["", "2x", "1x|", "|", "--", True, "x" * 300, -1])
def test_what_is_no_gpu_is_refused(value: str | int) -> None:
    with pytest.raises(ValueError, match="1xRTX4090"):
        sizes.parse_gpu(value)


@given(st.integers(0, 2**53))
def test_texts_parse_to_what_they_came_from(number: int) -> None:
    assert sizes.parse_size(sizes.size_text(number % 10**15)) == number % 10**15
    assert sizes.parse_duration(sizes.duration_text(number % 10**9)) == number % 10**9
    assert sizes.parse_millionths(sizes.millionths_text(number), "") == number
