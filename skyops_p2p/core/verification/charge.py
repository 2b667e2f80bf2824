"""What a worker can be charged with on chain for a result that a verdict calls wrong. Pure.

No contract can read a verdict. Whoever opens the dispute says what is in it, all of that is in the dispute's id, and
jurors work the id out again from the verdict's file. Spec: protocol/06-verification.md, "Charging the loser".
"""

from collections.abc import Iterator
from dataclasses import dataclass

from skyops_p2p.core.reputation.deals import WEI_PER_MICRO
from skyops_p2p.core.verification.check import CheckedVerdict, Judged
from skyops_p2p.core.verification.policy import value_at_stake
from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.types import Wei


@dataclass(frozen=True, slots=True)
class Charge:
    """What a dispute about one worker's result says, as the contract takes it."""

    requester: bytes
    """Wallet, 20 bytes."""
    worker: bytes
    """Wallet, 20 bytes."""
    amount: Wei
    """What the result was worth, SKYOPS."""
    made_unix_s: int
    """When the verdict was made."""
    commitment: bytes
    """Digest of the worker's enveloped ResultCommit, 32 bytes: it is charged for it once."""
    proof: bytes
    """Digest of the enveloped verdict, 32 bytes."""

    @property
    def dispute(self) -> bytes:
        """The id that its dispute has, 32 bytes. Source: contracts/src/Disputes.vy, open_result."""
        accounts = (account.rjust(32, b"\0") for account in (self.requester, self.worker))
        numbers = (number.to_bytes(32, "big") for number in (self.amount, self.made_unix_s))
        return keccak256(b"".join((*accounts, *numbers, self.commitment, self.proof)))


def charge_of(checked: CheckedVerdict, judged: Judged) -> Charge | None:
    """Return what one worker can be charged with by a verdict; None: it cannot.

    Args:
        checked: A verdict.
        judged: One of `checked.judged`.

    Rules: VER-28.
    """
    verdict, requester = checked.verdict, checked.requester_wallet
    if not checked.holds or verdict is None or requester is None:
        return None
    if judged.fault not in ("wrong", "lied") or judged.wallet is None or judged.receipt is None:
        return None
    if not judged.price:
        return None
    amount = value_at_stake(judged.price, judged.run_ms) * WEI_PER_MICRO
    made_unix_s = verdict.made_unix_ms // 1000
    return Charge(requester, judged.wallet, Wei(amount), made_unix_s, judged.commit, checked.digest)


def charges_of(checked: CheckedVerdict) -> Iterator[Charge]:
    """Yield what a verdict charges its workers with, in the order of their places. Rules: VER-28."""
    for judged in checked.judged:
        charge = charge_of(checked, judged)
        if charge is not None:
            yield charge


def doubts_about(checked: CheckedVerdict, dispute: bytes) -> tuple[str, ...]:
    """Name why a verdict does not bear a dispute out; where nothing is named, the result itself is to be looked at.

    Args:
        checked: The verdict that a juror was shown, checked for the chain that the dispute is on.
        dispute: Id of the dispute, 32 bytes.

    Rules: VER-29.
    """
    if not checked.holds:
        return tuple(f"{finding.rule}: {finding.text}" for finding in checked.findings)
    if all(charge.dispute != dispute for charge in charges_of(checked)):
        return ("what was said when the dispute was opened is not what the verdict says",)
    return ()
