"""`dispute …`: challenges of results, the answers to them, and the jury that decides."""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyops_p2p import limits
from skyops_p2p.cli.acting import ActOptions, act_options, look, perform
from skyops_p2p.cli.charging import charge_by, with_doubts
from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.job_verify import EXIT_DIFFERENT
from skyops_p2p.cli.output import print_json
from skyops_p2p.errors import ConfigError

if TYPE_CHECKING:
    from skyops_p2p.node.settlement.settlement_views import ReceiptView
    from skyops_p2p.node.wallet.purse_views import DisputeView

_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_NO_HASH = "00" * 32
_EVIDENCE = click.Path(path_type=Path, dir_okay=False, exists=True)
_EVIDENCE_HELP = "File whose SHA-256 goes on chain; keep the file, and show it to jurors."
_evidence_option = click.option("--evidence", type=_EVIDENCE, required=True, help=_EVIDENCE_HELP)


@click.group()
def dispute() -> None:
    """Challenge a result, answer a challenge, or sit in the jury that decides.

    Who loses pays: the challenger its bond, the worker ten times the job's value of its stake.
    """


@dispute.command("open")
@click.argument("receipt", required=False)
@click.option("--job", help="Instead of a receipt: a job in escrow, 64 hexadecimal digits.")
@click.option(
    "--verdict",
    metavar="NAME|FILE",
    help="Instead of a receipt: a result that this verdict calls wrong; how its name begins, or a file.",
)
@click.option("--worker", metavar="WALLET", help="With --verdict, where several were wrong: which.")
@click.option(
    "--evidence", type=_EVIDENCE, help=f"{_EVIDENCE_HELP} Not with --verdict, which is the evidence."
)
@data_dir_option
@act_options
@click.pass_obj
def open_dispute(
    invocation: Invocation,
    receipt: str | None,
    *,
    job: str | None,
    verdict: str | None,
    worker: str | None,
    evidence: Path | None,
    options: ActOptions,
) -> int:
    """Challenge the job of RECEIPT: a lease of this node (64 digits, from `skyops billing --json`), or a file.

    The file is what `skyops receipts --lease LEASE --export FILE` writes. The bond is half of what the job cost, and
    the fee of seven jurors at least; --dry-run shows it. It must be done while the worker's money of that pair waits.

    A result that was refused has no receipt: there --verdict accuses the worker, of a result worth an hour of its
    price or its run, within seven days. Only its stake answers for it.

    \b
    Example: skyops dispute open 5f0c…e1 --evidence comparison.txt
    Example: skyops dispute open --verdict 3fa9c2
    """
    from skyops_p2p.node.wallet.actions import OpenDispute, OpenJobDispute

    if sum(one is not None for one in (receipt, job, verdict)) != 1:
        raise click.UsageError("Name a RECEIPT, a --job or a --verdict, one of them.")
    if verdict is not None and evidence is None:
        return _accuse(invocation, verdict, worker, options)
    if verdict is not None or worker is not None or evidence is None:
        raise click.UsageError("Give --evidence to a RECEIPT or a --job, and --worker to a --verdict.")
    digest = _digest_of(evidence)
    if job is not None:
        action = OpenJobDispute(job=read_hash(job), evidence=digest)
        return perform(
            invocation, action, options, then=f"Dispute {action.job}: `skyops dispute status {action.job}`."
        )
    view = _receipt(invocation, receipt or "")
    challenge = OpenDispute(
        receipt=view.receipt, index=view.index, count=view.count, path=view.path, evidence=digest
    )
    found = _dispute_of(view)
    return perform(invocation, challenge, options, then=f"Dispute {found}: `skyops dispute status {found}`.")


