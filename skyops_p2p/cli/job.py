"""`job check`, `job schema` and `job new`: write and check job files."""

import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import Column, credits_text, paint, print_json, print_table, short_peer
from skyops_p2p.cli.waiting import waiting

if TYPE_CHECKING:
    from skyops_p2p.node.job_preview import PreviewView

TEMPLATES = ("train", "render", "batch", "inference")
_NODES_SHOWN = 20
"""Nodes that the table for people holds; --json has all."""


@click.group()
def job() -> None:
    """Write and check job files (TOML, YAML or JSON)."""


@job.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_dir_option
@json_option
@click.pass_obj
def check(invocation: Invocation, file: Path, *, as_json: bool) -> None:
    """Check a job file, print it with all defaults, and screen the known nodes for it.

    Without a running node the file is checked all the same. Exit code 0: the job is valid; 2: it is not.
    """
    from skyops_p2p.core.jobs.encoding import spec_digest
    from skyops_p2p.core.jobs.remarks import remarks_on
    from skyops_p2p.node.job_files import read_job
    from skyops_p2p.types import UnixMs

    spec = read_job(file)
    remarks = remarks_on(spec, now=UnixMs(round(time.time() * 1000)))
    tree = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    preview, trouble = _preview(invocation, tree)
    digest = spec_digest(spec).hex()
    if as_json:
        print_json(
            {
                "spec": tree,
                "spec_digest": digest,
                "remarks": remarks,
                "preview": preview,
                "preview_missing": trouble,
            }
        )
        return
    click.echo(f"{file}: valid, digest {digest[:16]}")
    _print_spec(tree, is_color=invocation.is_color)
    for remark in remarks:
        click.echo(paint("remark", "yellow", is_color=invocation.is_color) + f": {remark}")
    click.echo()
    if preview is None:
        click.echo(f"No screening preview: {trouble}")
    else:
        _print_preview(preview, is_color=invocation.is_color)


@job.command()
def schema() -> None:
    """Print the JSON Schema of a job, for editors and other programs."""
    from skyops_p2p.core.jobs.schema import job_schema

    print_json(job_schema())


@job.command()
@click.option("--template", required=True, type=click.Choice(TEMPLATES), help="What kind of job.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to this new file instead of standard output.",
)
def new(template: str, output: Path | None) -> None:
    """Write a commented job file to start from; it passes `skyops job check`."""
    from importlib.resources import files

    from skyops_p2p.cli.settings import write_config

    text = files("skyops_p2p.cli").joinpath("job_templates", f"{template}.toml").read_text("utf-8")
    if output is None:
        click.echo(text, nl=False)
        return
    write_config(output, text)
    click.echo(f"Wrote {output}. Check it with `skyops job check {output}`.")


def _preview(invocation: Invocation, tree: Mapping[str, Any]) -> "tuple[PreviewView | None, str]":
    """Ask the running node; without one, return why there is no preview."""
    from skyops_p2p.errors import NetworkError

    try:
        with waiting("screening the nodes of the map", is_color=invocation.is_color):
            return invocation.client().preview(tree), ""
    except NetworkError as error:
        return None, f"{error.message}. {error.hint}"


def _print_spec(tree: Mapping[str, Any], *, is_color: bool) -> None:
    """Print every field; what nobody wrote is marked as a default."""
    from skyops_p2p.core.jobs.spec import JobSpec

    plain = JobSpec(image="x").model_dump(mode="json", by_alias=True, exclude_none=True)
    defaults = dict(_flat(plain, ""))
    rows = [
        (
            name,
            shlex.join(value) if name in ("command", "args") else _shown(value),
            "default" if defaults.get(name) == value and name != "image" else "",
        )
        for name, value in _flat(tree, "")
        if value not in ("", [], {})
    ]
    print_table([Column("FIELD"), Column("VALUE", is_wrapped=True), Column("")], rows, is_color=is_color)


def _flat(tree: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of every field."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value and place + name != "env":
            yield from _flat(value, f"{place}{name}.")
        else:
            yield place + name, value


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(_shown(item) for item in value)
        case Mapping():
            return " ".join(f"{name}={_shown(item)}" for name, item in value.items())
        case _:
            return str(value)


def _print_preview(preview: "PreviewView", *, is_color: bool) -> None:
    click.echo(f"{preview.qualified} of {preview.workers} known workers qualify.")
    if preview.price_min is not None and preview.price_max is not None and preview.price_median is not None:
        low, middle, high = map(credits_text, (preview.price_min, preview.price_median, preview.price_max))
        click.echo(f"Announced prices: {low} to {high} credits an hour, median {middle}.")
    if preview.cost_min is not None and preview.cost_max is not None:
        cost = f"{credits_text(preview.cost_min)} to {credits_text(preview.cost_max)}"
        click.echo(f"Estimated cost if the execution time-out is used up: {cost} credits.")
        if preview.computing > 1:
            click.echo(
                f"{_computing_text(preview)}: at most {credits_text(preview.cost_max)} credits in all."
            )
    if preview.canaries:
        click.echo(
            f"This machine computes {preview.canaries} of the shards, too, one after the other (canaries);\n"
            "whoever makes up a tenth of all shards is caught at one with a chance of "
            f"{preview.canary_permille / 1000:.2f}."
        )
    if preview.reasons:
        columns = [
            Column("REASON"),
            Column("NODES", is_right=True),
            Column("WHAT TO CHANGE", is_wrapped=True),
        ]
        rows = [
            (reason.code, str(reason.nodes), f"{reason.meaning} {reason.change}")
            for reason in preview.reasons
        ]
        click.echo()
        print_table(columns, rows, is_color=is_color)
    if preview.candidates:
        click.echo()
        _print_candidates(preview, is_color=is_color)


def _computing_text(preview: "PreviewView") -> str:
    """Return how many compute it, so that results can be compared."""
    others = preview.computing - 1
    if preview.is_by_lot:
        return f"1 worker computes it, and {others} more if the lot of the spot checks falls on it"
    return f"{preview.computing} workers compute it, to compare their results"


def _print_candidates(preview: "PreviewView", *, is_color: bool) -> None:
    columns = [
        Column("NODE"),
        Column("PRICE/H", is_right=True),
        Column("RTT", is_right=True),
        Column("WHY NOT", is_wrapped=True),
    ]
    rows = [
        (
            short_peer(one.peer_id),
            credits_text(one.price_microcredits_per_hour),
            "-" if one.round_trip_ms is None else f"{one.round_trip_ms}ms",
            "; ".join(f"{found.code}: {found.detail}".rstrip(": ") for found in one.mismatches)
            or "qualifies",
        )
        for one in preview.candidates[:_NODES_SHOWN]
    ]
    print_table(columns, rows, is_color=is_color)
    if preview.workers > _NODES_SHOWN:
        click.echo(f"… and {preview.workers - _NODES_SHOWN} more; --json names them.")
