"""The patches know one version of libp2p and say so."""

import logging
import sys
from types import ModuleType

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p import patches
from skyops_p2p.errors import NetworkError


def test_applying_twice_changes_nothing_more():
    from libp2p.stream_muxer.yamux import yamux

    patches.apply()
    once = (yamux.Yamux._write_frame, yamux.YamuxStream._auto_tune_and_send_window_update)
    patches.apply()
    assert (yamux.Yamux._write_frame, yamux.YamuxStream._auto_tune_and_send_window_update) == once
    assert yamux.MAX_WINDOW_SIZE == limits.YAMUX_FRAME_BYTES_MAX


class Connection:
    """What a yamux stream needs of its connection to give credit."""

    def __init__(self) -> None:
        self.stream_buffers: dict[int, bytearray] = {1: bytearray()}
        self.peer_id = "peer"
        self.event_shutting_down = trio.Event()
        self.is_initiator_value = True
        self.credit = 0

    def rtt(self) -> float:
        return 1.0

    async def _write_frame(self, frame: bytes) -> None:
        self.credit += int.from_bytes(frame[8:12], "big")


@pytest.mark.parametrize("chunk", [1000, 33_000, 200_000, 1_500_000])
async def test_credit_never_allows_a_frame_that_would_end_the_connection(autojump_clock, chunk):
    """A js peer sends all its credit in one frame: more than YAMUX_FRAME_BYTES_MAX would cost it the connection."""
    from libp2p.stream_muxer.yamux import yamux

    patches.apply()
    connection = Connection()
    stream = yamux.YamuxStream(1, connection, True)
    credit = yamux.DEFAULT_WINDOW_SIZE
    for _ in range(400):
        size = min(chunk, credit)
        credit, stream.recv_window = credit - size, stream.recv_window - size
        await stream._auto_tune_and_send_window_update(bytes_read=size)
        credit, connection.credit = credit + connection.credit, 0
        assert 0 < credit <= limits.YAMUX_FRAME_BYTES_MAX
        assert stream.target_recv_window <= limits.YAMUX_WINDOW_BYTES_MAX
    assert stream.target_recv_window == limits.YAMUX_WINDOW_BYTES_MAX, "it grew"


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(patches, "version", lambda name: "0.9.0")
    with pytest.raises(NetworkError, match=r"0\.9\.0") as caught:
        patches.apply()
    assert caught.value.code == "libp2p_unsupported"
    assert "0.8.1" in caught.value.hint


def test_missing_name_is_refused(monkeypatch):
    empty = ModuleType("libp2p.empty")
    monkeypatch.setitem(sys.modules, "libp2p.empty", empty)
    with pytest.raises(NetworkError, match="no thing"):
        patches._module("libp2p.empty", "thing")


def test_import_effects_on_logging_are_undone(monkeypatch, capsys):
    monkeypatch.delenv("LIBP2P_DEBUG", raising=False)
    patches.apply()
    assert logging.getLogger("libp2p").propagate
    assert not logging.getLogger("libp2p.pubsub.gossipsub").isEnabledFor(logging.ERROR)
    from libp2p.network.connection import swarm_connection

    handlers = list(logging.getLogger().handlers)
    swarm_connection.logging.warning("not for the root logger")
    assert logging.getLogger().handlers == handlers
    assert "not for the root" not in capsys.readouterr().err


def test_debug_switch_of_libp2p_is_left_alone(monkeypatch):
    from skyops_p2p.adapters.libp2p.logs import restore_logging

    monkeypatch.setenv("LIBP2P_DEBUG", "DEBUG")
    logging.getLogger("libp2p.pubsub").setLevel(logging.DEBUG)
    restore_logging()
    assert logging.getLogger("libp2p.pubsub").level == logging.DEBUG
    monkeypatch.delenv("LIBP2P_DEBUG")
    restore_logging()
    assert logging.getLogger("libp2p.pubsub").level == logging.CRITICAL
