"""What goes on the wire: canonical msgpack, frames, messages, signed envelopes. Pure."""
