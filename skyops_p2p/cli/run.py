"""`run`: the node itself, until it is told to stop."""

import logging
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.chain_contracts import with_endpoints
from skyops_p2p.cli.identity import make_identity, open_identity
from skyops_p2p.cli.invocation import Invocation, data_dir_option
from skyops_p2p.cli.joining import TEST_NETWORK_PREFIX, give_guest_money, guest_data_dir, resolve_join
from skyops_p2p.cli.output import is_terminal
from skyops_p2p.errors import IdentityError

if TYPE_CHECKING:
    from skyops_p2p.config import NodeConfig
    from skyops_p2p.node.identity import Identity

_log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--join",
    "targets",
    multiple=True,
    metavar="ADDRESS|TESTNET",
    help="Join through a peer's address (…/p2p/ID), or join a test network by directory or name.",
)
@click.option("--network", metavar="NAME", help='Network to belong to; "testnet-…" is a test network.')
@click.option("--listen", multiple=True, metavar="MULTIADDR", help="Listen here, e.g. /ip4/0.0.0.0/tcp/4711.")
@click.option("--worker/--no-worker", default=None, help="Offer this machine's compute, or not.")
@click.option(
    "--declare-gpu", "gpus", multiple=True, metavar="MODEL:GIB", help="Test networks: pretend to have a GPU."
)
@click.option("--region", help='Region code, e.g. "eu".')
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label; may be repeated.")
@click.option("--mdns/--no-mdns", default=None, help="Find peers on the local network, or not.")
@click.option("--api-port", type=click.IntRange(0, 65_535), help="Port of the control API; 0 picks one.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Least severe log line."
)
@click.option("--log-format", type=click.Choice(["text", "json"]), help="How log lines look.")
@click.option(
    "--screen/--no-screen", default=None, help="A live screen, or log lines; a screen on a terminal."
)
@data_dir_option
@click.pass_obj
def run(
    invocation: Invocation,
    /,
    *,
    targets: tuple[str, ...],
    network: str | None,
    screen: bool | None,
    **options: object,
) -> None:
    """Start the node, join the network and keep running until Ctrl-C or SIGTERM.

    \b
      skyops run --join local                            join the test network "local" as a peer
      skyops run --join local --declare-gpu A100:80      … and pretend to sell an A100
      skyops run --join /ip4/…/tcp/4711/p2p/12D3… --network skyops
    """
    joined, testnet = resolve_join(targets, network=network)
    if testnet is not None and _has_no_place(invocation):
        invocation.data_dir = guest_data_dir(testnet)
    config, _ = invocation.load_config({**joined, **_flags(network, options)})
    if config.payment.directory:
        config = with_endpoints(config)
    is_screen = is_terminal() if screen is None else screen
    if is_screen and config.log.format == "json":
        is_screen = False
    identity = _identity(config, invocation)
    if testnet is not None and config.payment.directory:
        give_guest_money(testnet, config.data_dir)

    from skyops_p2p.cli.running import run_node

    run_node(config, identity, is_screen=is_screen, is_color=invocation.is_color)


def _has_no_place(invocation: Invocation) -> bool:
    """Tell whether the person named no data directory."""
    return invocation.data_dir is None and not invocation.environment.get("SKYOPS_DATA_DIR")


def _flags(network: str | None, options: dict[str, object]) -> dict[str, object]:
    """Return the settings that flags set, by dotted name; flags that were not given are left out."""
    flags = {
        "network.name": network,
        "network.listen": options["listen"],
        "network.mdns": options["mdns"],
        "worker.enabled": options["worker"],
        "worker.declared_gpus": options["gpus"],
        "worker.region": options["region"],
        "worker.labels": options["labels"],
        "api.port": options["api_port"],
        "log.level": options["log_level"],
        "log.format": options["log_format"],
    }
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if "worker.declared_gpus" in given:
        given.setdefault("worker.enabled", True)
    if network is not None and network.startswith(TEST_NETWORK_PREFIX):
        given["is_testnet"] = True
    return given


def _identity(config: "NodeConfig", invocation: Invocation) -> "Identity":
    """Open the node's keys; on a test network a new node gets some.

    Raises:
        IdentityError: `key_missing` on a real network, or what is wrong with the files.
    """
    from skyops_p2p.node.identity import NODE_KEY_FILE, WALLET_FILE

    data_dir = config.data_dir
    if any((data_dir / name).exists() for name in (NODE_KEY_FILE, WALLET_FILE)):
        return open_identity(data_dir, invocation.environment)
    if not config.is_testnet:
        raise IdentityError(
            f"there is no node in {data_dir} yet",
            code="key_missing",
            hint="Run `skyops init` first; or try a test network: `skyops demo`.",
        )
    return make_identity(data_dir, "")
