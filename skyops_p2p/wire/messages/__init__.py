"""The message models, one file per stem; numbers and names are never reused (protocol/messages.toml)."""
