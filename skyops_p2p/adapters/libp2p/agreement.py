"""Agree on protocols without waiting for each line of multistream-select; the listener's side is as ever.

libp2p's dialler waits for the answer to the version, then for that to the protocol: six round trips a dial, and three
for a request on a new stream. Here the two lines go out together. On a fresh connection, where Noise is all that we
offer, Noise's first message does not wait either: the answer is checked before the first byte that is read. So a dial
takes three round trips: TCP's, Noise's, and the agreement on Yamux. The last one is waited for on purpose: two peers
that dial each other at once must not both take their own connection for the only one.

Source: multistream-select 1.0 of libp2p's specs, which lets a dialler send ahead.
"""

from collections.abc import Sequence
from typing import Any

from libp2p.network.connection.raw_connection import RawConnection
from libp2p.protocol_muxer.exceptions import MultiselectClientError, MultiselectCommunicatorError
from libp2p.protocol_muxer.multiselect_client import MULTISELECT_PROTOCOL_ID
from libp2p.utils import encode_delim

VERSION: str = MULTISELECT_PROTOCOL_ID


def protocol_offer(protocol: str) -> bytes:
    """Return what a dialler says to agree on one protocol, and what a peer that agrees answers, byte for byte."""
    return b"".join(encode_delim(line.encode()) for line in (VERSION, protocol))


def may_send_ahead(protocols: Sequence[str], lines: Any) -> bool:
    """Return whether what follows may go out before the answer is here: one offer, on a fresh connection."""
    return len(protocols) == 1 and isinstance(lines.read_writer, RawConnection)


async def offer_ahead(protocol: str, lines: Any) -> None:
    """Offer the one protocol of a connection; who reads from it next reads behind the peer's agreement.

    Args:
        protocol: What to offer.
        lines: libp2p's MultiselectCommunicator over the connection.
    """
    connection = lines.read_writer
    await connection.write(protocol_offer(protocol))
    read = connection.read

    async def read_behind_answer(count: int | None = None) -> bytes:
        connection.read = read
        for expected in (VERSION, protocol):
            line = await lines.read()
            if line != expected:
                raise MultiselectClientError(f"{line[:64]!r} instead of {expected!r}")
        data: bytes = await read(count)
        return data

    connection.read = read_behind_answer


class EagerLines:
    """A dialler's lines: the peer's version is waited for together with its answer to the first protocol.

    Args:
        lines: libp2p's MultiselectCommunicator.
    """

    def __init__(self, lines: Any) -> None:
        self._lines = lines
        self._is_version_asked = self._is_version_heard = False

    async def write(self, line: str) -> None:
        """Send one line."""
        await self._lines.write(line)

    async def read(self) -> str:
        """Return the next line; for the version, what it will have to be.

        Raises:
            MultiselectCommunicatorError: The peer spoke another version, or nothing more.
        """
        if not self._is_version_asked:
            self._is_version_asked = True
            return VERSION
        if not self._is_version_heard:
            self._is_version_heard = True
            version = await self._lines.read()
            if version != VERSION:
                raise MultiselectCommunicatorError(f"another version: {version[:32]!r}")
        line: str = await self._lines.read()
        return line
