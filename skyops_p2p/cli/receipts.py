"""`receipts`: whose jobs came to what, as both sides have signed it; and the same checked again without a node."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import Column, print_json, print_table
from skyops_p2p.cli.waiting import waiting

if TYPE_CHECKING:
    from skyops_p2p.core.evidence.checking import Finding
    from skyops_p2p.node.evidence.views import EvidenceRowView, EvidenceView

COLUMNS = (
    Column("ENDED"),
    Column("JOB"),
    Column("REQUESTER"),
    Column("WORKER"),
    Column("OUTCOME"),
    Column("AMOUNT", is_right=True),
    Column("SIGNED"),
    Column("CHECKED"),
)
FILE_BYTES_MAX = 16 << 20
"""A file of a thousand receipts has about 3 MiB."""


@click.command()
@click.argument("who", required=False, default="")
@click.option(
    "--export", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write them to a file."
)
@click.option(
    "--lease",
    metavar="LEASE",
    help="With --export: this receipt of the node alone, in the form that `skyops dispute open` reads; 64 digits, from"
    " `skyops billing JOB --json`.",
)
@click.option(
    "--verify",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Check such a file instead, without a node: signatures, chains, places in the tree.",
)
@data_dir_option
@json_option
@click.pass_obj
def receipts(
    invocation: Invocation,
    who: str,
    target: Path | None,
    lease: str | None,
    source: Path | None,
    *,
    as_json: bool,
) -> int:
    """List the receipts that the running node holds: everybody's, or those of WHO.

    WHO is a wallet, a peer of the map, or a job by the beginning of its id. With --verify the exit code is 0 or 9.
    """
    if source is not None:
        return _verify(source, as_json=as_json)
    if lease is not None:
        return _export_lease(invocation, lease, target, as_json=as_json)
    view = invocation.client().payments.evidence(who)
    if target is not None:
        target.write_text(view.model_dump_json(indent=1) + "\n", encoding="utf-8")
        click.echo(f"Wrote {len(view.receipts)} receipts to {target}.")
    elif as_json:
        print_json(view)
    else:
        _print(view, is_color=invocation.is_color)
    return 0


def _export_lease(invocation: Invocation, lease: str, target: Path | None, *, as_json: bool) -> int:
    """Write one receipt of this node with its proof."""
    from skyops_p2p.cli.dispute import read_hash

    view = invocation.client().payments.receipt(read_hash(lease))
    if target is None:
        print_json(view)
        return 0
    target.write_text(view.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if as_json:
        print_json({"lease": view.lane, "file": str(target), "is_on_chain": view.is_on_chain})
        return 0
    click.echo(f"Wrote the receipt of {view.lane[:12]} to {target}.")
    if not view.is_on_chain:
        click.echo("Its root is not on chain yet: `skyops dispute open` works once the worker has redeemed.")
    return 0


def _print(view: "EvidenceView", *, is_color: bool) -> None:
    if view.receipts:
        print_table(COLUMNS, [_cells(row) for row in view.receipts], is_color=is_color)
        click.echo()
    if view.held:
        click.echo(f"{len(view.receipts)} of {view.held} receipts that this node holds.")
    else:
        click.echo(
            "This node holds no receipts yet; they come in when a paid job ends anywhere on the network."
        )
    for wallet in view.double_histories:
        click.echo(f"{wallet} has signed two histories: its receipts count no more.")


def _cells(row: "EvidenceRowView") -> tuple[str, ...]:
    from datetime import UTC, datetime

    from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount

    ended = datetime.fromtimestamp(row.ended_unix_ms / 1000, UTC)
    return (
        f"{ended:%Y-%m-%d %H:%M:%S}",
        row.job_id[:12],
        row.requester[:10],
        row.worker[:10],
        row.outcome,
        format_amount(row.amount_wei, SKYOPS),
        "both" if row.is_signed_by_both else "one side",
        row.checked or "unverified",
    )


def _verify(source: Path, *, as_json: bool) -> int:
    from skyops_p2p.errors import AuditError

    with waiting("checking signatures"):
        view = _read(source)
        findings = _findings(view)
    if as_json:
        found = [{"index": one.index, "code": one.code} for one in findings]
        print_json({"receipts": len(view.receipts), "findings": found})
    else:
        place = f"network {view.network}, chain {view.chain_id}, Disputes 0x{view.disputes}"
        click.echo(f"{len(view.receipts)} receipts of {place}")
        for one in findings:
            click.echo(f"receipt {one.index + 1} (job {view.receipts[one.index].job_id[:12]}): {one.code}")
        click.echo(
            f"FAILED: {len(findings)} findings" if findings else "OK: signatures, chains and places are right"
        )
    return AuditError.exit_code if findings else 0


def _read(source: Path) -> "EvidenceView":
    from skyops_p2p.errors import AuditError
    from skyops_p2p.node.evidence.views import EvidenceView

    try:
        if source.stat().st_size > FILE_BYTES_MAX:
            raise ValueError("it is too long")
        tree: Any = json.loads(source.read_text(encoding="utf-8"))
        return EvidenceView.model_validate_json(json.dumps(tree))
    except (OSError, ValueError) as error:
        raise AuditError(
            f"{source} is no file of receipts",
            code="receipts_unreadable",
            hint="`skyops receipts --export FILE` writes one.",
        ) from error


def _findings(view: "EvidenceView") -> "list[Finding]":
    from skyops_p2p.core.evidence.checking import check_receipts
    from skyops_p2p.core.evidence.items import Scope
    from skyops_p2p.core.settlement.trees import Inclusion
    from skyops_p2p.errors import AuditError

    try:
        places = (bytes.fromhex(one) for one in (view.settlement, view.disputes, view.token))
        scope = Scope(view.network, view.chain_id, *places)
        proofs = {
            number: (
                Inclusion(one.index, one.count, tuple(map(bytes.fromhex, one.path))),
                bytes.fromhex(one.root),
            )
            for number, row in enumerate(view.receipts)
            if (one := row.inclusion) is not None
        }
        return check_receipts(scope, [bytes.fromhex(row.receipt) for row in view.receipts], proofs)
    except ValueError as error:
        raise AuditError(
            "the file holds something that is not hexadecimal",
            code="receipts_unreadable",
            hint="`skyops receipts --export FILE` writes one.",
        ) from error
