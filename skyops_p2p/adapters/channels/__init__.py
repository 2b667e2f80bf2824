"""Data channels: plain TCP beside libp2p, for blocks that are ciphertext already."""

from skyops_p2p.adapters.channels.listener import ChannelListener, open_channel_listener
from skyops_p2p.adapters.channels.stream import TcpFrameStream, connect_channel

__all__ = ["ChannelListener", "TcpFrameStream", "connect_channel", "open_channel_listener"]
