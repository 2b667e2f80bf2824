"""`node show`, `node prove` and `handshake`: one peer in full."""

import time
from typing import TYPE_CHECKING

import click

from skyops_p2p import limits
from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import age, credits_text, gpu_text, print_fields, print_json
from skyops_p2p.cli.waiting import waiting

if TYPE_CHECKING:
    from skyops_p2p.node.views import GpuView


@click.group()
def node() -> None:
    """Show one node in full, or have it prove what it computes."""


@node.command()
@click.argument("peer", default="self")
@data_dir_option
@json_option
@click.pass_obj
def show(invocation: Invocation, peer: str, *, as_json: bool) -> None:
    """Show all that is known of PEER: a peer id, a unique beginning or end of one, or "self"."""
    view = invocation.client().node(peer)
    if as_json:
        print_json(view)
        return
    gpus = gpu_text((gpu.model, gpu.vram_mib) for gpu in view.gpus)
    fields = [
        ("peer id", view.peer_id + (" (this node)" if view.is_self else "")),
        ("wallet", view.wallet or "-"),
        ("state", f"{view.state}: {view.reason}" if view.reason else view.state),
        (
            "seen",
            "always"
            if view.is_self
            else f"{age(view.seen_s_ago)} ago"
            if view.seen_s_ago is not None
            else "never",
        ),
        ("round trip", f"{view.round_trip_ms:.2f} ms" if view.round_trip_ms is not None else "not measured"),
        ("role", "worker" if view.is_worker else "peer (offers no compute)"),
        ("gpus", gpus + (f" ({view.hardware_source})" if view.gpus else "")),
        *(("class index", _index_text(gpu)) for gpu in view.gpus),
        ("cpu", f"{view.cpu_cores} cores, {view.cpu_model or 'unknown model'}"),
        ("memory", f"{view.memory_mib / 1024:.1f} GiB"),
        ("disk free", f"{view.disk_mib / 1024:.1f} GiB"),
        ("runtimes", ", ".join(view.runtimes) or "-"),
        ("slots", f"{view.slots_free} of {view.slots} free, load {view.load_permille / 10:.0f} %"),
        ("price", f"{credits_text(view.price_microcredits_per_hour)} credits an hour"),
        ("region", view.region or "-"),
        ("labels", ", ".join(view.labels) or "-"),
        ("software", view.agent or "-"),
        ("record", f"number {view.sequence}"),
        *(("address", addr) for addr in view.addrs),
        *(("history", step) for step in view.history),
    ]
    print_fields(fields)


def _index_text(gpu: "GpuView") -> str:
    source = "measured by the node" if gpu.is_measured else "provisional: a table's"
    return f"{gpu.index_milli / 1000:.2f} for {gpu.model} ({source})"


@node.command()
@click.argument("peer")
@click.option("--again", is_flag=True, help="Now, though it has proven it in the last day.")
@click.option(
    "--memory",
    "memory_mib",
    default=0,
    type=click.IntRange(0, limits.PROOF_MEMORY_MIB_MAX),
    metavar="MIB",
    help="Have it fill so much memory besides; then the proof is not kept.",
)
@data_dir_option
@json_option
@click.pass_obj
def prove(invocation: Invocation, peer: str, *, again: bool, memory_mib: int, as_json: bool) -> None:
    """Have PEER prove how fast it computes; what it has proven in the last day is shown without asking it.

    A worker proves itself to each asker twice an hour at most, and not while its jobs need the machine.
    """
    with waiting(f"{peer} proves how fast it computes", is_color=invocation.is_color):
        proof = invocation.client().prove(peer, again=again, memory_mib=memory_mib)
    if as_json:
        print_json(proof)
        return
    when = "just now" if proof.is_new else f"{age(time.time() - proof.proven_unix_ms / 1000)} ago"
    fields = [
        ("peer id", proof.peer_id),
        ("computes", f"{proof.throughput:,} million operations a second"),
        ("proven", when),
    ]
    if proof.is_new:
        fields += [
            ("challenge", f"{proof.operations:,} operations on matrices of {proof.size} rows"),
            ("answered in", f"{proof.took_ms} ms"),
        ]
    if proof.memory_bytes:
        fields.append(("memory", f"{proof.memory_bytes >> 20} MiB filled meanwhile"))
    print_fields(fields)


@click.command()
@click.argument("peer")
@data_dir_option
@json_option
@click.pass_obj
def handshake(invocation: Invocation, peer: str, *, as_json: bool) -> None:
    """Authenticate wallets with PEER and open an encrypted session; print what was agreed."""
    with waiting(f"shaking hands with {peer}", is_color=invocation.is_color):
        session = invocation.client().handshake(peer)
    if as_json:
        print_json(session)
        return
    gpus = gpu_text((gpu.model, gpu.vram_mib) for gpu in session.gpus)
    print_fields(
        [
            ("session", session.session_id),
            ("peer id", session.peer_id),
            ("wallet", f"{session.wallet} (proven)"),
            ("version", str(session.version)),
            ("took", f"{session.took_ms:.1f} ms"),
            ("expires in", age(session.expires_in_s)),
            ("role", "worker" if session.is_worker else "peer (offers no compute)"),
            ("gpus", gpus),
            ("runtimes", ", ".join(session.runtimes) or "-"),
            ("modes", ", ".join(session.modes) or "-"),
            ("tokens", ", ".join(session.tokens) or ("any" if session.is_worker else "-")),
            ("software", session.agent or "-"),
        ]
    )
