"""Functions replaced inside libp2p 0.8.1, each with its reason; nothing is replaced in any other version.

What can be had by subclassing is done in the other files. Here is what only a replaced name reaches:

    yamux credit     one WINDOW_UPDATE per 32 KiB read instead of one per read (80 % of gossip's frames)
    yamux window     2 MiB instead of 16 MiB: js peers die of larger credit; a frame may have twice that, for the
                     credit that is given goes beyond the window by what was read meanwhile
    yamux writes     a frame is written whole although its task is cancelled: libp2p has counted Noise's nonce up
                     by then, and the peer cannot decrypt what follows
    yamux buffers    a peer that ignores its window is cut off instead of filling our memory
    pubsub queues    512 frames instead of 32: a burst of 200 delivered 32
    pubsub records   no signed peer record in every frame (identify carries it once)
    negotiation      a protocol line is bounded; libp2p reads megabytes of any announced length. And a dialler does
                     not wait for each line's answer: see agreement.py
    DHT messages     256 KiB instead of 4 MiB: our records have 4 KiB at most
    identify         64 KiB instead of 1 MiB of what a peer says of itself
    tasks            an error in a connection's own tasks ends that connection, not the node
    root logging     no lines through the root logger, which installs handlers behind our back

`apply` is idempotent and process-wide; it is the only global state of the adapter.
"""

import importlib
import logging
from importlib.metadata import version
from types import ModuleType
from typing import Any

import trio
from libp2p.io.exceptions import ConnectionClosedError

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.logs import RootLogShim, restore_logging
from skyops_p2p.errors import NetworkError

logger = logging.getLogger(__name__)

LIBP2P_VERSION = "0.8.1"
"""The only version whose inside these patches know."""
CREDIT_BYTES_MIN = 32 * 1024
"""Read this much before credit is given back; a window is 256 KiB at least, so no sender ever starves."""

_MARK = "_skyops_patched"


def apply() -> None:
    """Replace the names listed above, once.

    Raises:
        NetworkError: Another version of libp2p is installed, or a name is missing (`libp2p_unsupported`).
    """
    restore_logging()
    found = version("libp2p")
    if found != LIBP2P_VERSION:
        raise _unsupported(f"libp2p {found} is installed, but only {LIBP2P_VERSION} is supported")
    yamux = _module("libp2p.stream_muxer.yamux.yamux", "Yamux", "YamuxStream", "MAX_WINDOW_SIZE")
    if getattr(yamux, _MARK, False):
        return
    pubsub = _module("libp2p.pubsub.pubsub", "RpcQueue", "env_to_send_in_RPC")
    gossipsub = _module("libp2p.pubsub.gossipsub", "env_to_send_in_RPC")
    communicator = _module("libp2p.protocol_muxer.multiselect_communicator", "read_delim")
    client = _module("libp2p.protocol_muxer.multiselect_client", "MultiselectClient")
    connection = _module("libp2p.network.connection.swarm_connection", "logging", "SwarmConn")
    _patch_yamux(yamux)
    _patch_pubsub(pubsub, gossipsub)
    _patch_negotiation(communicator, client.MultiselectClient)
    for name in ("kad_dht", "value_store", "provider_store", "peer_routing"):
        dht: Any = _module(f"libp2p.kad_dht.{name}", "MAX_DHT_MESSAGE_SIZE")
        dht.MAX_DHT_MESSAGE_SIZE = limits.DHT_MESSAGE_BYTES_MAX
    _patch_tasks(yamux.Yamux, connection.SwarmConn)
    varint: Any = _module("libp2p.utils.varint", "read_length_prefixed_protobuf")
    varint.read_length_prefixed_protobuf.__defaults__ = (True, limits.IDENTIFY_BYTES_MAX)
    connection.logging = RootLogShim("libp2p.network.connection")  # type: ignore[attr-defined]
    yamux._skyops_patched = True  # type: ignore[attr-defined]


def _unsupported(message: str) -> NetworkError:
    return NetworkError(
        message,
        code="libp2p_unsupported",
        hint=f"Install the pinned version: pip install libp2p=={LIBP2P_VERSION}.",
    )


def _module(name: str, *members: str) -> ModuleType:
    module = importlib.import_module(name)
    missing = [member for member in members if not hasattr(module, member)]
    if missing:
        raise _unsupported(
            f"libp2p's {name} has no {missing[0]}: its inside is not the one that skyops knows"
        )
    return module


def _require(owner: Any, *members: str) -> None:
    for member in members:
        if not hasattr(owner, member):
            raise _unsupported(f"libp2p's {owner.__name__} has no {member}")


