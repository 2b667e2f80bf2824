"""Sizes, lengths of time, money and GPUs as people write them, to integers and back. Pure.

Each `parse_…` raises ValueError with a sentence that says what is allowed; each `…_text` gives a text that parses to
the same integer. No float is kept: "1.1" credits are exactly 1,100,000 microcredits.
"""

import re
from decimal import Decimal

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(?:([kKmMgGtT])([iI]?))?[bB]?")
_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?")
_DECIMAL = re.compile(r"\d{1,10}(?:\.\d{1,20})?")
_GPU = re.compile(r"(?:(\d{1,3})\s*[xX]\s*)?(.*)")
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
_DURATION_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
MICRO = 1_000_000
"""Millionths in one."""
MIB = 1 << 20
"""Bytes of a MiB."""

SIZE_WORDS = (
    'allowed is a size with its unit, such as "512Mi", "16Gi" (powers of 1024) or "2G" (powers of 1000)'
)
DURATION_WORDS = 'allowed is a length of time such as "2h30m", "90s" or "1d", or a whole number of seconds'
CREDITS_WORDS = 'allowed is an amount in credits with at most six decimals, such as 2 or "1.25"'
SHARE_WORDS = "allowed is a part of one from 0 to 1 with at most six decimals, such as 0.25"
GPU_WORDS = 'allowed is a GPU such as "1xRTX4090", "A100", "2xH100|A100" (either) or a count'


def parse_size(text: str) -> int:
    """Return a size in bytes: "16Gi" is 16 x 2^30, "2G" is 2 x 10^9; a unit is needed."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or not (found[2] or text.strip()[-1:] in "bB"):
        raise ValueError(SIZE_WORDS)
    base = 1024 if found[3] else 1000
    size = Decimal(found[1]) * (base ** _POWERS[found[2].lower()] if found[2] else 1)
    if size != size.to_integral_value():
        raise ValueError(f"{SIZE_WORDS}; this is no whole number of bytes")
    return int(size)


def size_text(size: int) -> str:
    """Return bytes in the largest unit of 1024 that divides them: "16Gi", "1000B"."""
    for unit, power in (("Ti", 4), ("Gi", 3), ("Mi", 2), ("Ki", 1)):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return f"{size}B"


def parse_duration(value: str | int) -> int:
    """Return a length of time in seconds, 0 or more: "2h30m", "1d", 90."""
    if isinstance(value, int):
        if value < 0 or isinstance(value, bool):
            raise ValueError(DURATION_WORDS)
        return value
    text = value.replace(" ", "")
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise ValueError(DURATION_WORDS)
    return sum(
        int(count) * unit for count, (unit, _) in zip(found.groups(), _DURATION_UNITS, strict=True) if count
    )


def duration_text(seconds: int) -> str:
    """Return seconds as "2h30m"; 0 is "0s"."""
    parts = []
    for unit, letter in _DURATION_UNITS:
        count, seconds = divmod(seconds, unit)
        parts += [f"{count}{letter}"] if count else []
    return "".join(parts) or "0s"


def parse_millionths(value: str | float, words: str) -> int:
    """Return a decimal number, 0 or more, in millionths; exactly, or not at all.

    Args:
        value: A text, or a number as a file format reads it.
        words: What the error says.
    """
    text = str(value).strip()
    if isinstance(value, bool) or not _DECIMAL.fullmatch(text):
        raise ValueError(words)
    micro = Decimal(text) * MICRO
    if micro != micro.to_integral_value():
        raise ValueError(words)
    return int(micro)


def millionths_text(micro: int) -> str:
    """Return millionths as a decimal number without trailing zeros: "1.25"."""
    whole, part = divmod(micro, MICRO)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")


def parse_gpu(value: str | int) -> tuple[int, tuple[str, ...]]:
    """Return (count, models) of the short form of a GPU need: "2xH100|A100", "RTX4090", "any", 1.

    Any of the models will do; without a model, or with "any", every model will.
    """
    text = str(value).strip()
    if isinstance(value, bool) or not text or len(text) > 256:
        raise ValueError(GPU_WORDS)
    if text.isascii() and text.isdigit() and len(text) <= 3:
        return int(text), ()
    found = _GPU.fullmatch(text)
    if found is None:
        raise ValueError(GPU_WORDS)
    models = tuple(model.strip() for model in found[2].split("|"))
    if models == ("any",):
        models = ()
    if any(not (model[:1].isascii() and model[:1].isalnum()) for model in models):
        raise ValueError(GPU_WORDS)
    return int(found[1] or 1), models
