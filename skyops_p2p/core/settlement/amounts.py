"""Amounts of money: exact integers in a token's smallest unit, read and written as people say them. Pure.

There is no float anywhere: 0.1 SKYOPS is 10^17 wei. Spec: protocol/07-settlement.md, "Amounts".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from skyops_p2p.errors import ConfigError, RemoteProtocolError
from skyops_p2p.types import MicroCredits, Wei

WEI_MAX = 2**256 - 1
WEI_BYTES = 32
CREDIT_MICRO = 10**6
"""Microcredits in one SKYOPS."""

_NUMBER = re.compile(r"(?P<whole>[0-9]{1,78})(?:\.(?P<part>[0-9]{1,36}))?")


@dataclass(frozen=True, slots=True)
class Token:
    """What is paid with."""

    symbol: str
    decimals: int
    """Digits behind the point: one is 10^decimals wei."""

    @property
    def one(self) -> int:
        """Wei in one."""
        return int(10**self.decimals)

    @property
    def pair_unit(self) -> int:
        """Wei in one unit of a pair's slot on chain: redemption counts in these."""
        return int(10 ** max(self.decimals - 9, 0))


SKYOPS = Token("SKYOPS", 18)
ETH = Token("ETH", 18)
TOKENS = {token.symbol: token for token in (SKYOPS, ETH)}
"""By symbol."""


def parse_amount(text: str, token: Token | None = None) -> tuple[Wei, Token]:
    """Read an amount such as "12.5 SKYOPS", "0.001 ETH" or "100 wei".

    Args:
        text: A decimal number without sign or exponent, and a symbol; capitals do not matter.
        token: Taken where no symbol is said, and needed for "wei"; another symbol than its own is refused.

    Raises:
        ConfigError: Code `amount_invalid`: no such number or symbol, more digits than the token has, or 2^256 or more.
    """
    number, _, symbol = " ".join(text.split()).partition(" ")
    found = TOKENS.get(symbol.upper(), token)
    is_wei = symbol.lower() == "wei"
    is_known = not symbol or is_wei or symbol.upper() in TOKENS
    hit = _NUMBER.fullmatch(number)
    if hit is None or found is None or not is_known or (token is not None and found != token):
        raise _invalid(text, token)
    decimals = 0 if is_wei else found.decimals
    part = hit["part"] or ""
    if len(part.rstrip("0")) > decimals:
        raise _invalid(text, token)
    wei = int(hit["whole"]) * 10**decimals + int(part[:decimals].ljust(decimals, "0") or "0")
    if wei > WEI_MAX:
        raise _invalid(text, token)
    return Wei(wei), found


def format_amount(wei: int, token: Token) -> str:
    """Write an amount exactly, without zeros at its end: "12.5 SKYOPS"."""
    whole, part = divmod(abs(wei), token.one)
    digits = f".{part:0{token.decimals}d}".rstrip("0") if part else ""
    return f"{'-' if wei < 0 else ''}{whole}{digits} {token.symbol}"


def format_about(wei: int, token: Token) -> str:
    """Write an amount for a sentence, with four digits that count, rounded to the nearest: "about 0.006617 SKYOPS".

    An amount that four digits say exactly stands without "about".
    """
    digits = len(str(abs(wei)))
    step = 10 ** max(digits - 4, 0)
    rounded = (abs(wei) + step // 2) // step * step
    text = format_amount(rounded if wei >= 0 else -rounded, token)
    return text if rounded == abs(wei) else f"about {text}"


def format_column(amounts: Sequence[int], token: Token) -> list[str]:
    """Write amounts exactly, without symbol, each with as many decimals as the longest needs: for a column."""
    parts = [f"{abs(wei) % token.one:0{token.decimals}d}".rstrip("0") for wei in amounts]
    places = max((len(part) for part in parts), default=0)
    column = []
    for wei, part in zip(amounts, parts, strict=True):
        digits = f".{part.ljust(places, '0')}" if places else ""
        column.append(f"{'-' if wei < 0 else ''}{abs(wei) // token.one}{digits}")
    return column


def wei_to_bytes(wei: int) -> bytes:
    """Return the 32 bytes of an amount on the wire. Rules: SET-1."""
    assert 0 <= wei <= WEI_MAX
    return wei.to_bytes(WEI_BYTES, "big")


def wei_from_bytes(data: bytes, *, bits: int = 256) -> Wei:
    """Read an amount from the wire.

    Args:
        data: 32 bytes, big-endian.
        bits: The amount must be below 2 to this power.

    Raises:
        RemoteProtocolError: Code `malformed`.

    Rules: SET-1.
    """
    if len(data) != WEI_BYTES or int.from_bytes(data, "big") >= 1 << bits:
        raise RemoteProtocolError(f"no amount of 32 bytes below 2^{bits}", code="malformed", rule="SET-1")
    return Wei(int.from_bytes(data, "big"))


def wei_of_credits(price: MicroCredits) -> Wei:
    """Return the wei of a price in microcredits: a credit is one SKYOPS. Rules: SET-2."""
    return Wei(price * SKYOPS.one // CREDIT_MICRO)


def _invalid(text: str, token: Token | None) -> ConfigError:
    wanted = " or ".join([token.symbol] if token else list(TOKENS))
    return ConfigError(
        f"{text[:80]!r} is no amount of {wanted}",
        code="amount_invalid",
        hint=f"Write a number and its unit, such as `12.5 {wanted.split()[0]}`; `wei` is the smallest unit.",
    )