def _patch_yamux(yamux: Any) -> None:
    stream_type, connection_type = yamux.YamuxStream, yamux.Yamux
    _require(stream_type, "_auto_tune_and_send_window_update", "_apply_autotune_epoch")
    _require(connection_type, "_read_data_body", "_write_frame")
    give_credit = stream_type._auto_tune_and_send_window_update
    grow_window = stream_type._apply_autotune_epoch
    read_body = connection_type._read_data_body

    def grow_bounded(self: Any, buffered: int) -> int:
        if self.target_recv_window >= limits.YAMUX_WINDOW_BYTES_MAX:
            return 0
        grown: int = grow_window(self, buffered)
        return grown

    async def give_credit_in_lumps(self: Any, *, bytes_read: int = 0) -> None:
        owed = getattr(self, "_skyops_owed", 0) + bytes_read
        if owed < CREDIT_BYTES_MIN:
            self._skyops_owed = owed
            return
        self._skyops_owed = 0
        await give_credit(self, bytes_read=owed)

    async def read_bounded_body(self: Any, length: int) -> bytes:
        waiting = sum(len(buffer) for buffer in self.stream_buffers.values())
        if waiting + length > limits.YAMUX_BUFFER_BYTES_MAX:
            # TooSlowError is the one error here that closes the connection and is not retried.
            raise trio.TooSlowError(f"{waiting + length} unread bytes")
        body: bytes = await read_body(self, length)
        return body

    async def write_whole_frame(self: Any, data: bytes) -> None:
        async with self._write_lock:
            deadline = trio.current_time() + limits.WRITE_STALL_MAX_S
            with trio.CancelScope(shield=True, deadline=deadline) as scope:
                await self.secured_conn.write(data)
            if scope.cancelled_caught:
                self.event_shutting_down.set()
                await self.secured_conn.close()
                raise ConnectionClosedError("the peer does not read", transport="tcp")

    stream_type._auto_tune_and_send_window_update = give_credit_in_lumps
    stream_type._apply_autotune_epoch = grow_bounded
    connection_type._read_data_body = read_bounded_body
    connection_type._write_frame = write_whole_frame
    yamux.MAX_WINDOW_SIZE = limits.YAMUX_FRAME_BYTES_MAX


def _patch_tasks(muxer_type: Any, connection_type: Any) -> None:
    _require(muxer_type, "start", "_cleanup_on_error")
    _require(connection_type, "start", "close")
    start_muxer, start_connection = muxer_type.start, connection_type.start

    async def start_muxer_contained(self: Any) -> None:
        try:
            await start_muxer(self)
        except Exception as error:  # noqa: BLE001 - the muxer works on a peer's bytes
            logger.info("error_contained place=muxer peer=%s error=%r", str(self.peer_id)[-8:], error)
            # Whoever waits for the start finds a closed connection.
            self.event_started.set()
            await self._cleanup_on_error()

    async def start_connection_contained(self: Any) -> None:
        try:
            await start_connection(self)
        except Exception as error:  # noqa: BLE001 - as above
            peer = str(self.muxed_conn.peer_id)[-8:]
            logger.info("error_contained place=connection peer=%s error=%r", peer, error)
            self.event_started.set()
            await self.close()

    muxer_type.start = start_muxer_contained
    connection_type.start = start_connection_contained


def _patch_pubsub(pubsub: Any, gossipsub: Any) -> None:
    class LongRpcQueue(pubsub.RpcQueue):
        def __init__(self) -> None:
            super().__init__(max_size=limits.GOSSIP_QUEUE_MAX)

    def no_record(host: Any) -> tuple[bytes, bool]:
        return b"", False

    pubsub.RpcQueue = LongRpcQueue
    pubsub.env_to_send_in_RPC = no_record
    gossipsub.env_to_send_in_RPC = no_record


def _patch_negotiation(communicator: Any, client_type: Any) -> None:
    from libp2p.exceptions import ParseError
    from libp2p.utils import read_varint_prefixed_bytes_limited

    from skyops_p2p.adapters.libp2p.agreement import EagerLines, may_send_ahead, offer_ahead

    async def read_bounded_line(reader: Any) -> bytes:
        line: bytes = await read_varint_prefixed_bytes_limited(reader, limits.NEGOTIATION_BYTES_MAX)
        if not line.endswith(b"\n"):
            raise ParseError("a protocol line ends with a newline")
        return line[:-1]

    communicator.read_delim = read_bounded_line
    _require(client_type, "select_one_of")
    select = client_type.select_one_of

    async def select_without_waiting(self: Any, protocols: Any, lines: Any, *timeout: int) -> Any:
        if may_send_ahead(protocols, lines):
            await offer_ahead(protocols[0], lines)
            return protocols[0]
        return await select(self, protocols, EagerLines(lines), *timeout)

    client_type.select_one_of = select_without_waiting