@dispute.command()
@click.argument("dispute_id", metavar="DISPUTE")
@_evidence_option
@data_dir_option
@act_options
@click.pass_obj
def respond(invocation: Invocation, dispute_id: str, *, evidence: Path, options: ActOptions) -> int:
    """Answer DISPUTE with evidence: its hash is noted on chain. Anybody may, the worker should.

    \b
    Example: skyops dispute respond 77ab…03 --evidence run.log
    """
    from skyops_p2p.node.wallet.actions import Respond

    action = Respond(dispute=read_hash(dispute_id), evidence=_digest_of(evidence))
    return perform(invocation, action, options, then="Keep the file: jurors look at what has that hash.")


@dispute.command()
@click.argument("dispute_id", metavar="DISPUTE")
@click.option(
    "--verdict", metavar="NAME|FILE", help="Say whether it is about what this verdict says; for jurors."
)
@data_dir_option
@json_option
@click.pass_obj
def status(invocation: Invocation, dispute_id: str, *, verdict: str | None, as_json: bool) -> int:
    """Show DISPUTE: its phase and what comes next, parties, bond, jury and votes.

    With --verdict the exit code is 13 if what was said when the dispute was opened is not what the verdict says.

    \b
    Example: skyops dispute status 77ab…03
    """
    from skyops_p2p.cli.wallet_text import print_dispute

    view = _look(invocation, read_hash(dispute_id))
    if verdict is not None:
        view = with_doubts(invocation, view, verdict)
    if as_json:
        print_json(view)
    else:
        print_dispute(view)
    return EXIT_DIFFERENT if view.doubts else 0


@dispute.command()
@click.argument("dispute_id", metavar="DISPUTE")
@_evidence_option
@data_dir_option
@act_options
@click.pass_obj
def appeal(invocation: Invocation, dispute_id: str, *, evidence: Path, options: ActOptions) -> int:
    """Appeal against a verdict, as who lost: twice the bond, a jury of twice as many and one. Two times at most.

    \b
    Example: skyops dispute appeal 77ab…03 --evidence rerun.log
    """
    from skyops_p2p.node.wallet.actions import Appeal

    return perform(invocation, Appeal(dispute=read_hash(dispute_id), evidence=_digest_of(evidence)), options)


@dispute.command()
@click.argument("dispute_id", metavar="DISPUTE")
@data_dir_option
@act_options
@click.pass_obj
def enrol(invocation: Invocation, dispute_id: str, *, options: ActOptions) -> int:
    """Draw for a seat in the jury of DISPUTE, with the best ticket that the stake of this wallet has.

    \b
    Example: skyops dispute enrol 77ab…03
    """
    from skyops_p2p.node.wallet.actions import Enrol

    return perform(invocation, Enrol(dispute=read_hash(dispute_id)), options)


@dispute.command()
@click.argument("dispute_id", metavar="DISPUTE")
@click.argument("verdict", type=click.Choice(["right", "wrong"]))
@click.option(
    "--finding", help="Hash of what was found, such as the bisection's outcome; 64 hexadecimal digits."
)
@data_dir_option
@act_options
@click.pass_obj
def vote(
    invocation: Invocation, dispute_id: str, verdict: str, *, finding: str | None, options: ActOptions
) -> int:
    """Vote as a juror that the worker is right, or wrong: first a sealed vote, then the same command reveals it.

    The seal follows from the wallet's key, so that nothing needs to be kept; finding and vote must be the same again.

    \b
    Example: skyops dispute vote 77ab…03 wrong
    """
    from skyops_p2p.node.wallet.actions import Vote

    found = _NO_HASH if finding is None else read_hash(finding)
    action = Vote(dispute=read_hash(dispute_id), is_worker_right=verdict == "right", finding=found)
    return perform(
        invocation, action, options, then="`skyops dispute status` says when the next phase begins."
    )


@dispute.command()
@click.argument("dispute_id", metavar="DISPUTE")
@data_dir_option
@act_options
@click.pass_obj
def advance(invocation: Invocation, dispute_id: str, *, options: ActOptions) -> int:
    """Take the next step of DISPUTE that anybody may take: seed, end of the draw, count, verdict, pay of jurors.

    \b
    Example: skyops dispute advance 77ab…03
    """
    from skyops_p2p.node.wallet.actions import Advance

    return perform(invocation, Advance(dispute=read_hash(dispute_id)), options)


