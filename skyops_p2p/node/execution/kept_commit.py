"""A commitment to a result, as it is kept until it is opened."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeptCommit:
    """A commitment, with what opens it."""

    salt: bytes = field(repr=False)
    """32 bytes."""
    commit: bytes
    """Enveloped ResultCommit."""
