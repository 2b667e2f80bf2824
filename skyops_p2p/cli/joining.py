"""What `skyops run --join` means: a test network's directory or name, or a peer's address."""

import logging
from collections.abc import Sequence
from pathlib import Path

from skyops_p2p.errors import ChainError, ConfigError, IdentityError, NetworkError, TestnetError

_log = logging.getLogger(__name__)

TEST_NETWORK_PREFIX = "testnet"
"""Networks whose name begins so are test networks: declared hardware is admitted, nothing is worth money."""
GUESTS_MAX = 64


def resolve_join(targets: Sequence[str], *, network: str | None) -> tuple[dict[str, object], Path | None]:
    """Return the settings that joining implies, and the directory of the test network if it is one.

    Args:
        targets: What stood after --join, each.
        network: The network name that was given besides, if any.

    Raises:
        ConfigError: `join_invalid`: no such test network, several at once, or a bare address without a network.
        TestnetError: Its record is damaged.
    """
    addrs = [target for target in targets if "/p2p/" in target]
    places = [target for target in targets if "/p2p/" not in target]
    if not places:
        if addrs and network is None:
            raise ConfigError(
                "an address alone does not say which network it belongs to",
                code="join_invalid",
                hint="Add --network NAME (the other node prints it), or join a test network by its directory.",
            )
        return ({"network.bootstrap": addrs} if addrs else {}), None
    if len(places) > 1:
        raise ConfigError(
            f"a node joins one network, not {len(places)}", code="join_invalid", hint="Give --join once."
        )
    return _test_network(places[0], addrs, network=network)


def guest_data_dir(directory: Path) -> Path:
    """Return a data directory inside a test network for a peer that joins from outside.

    The first one that no running node uses: two terminals get two peers, and a later one finds an earlier
    identity again. It goes away with the network.

    Raises:
        TestnetError: `too_many_guests`.
    """
    from skyops_p2p.node.run_file import read_run_file
    from skyops_p2p.testnet.creation import guests_dir

    for number in range(1, GUESTS_MAX + 1):
        candidate = guests_dir(directory) / f"guest-{number}"
        try:
            read_run_file(candidate)
        except NetworkError:
            return candidate
    raise TestnetError(f"{GUESTS_MAX} peers have joined from outside already", code="too_many_guests")


def give_guest_money(directory: Path, data_dir: Path) -> None:
    """Give a peer that joins a test network coin, SKYOPS and a deposit, if its wallet has none.

    A wallet with a passphrase is left alone: it is no play money's. While the chain is not there, the peer joins all
    the same, and pays nothing.
    """
    from skyops_p2p.testnet.network_chain import network_chain
    from skyops_p2p.testnet.record import read_record

    chain = network_chain(directory, read_record(directory))
    if chain is None:
        return
    try:
        chain.give_guest_money(data_dir)
    except (ChainError, IdentityError, TestnetError) as error:
        _log.warning("no_play_money code=%s reason=%s", error.code, error.message)


def _test_network(
    target: str, addrs: Sequence[str], *, network: str | None
) -> tuple[dict[str, object], Path | None]:
    """Return the settings of a test network named by directory or by name."""
    from skyops_p2p.testnet.creation import shared_settings
    from skyops_p2p.testnet.places import testnets_root
    from skyops_p2p.testnet.record import RECORD_NAME, read_record

    candidates = [Path(target).expanduser().absolute(), testnets_root() / target]
    directory = next((path for path in candidates if (path / RECORD_NAME).exists()), None)
    if directory is None:
        raise ConfigError(
            f"{target!r} is neither a test network nor an address that ends in /p2p/<peer id>",
            code="join_invalid",
            hint="`skyops testnet list` shows the test networks; `skyops status` prints a node's address.",
        )
    record = read_record(directory)
    if network not in (None, record.network):
        raise ConfigError(
            f"the test network in {directory} is {record.network!r}, not {network!r}",
            code="join_invalid",
            hint="Leave --network out; the directory says it.",
        )
    settings = shared_settings(record, directory)
    if addrs:
        settings["network.bootstrap"] = list(addrs)
    return settings | {"network.listen": ["/ip4/127.0.0.1/tcp/0"]}, directory