def _accuse(invocation: Invocation, verdict: str, worker: str | None, options: ActOptions) -> int:
    """Challenge a result that a verdict calls wrong."""
    from skyops_p2p.crypto.wallet import address_from_bytes
    from skyops_p2p.node.wallet.actions import OpenResultDispute

    charge = charge_by(invocation, verdict, worker)
    action = OpenResultDispute(
        requester=address_from_bytes(charge.requester),
        worker=address_from_bytes(charge.worker),
        amount=charge.amount,
        made_unix_s=charge.made_unix_s,
        commitment=charge.commitment.hex(),
        proof=charge.proof.hex(),
    )
    found = charge.dispute.hex()
    then = (
        f"Dispute {found}: `skyops dispute status {found}`.\n"
        f"Show jurors the verdict {action.proof[:12]}, and what they need to see that the result is wrong."
    )
    return perform(invocation, action, options, then=then)


def read_hash(text: str) -> str:
    """Return the 64 digits of a hash.

    Raises:
        ConfigError: `hash_invalid`.
    """
    hit = _HASH.fullmatch(text.strip())
    if hit is None:
        raise ConfigError(
            f"{text[:80]!r} are not 64 hexadecimal digits",
            code="hash_invalid",
            hint="Copy the whole id, as the command that made it printed it.",
        )
    return hit[1].lower()


def _digest_of(path: Path) -> str:
    """Return the SHA-256 of a file of evidence.

    Raises:
        ConfigError: `evidence_unusable`.
    """
    try:
        if path.stat().st_size > limits.EVIDENCE_BYTES_MAX:
            raise ConfigError(
                f"{path} is larger than {limits.EVIDENCE_BYTES_MAX >> 20} MiB",
                code="evidence_unusable",
                hint="Give a file that lists the hashes of larger ones.",
            )
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", code="evidence_unusable", hint="Check it."
        ) from error


def _receipt(invocation: Invocation, text: str) -> "ReceiptView":
    """Return a receipt with its proof: the node's own, or what a file holds.

    Raises:
        ConfigError: `receipt_invalid`.
    """
    from skyops_p2p.node.settlement.settlement_views import ReceiptView

    if _HASH.fullmatch(text):
        return invocation.client().payments.receipt(read_hash(text))
    try:
        with Path(text).open("rb") as file:
            return ReceiptView.model_validate_json(file.read(limits.API_BODY_BYTES_MAX))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{text[:80]!r} is neither 64 digits nor a file with a receipt",
            code="receipt_invalid",
            hint="`skyops billing JOB --json` names leases; `skyops receipts --lease LEASE --export FILE` writes one.",
        ) from error


def _dispute_of(view: "ReceiptView") -> str:
    """Return the id that the dispute of a receipt has."""
    from skyops_p2p.adapters.contracts.disputes import dispute_id
    from skyops_p2p.errors import RemoteProtocolError
    from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
    from skyops_p2p.wire.model import decode_message

    try:
        receipt = decode_message(Receipt, decode_message(SignedReceipt, bytes.fromhex(view.receipt)).receipt)
    except (RemoteProtocolError, ValueError) as error:
        raise ConfigError(
            "the receipt cannot be read",
            code="receipt_invalid",
            hint="Take it anew from the node that has it.",
        ) from error
    return dispute_id(receipt.requester, receipt.worker, receipt.token, receipt.lane).hex()


def _look(invocation: Invocation, text: str) -> "DisputeView":
    from skyops_p2p.node.wallet.opening import unix_s
    from skyops_p2p.node.wallet.reading import read_dispute

    return look(
        invocation,
        lambda client: client.dispute(text),
        lambda at, _workers: read_dispute(at, bytes.fromhex(text), now_unix_s=unix_s()),
    )
