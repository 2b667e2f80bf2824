"""How orders end that were to succeed. Pure."""

from skyops_p2p.core.chain.transaction import Ending, Outcome
from skyops_p2p.errors import ChainRefusal


def confirmed(outcome: Outcome) -> Outcome:
    """Return an outcome that is a success.

    Raises:
        ChainRefusal: `transaction_reverted`, `nonce_taken`, `order_cancelled`.
    """
    if outcome.ending is Ending.REVERTED:
        raise ChainRefusal(
            f"transaction 0x{outcome.transaction_hash.hex()} had no effect",
            code="transaction_reverted",
            hint="Something changed between the try and its block; its fee is paid. Look, then order it again.",
        )
    if outcome.ending is Ending.NONCE_TAKEN:
        raise ChainRefusal(
            f"another transaction of this account has the nonce of {outcome.key!r}",
            code="nonce_taken",
            hint="A second program signs with this wallet's key: use it in one place only.",
        )
    if outcome.ending is Ending.CANCELLED:
        raise ChainRefusal(
            f"{outcome.key!r} was cancelled by its owner (0x{outcome.transaction_hash.hex()})",
            code="order_cancelled",
            hint="Nothing of it happened; order it again if it is wanted after all.",
        )
    return outcome
