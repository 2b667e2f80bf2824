"""Agreeing on a protocol without waiting for each line: what is said when, and what a refusal looks like."""

from typing import Any

import pytest
import trio
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.utils import encode_delim

from skyops_p2p.adapters.libp2p import patches
from skyops_p2p.adapters.libp2p.agreement import protocol_offer
from skyops_p2p.adapters.libp2p.frames import Libp2pFrameStream, encode_length
from skyops_p2p.errors import NetworkError

VERSION, NOISE, YAMUX = "/multistream/1.0.0", "/noise", "/yamux/1.0.0"
OFFER = protocol_offer("/skyops/test/node/1.0.0")


class Lines:
    """A multistream-select conversation: what is said, and the peer's answers in order."""

    def __init__(self, *answers: str) -> None:
        self.log: list[str] = []
        self.read_writer = self
        self._answers = list(answers)

    async def write(self, line: str) -> None:
        await trio.lowlevel.checkpoint()
        self.log.append(f"> {line}")

    async def read(self) -> str:
        await trio.lowlevel.checkpoint()
        self.log.append(f"< {self._answers[0]}")
        return self._answers.pop(0)


async def agree(lines: Any, *protocols: str) -> str:
    patches.apply()
    return await MultiselectClient().select_one_of(protocols, lines)  # type: ignore[arg-type]


async def test_version_and_protocol_are_said_before_anything_is_awaited() -> None:
    lines = Lines(VERSION, NOISE)
    assert await agree(lines, NOISE) == NOISE
    assert lines.log == [f"> {VERSION}", f"> {NOISE}", f"< {VERSION}", f"< {NOISE}"]


async def test_second_protocol_follows_the_refusal_of_the_first() -> None:
    lines = Lines(VERSION, "na", YAMUX)
    assert await agree(lines, NOISE, YAMUX) == YAMUX
    assert lines.log[2:] == [f"< {VERSION}", "< na", f"> {YAMUX}", f"< {YAMUX}"]


async def test_other_version_is_refused() -> None:
    with pytest.raises(MultiselectClientError):
        await agree(Lines("/multistream/2.0.0", NOISE), NOISE)


class Connection(RawConnection):
    """A fresh connection whose peer sends these bytes, in pieces of at most `piece`."""

    def __init__(self, data: bytes, piece: int = 1000) -> None:
        self.written: list[bytes] = []
        self._data, self._piece = data, piece

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written.append(data)

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        count = min(self._piece, self._piece if n is None else n)
        data, self._data = self._data[:count], self._data[count:]
        return data


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_the_one_protocol_of_a_connection_is_offered_ahead(piece: int) -> None:
    connection = Connection(protocol_offer(NOISE) + b"noise's second message", piece)
    assert await agree(MultiselectCommunicator(connection), NOISE) == NOISE
    await connection.write(b"noise's first message")
    assert connection.written == [protocol_offer(NOISE), b"noise's first message"]
    heard = b""
    while len(heard) < 22:
        heard += await connection.read(22 - len(heard))
    assert heard == b"noise's second message"


@pytest.mark.parametrize(
    "answer", [encode_delim(VERSION.encode()) + encode_delim(b"na"), encode_delim(b"/old")]
)
async def test_connection_to_a_peer_that_refuses_cannot_be_read(answer: bytes) -> None:
    connection = Connection(answer)
    await agree(MultiselectCommunicator(connection), NOISE)
    with pytest.raises(MultiselectClientError):
        await connection.read(10)


async def test_choice_between_protocols_waits_for_the_answer() -> None:
    connection = Connection(b"".join(encode_delim(line.encode()) for line in (VERSION, "na", YAMUX)))
    assert await agree(MultiselectCommunicator(connection), NOISE, YAMUX) == YAMUX


class Wire:
    """A libp2p stream whose peer sends these chunks."""

    class muxed_conn:  # noqa: N801 - libp2p's name
        class peer_id:  # noqa: N801
            @staticmethod
            def to_base58() -> str:
                return "bob"

    def __init__(self, *chunks: bytes) -> None:
        self.written: list[bytes] = []
        self._chunks = list(chunks)

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written.append(data)

    async def read(self, _count: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._chunks.pop(0) if self._chunks else b""


def frame(body: bytes) -> bytes:
    return encode_length(len(body)) + body


async def test_offer_travels_with_the_first_frame_alone() -> None:
    wire = Wire()
    stream = Libp2pFrameStream(wire, offer=OFFER)
    await stream.send_frame(b"one")
    await stream.send_frame(b"two")
    assert wire.written == [OFFER + frame(b"one"), frame(b"two")]


@pytest.mark.parametrize("cut", [0, 1, 5, 20, len(OFFER), len(OFFER) + 2])
async def test_agreement_and_answer_arrive_in_any_pieces(cut: int) -> None:
    answers = OFFER + frame(b"first") + frame(b"second")
    chunks = [chunk for chunk in (answers[:cut], answers[cut:]) if chunk]
    stream = Libp2pFrameStream(Wire(*chunks), offer=OFFER)
    assert await stream.receive_frame(bytes_max=64) == b"first"
    assert await stream.receive_frame(bytes_max=64) == b"second"


@pytest.mark.parametrize("answer", [encode_delim(VERSION.encode()) + encode_delim(b"na"), b"\x13nonsense"])
async def test_peer_without_the_protocol_is_told_apart(answer: bytes) -> None:
    stream = Libp2pFrameStream(Wire(answer), offer=OFFER)
    with pytest.raises(NetworkError) as caught:
        await stream.receive_frame(bytes_max=64)
    assert caught.value.code == "protocol_unsupported"


async def test_peer_that_closes_instead_of_agreeing_is_gone() -> None:
    stream = Libp2pFrameStream(Wire(OFFER[:3]), offer=OFFER)
    with pytest.raises(NetworkError) as caught:
        await stream.receive_frame(bytes_max=64)
    assert caught.value.code == "stream_closed"
