"""`audit`: re-run an award from its bid book, on any machine, without a network or a running node."""

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import credits_text, print_fields, print_json
from skyops_p2p.cli.waiting import waiting

if TYPE_CHECKING:
    from skyops_p2p.core.auction.audit import AuditReport
    from skyops_p2p.core.rules import NetworkRules

MAIN_NETWORK = "skyops"
"""Outside it, declared hardware is admitted."""


@click.command()
@click.argument("book")
@click.option("--network", help="Insist on this network; else the book's own name of it counts.")
@click.option("--chain-id", type=int, help="Insist on this chain; else that of the bidders' bindings counts.")
@click.option(
    "--ack",
    "acks",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with an acknowledgement that must be honoured; may be given several times.",
)
@data_dir_option
@json_option
@click.pass_obj
def audit(
    invocation: Invocation,
    book: str,
    network: str | None,
    chain_id: int | None,
    acks: tuple[Path, ...],
    *,
    as_json: bool,
) -> int:
    """Re-run the award of BOOK: a file, the beginning of a tender's id, or a job of the running node by id or name.

    Checks every signature, commitment and date in the bid book, applies the award rule to it again and compares; of a
    job the books of all its attempts. Prints OK, or each rule that differs and where; the exit code is 0 or 9.
    """
    from skyops_p2p.cli.audit_job import audit_job, find_attempts
    from skyops_p2p.errors import AuditError
    from skyops_p2p.node.book_files import find_book, read_book

    wanted = Wanted(network, chain_id, tuple(read_book(ack) for ack in acks))
    try:
        path = find_book(book, invocation.find_data_dir())
    except AuditError as error:
        if error.code != "book_missing":
            raise
        return audit_job(find_attempts(invocation, book, error), wanted, invocation, as_json=as_json)
    with waiting("checking the bid book", is_color=invocation.is_color):
        audited = audit_file(path, wanted)
    if as_json:
        print_json(as_tree(audited))
    else:
        _print(audited)
    return 0 if audited.report.ok else AuditError.exit_code


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller insists on."""

    network: str | None
    chain_id: int | None
    acks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Audited:
    """One book and what became of it."""

    report: "AuditReport"
    rules: "NetworkRules"
    path: Path


def audit_file(path: Path, wanted: Wanted) -> Audited:
    """Audit a stored bid book.

    Raises:
        AuditError: Code `book_unreadable`.
    """
    from skyops_p2p.core.auction.audit import audit as audit_book
    from skyops_p2p.node.book_files import read_book
    from skyops_p2p.node.spreading import over_all_cores

    data = read_book(path)
    rules = _rules(data, wanted.network, wanted.chain_id)
    # A large book is a million small objects, all of them needed until the end: looking for garbage among them would
    # cost a third of the time.
    gc.disable()
    try:
        return Audited(audit_book(data, rules, acks=wanted.acks, spread=over_all_cores), rules, path)
    finally:
        gc.enable()


def _rules(data: bytes, network: str | None, chain_id: int | None) -> "NetworkRules":
    """Return the network that the book claims to be of, unless the caller insists on another."""
    from skyops_p2p.core.auction.audit import claimed_network
    from skyops_p2p.core.rules import NetworkRules
    from skyops_p2p.types import NetworkName

    claimed_name, claimed_chain = claimed_network(data)
    name = network or claimed_name or MAIN_NETWORK
    return NetworkRules(NetworkName(name), chain_id or claimed_chain or 1, is_testnet=name != MAIN_NETWORK)


def _print(audited: Audited) -> None:
    report, rules = audited.report, audited.rules
    fields = [
        ("book", str(audited.path)),
        ("digest", report.digest.hex()),
        ("network", f"{rules.network}, chain {rules.chain_id}"),
    ]
    if report.tender is not None:
        tender = report.tender
        fields += [
            ("requester", report.requester or "-"),
            ("job", f"{tender.job_id.hex()}, round {tender.round}"),
            ("policy", tender.policy),
            ("ceiling", f"{credits_text(tender.price_max)} credits an hour"),
            ("bids", str(report.bids)),
            ("winner by rule", report.ranking[0] if report.ranking else "nobody"),
            ("reserves", str(max(0, len(report.ranking) - 1))),
        ]
    print_fields(fields)
    if report.ok:
        click.echo("OK: the award follows from the bids")
        return
    click.echo(f"FAILED: {len(report.findings)} findings")
    for finding in report.findings:
        click.echo(f"  {finding.rule:<7} {finding.text}")


def as_tree(audited: Audited) -> dict[str, Any]:
    """Return an audit as JSON."""
    report, rules = audited.report, audited.rules
    return {
        "ok": report.ok,
        "book": str(audited.path),
        "digest": report.digest.hex(),
        "network": rules.network,
        "chain_id": rules.chain_id,
        "requester": report.requester,
        "job_id": report.tender.job_id.hex() if report.tender else None,
        "round": report.tender.round if report.tender else None,
        "bids": report.bids,
        "ranking": list(report.ranking),
        "findings": [{"rule": finding.rule, "text": finding.text} for finding in report.findings],
    }
