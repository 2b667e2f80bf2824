"""What `dispute` takes from a verdict: whom to accuse of what, and whether a dispute is about it at all."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from skyops_p2p.cli.invocation import Invocation
from skyops_p2p.cli.waiting import waiting
from skyops_p2p.errors import ConfigError

if TYPE_CHECKING:
    from skyops_p2p.core.verification.charge import Charge
    from skyops_p2p.core.verification.check import CheckedVerdict
    from skyops_p2p.node.wallet.purse_views import DisputeView

_NAME = re.compile(r"[0-9a-f]{4,64}")


def charge_by(invocation: Invocation, verdict: str, worker: str | None) -> "Charge":
    """Return what a verdict charges a worker with.

    Args:
        invocation: Says which network and chain the verdict must be of, and where the node is.
        verdict: How the name of one begins that the node holds, or a file.
        worker: Wallet; None: there must be just one who can be charged.

    Raises:
        ConfigError: `verdict_unusable`; `not_chargeable`: nobody, or nobody with this wallet, is wrong in it.
        ExecutionError: `no_verdict`.
    """
    from skyops_p2p.core.verification.charge import charges_of
    from skyops_p2p.crypto.wallet import address_from_bytes

    checked = _checked(invocation, verdict)
    if not checked.holds:
        finding = checked.findings[0]
        raise ConfigError(
            f"the verdict does not hold: {finding.text} ({finding.rule})",
            code="verdict_unusable",
            hint="`skyops verdict --check FILE` says all that is wrong with it.",
        )
    found = {address_from_bytes(one.worker): one for one in charges_of(checked)}
    if worker is not None:
        found = {wallet: one for wallet, one in found.items() if wallet.lower() == worker.lower()}
    if not found:
        who = "nobody" if worker is None else f"nobody with the wallet {worker[:64]}"
        raise ConfigError(
            f"{who} can be charged by this verdict",
            code="not_chargeable",
            hint="Charged is who was wrong or has lied, was to be paid, and whose wallet the verdict names.",
        )
    if len(found) > 1:
        raise ConfigError(
            f"the verdict charges several workers: {', '.join(found)}",
            code="not_chargeable",
            hint="Name one with --worker; each is a dispute of its own.",
        )
    (charge,) = found.values()
    return charge


def with_doubts(invocation: Invocation, view: "DisputeView", verdict: str) -> "DisputeView":
    """Return a dispute with what speaks against its being about a verdict.

    Args:
        invocation: As for `charge_by`.
        view: The dispute.
        verdict: As for `charge_by`.

    Raises:
        ConfigError, ExecutionError: As `charge_by`, where the verdict cannot be had.
    """
    from skyops_p2p.core.verification.charge import doubts_about

    doubts = doubts_about(_checked(invocation, verdict), bytes.fromhex(view.dispute))
    return view.model_copy(update={"doubts": doubts})


def _checked(invocation: Invocation, verdict: str) -> "CheckedVerdict":
    from skyops_p2p.core.verification.check import check_verdict

    network = invocation.load_config()[0].network
    data = _bytes_of(invocation, verdict)
    with waiting("checking"):
        return check_verdict(data, network=network.name, chain_id=network.chain_id)


def _bytes_of(invocation: Invocation, verdict: str) -> bytes:
    from skyops_p2p.node.jobs.verdicts import read_verdict

    if _NAME.fullmatch(verdict):
        return bytes.fromhex(invocation.client().payments.verdict(verdict).data)
    try:
        return read_verdict(Path(verdict))
    except OSError as error:
        raise ConfigError(
            f"{verdict[:80]!r} is neither the name of a verdict nor a file that can be read",
            code="verdict_unusable",
            hint="`skyops verdict` lists the names; `skyops verdict JOB --export FILE` writes a file.",
        ) from error
