"""Who witnesses whom: a lot by stake, from a block that was made before the watch and after all stakes. Pure.

Everybody finds out for itself whether it is drawn, and anybody can check it afterwards: nothing has to be agreed on
but the chain. Spec: protocol/08b-probes.md, "Draw". Source of the idea: Gilad et al., Algorand (2017), sortition.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.crypto.hashing import sha256

WITNESSES_DRAWN = 6
"""For each account, at least, on average; at most twice as many."""
_DOMAIN = b"skyops/probe-draw/1"


@dataclass(frozen=True, slots=True)
class StakeFacts:
    """What the chain says of all stakes."""

    stakes: Mapping[bytes, Stake]
    """Of the accounts that were looked up."""
    total: int
    """Microcredits that all accounts have in the registry, what is unbonding among them."""
    out: frozenset[bytes] = frozenset()
    """Accounts whose word counts nothing: with a double history."""


def lot_of(beacon: bytes, watch: int, *, probed: bytes, witness: bytes) -> int:
    """Return a witness's lot for one account in one watch, 0 to 2^64-1. Rules: PRB-3.

    Args:
        beacon: Hash of the watch's block, 32 bytes.
        watch: Counted from 1970.
        probed: Account, 20 bytes.
        witness: Account, 20 bytes.
    """
    return int.from_bytes(sha256(_DOMAIN + beacon + watch.to_bytes(8, "big") + probed + witness)[:8], "big")


def rank_of(lot: int, stake: int) -> int:
    """Return a witness's place among those that are drawn: the lower, the earlier. Rules: PRB-3.

    Args:
        lot: Of `lot_of`.
        stake: Of the witness, microcredits, above 0.
    """
    return (lot << 64) // stake


def bar_of(total: int) -> int:
    """Return the rank below which a witness is drawn. Rules: PRB-3.

    The total is rounded down to a power of two, so that a stake that comes or goes seldom changes any draw.

    Args:
        total: Microcredits that all accounts have at stake; with 0 nobody is drawn.
    """
    return (WITNESSES_DRAWN << 128) >> (total.bit_length() - 1) if total > 0 else 0


def is_heard(account: bytes, facts: StakeFacts, beacon_unix_s: int) -> bool:
    """Tell whether an account takes part: staked before the beacon was known, not slashed, without two pasts.

    Rules: PRB-3.
    """
    stake = facts.stakes.get(account)
    if stake is None or stake.amount <= 0 or stake.is_slashed or account in facts.out:
        return False
    return stake.registered_unix_s <= beacon_unix_s
