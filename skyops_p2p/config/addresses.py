"""Checks of the multiaddrs, keys and symbols that people type into settings.

Only the forms that this program can really use are admitted, so that a typing mistake is found before the
node starts: an IP address or a DNS name, TCP, and a peer id or a relay where that makes sense. Sources:
multiformats/multiaddr (text form), libp2p/specs peer-ids.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId

_DNS_NAME = re.compile(
    r"^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
)
_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6")


def check_listen(text: str) -> str:
    """Return `text` if it is an address to listen on, "/ip4/0.0.0.0/tcp/4711"; port 0 picks a free one.

    Raises:
        ValueError: It is not; the message says why.
    """
    host, rest = _host_and_port(text, port_min=0)
    if host.startswith("dns"):
        raise ValueError(f"{text!r}: listen on an IP address, not on a name")
    if rest:
        raise ValueError(f"{text!r}: nothing may follow the port of a listening address")
    return text


def check_announce(text: str) -> str:
    """Return `text` if others could dial it: a host and a port, or a relay's address and "/p2p-circuit".

    Raises:
        ValueError: It is not; the message says why.
    """
    _, rest = _host_and_port(text, port_min=1)
    if not rest:
        return text
    if len(rest) == 3 and rest[0] == "p2p" and rest[2] == "p2p-circuit":
        _check_peer_id(text, rest[1])
        return text
    raise ValueError(
        f"{text!r}: announce /<host>/tcp/<port>, or /<host>/tcp/<port>/p2p/<relay id>/p2p-circuit"
    )


def check_bootstrap(text: str) -> str:
    """Return `text` if it names a peer to join through: a host, a port and the peer id expected there.

    Raises:
        ValueError: It is not; the message says why.
    """
    _, rest = _host_and_port(text, port_min=1)
    if len(rest) != 2 or rest[0] != "p2p":
        raise ValueError(
            f"{text!r}: a bootstrap address ends in /p2p/<peer id>, so that nobody else can pose as it"
        )
    _check_peer_id(text, rest[1])
    return text


def check_declared_gpu(text: str) -> str:
    """Return `text` if it declares a GPU as "MODEL:VRAM" with the VRAM in GiB, 1 to 1024.

    Raises:
        ValueError: It does not.
    """
    model, colon, vram = text.rpartition(":")
    if not colon or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,47}", model):
        raise ValueError(f'{text!r}: declare a GPU as "MODEL:VRAM in GiB", for example "A100:80"')
    if not (vram.isascii() and vram.isdigit() and 1 <= int(vram[:9]) <= 1024):
        raise ValueError(f"{text!r}: the VRAM is a whole number of GiB, 1 to 1024")
    return text


def check_peer(text: str) -> str:
    """Return `text` if it is a peer id, "12D3KooW…".

    Raises:
        ValueError: It is not.
    """
    _check_peer_id(text, text)
    return text


def check_token(text: str) -> str:
    """Return `text` if it is the symbol of a token, "SKYOPS".

    Raises:
        ValueError: It is not.
    """
    if not re.fullmatch(r"[A-Za-z0-9]{1,16}", text):
        raise ValueError(f'{text!r}: a token is 1 to 16 letters and digits, for example "SKYOPS"')
    return text


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host` (an IP address, or the name "localhost")."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_and_port(text: str, *, port_min: int) -> tuple[str, list[str]]:
    """Check "/<host kind>/<host>/tcp/<port>" and return the host kind and the parts that follow."""
    if not text.startswith("/"):
        raise ValueError(f'{text!r}: a multiaddr begins with "/", for example "/ip4/192.0.2.7/tcp/4711"')
    parts = text[1:].split("/")
    if parts[0] not in _HOSTS:
        raise ValueError(f"{text!r}: begins with /{parts[0]}, expected one of /{', /'.join(_HOSTS)}")
    if len(parts) < 4 or parts[2] != "tcp":
        raise ValueError(f"{text!r}: expected /{parts[0]}/<host>/tcp/<port>; TCP is the only transport")
    kind, host, port = parts[0], parts[1], parts[3]
    if kind.startswith("dns"):
        if not _DNS_NAME.fullmatch(host):
            raise ValueError(f"{text!r}: {host!r} is not a DNS name")
    else:
        try:
            ipaddress.IPv4Address(host) if kind == "ip4" else ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{text!r}: {host!r} is not an {kind.replace('ip', 'IPv')} address") from None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and port_min <= int(port) <= 65_535):
        raise ValueError(f"{text!r}: the port {port!r} is not a number from {port_min} to 65535")
    return kind, parts[4:]


def _check_peer_id(text: str, peer: str) -> None:
    """Check a peer id: an Ed25519 key, or the hash of another key (foreign peers)."""
    from skyops_p2p.crypto.node_key import peer_id_to_bytes  # loads the crypto libraries: only when needed

    try:
        peer_id_to_bytes(PeerId(peer))
    except RemoteProtocolError as error:
        raise ValueError(f'{text!r}: {peer!r} is not a peer id ("12D3KooW…"): {error}') from error


def check_chain_url(text: str) -> str:
    """Return the URL of a JSON-RPC endpoint.

    Raises:
        ValueError: It is none; the text is not repeated, as it may hold a secret.
    """
    try:
        parts = urlsplit(text)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError("an endpoint of the chain is not a URL that begins with http:// or https://")
    return text


def check_signer_url(text: str) -> str:
    """Return `text` if it is empty, or the URL of a signer that nobody between can change: https, or on this machine.

    Raises:
        ValueError: It is not; the text is not repeated, as it may hold a secret.
    """
    if not text:
        return text
    try:
        check_chain_url(text)
        parts = urlsplit(text)
        is_right = parts.scheme == "https" or is_loopback(parts.hostname or "")
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError("a signer is reached by https://, or by http:// on this machine")
    return text


def check_account(text: str) -> str:
    """Return `text` if it is empty, or an EVM account with its EIP-55 capitals.

    Raises:
        ValueError: It is not. Source: EIP-55.
    """
    from skyops_p2p.crypto.wallet import checksum  # loads the crypto libraries: only when needed

    try:
        return checksum(text) if text else text
    except RemoteProtocolError as error:
        raise ValueError(f"{text!r}: {error.message}") from error


def check_amount(text: str) -> str:
    """Return `text` if it is an amount of SKYOPS, "12.5 SKYOPS".

    Raises:
        ValueError: It is not.
    """
    from skyops_p2p.core.settlement.amounts import SKYOPS, parse_amount
    from skyops_p2p.errors import ConfigError

    try:
        parse_amount(text, SKYOPS)
    except ConfigError as error:
        raise ValueError(f"{text!r}: {error.message}") from error
    return text
