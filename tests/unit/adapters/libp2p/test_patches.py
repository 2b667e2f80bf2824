"""The patches know one version of libp2p and say so."""

import logging
import sys
from types import ModuleType

import pytest

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p import patches
from skyops_p2p.errors import NetworkError


def test_applying_twice_changes_nothing_more():
    from libp2p.stream_muxer.yamux import yamux

    patches.apply()
    once = (yamux.Yamux._write_frame, yamux.YamuxStream._auto_tune_and_send_window_update)
    patches.apply()
    assert (yamux.Yamux._write_frame, yamux.YamuxStream._auto_tune_and_send_window_update) == once
    assert yamux.MAX_WINDOW_SIZE == limits.YAMUX_WINDOW_BYTES_MAX


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
