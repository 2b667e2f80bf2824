"""Content messages: encrypted bundles and the blocks that they are made of. Spec: protocol/05b-content.md."""

from typing import Annotated

from pydantic import Field

from skyops_p2p.wire.model import Count, N, Part

CidBytes = Annotated[bytes, Field(min_length=36, max_length=36)]
"""A binary CIDv1 with a SHA-256 multihash."""


class BundleRef(Part):
    """An encrypted directory tree. What it takes to open it is never in it."""

    root: Annotated[CidBytes, N(1)]
    """CID of the UnixFS directory of ciphertext files."""
    size_bytes: Annotated[Count, N(2)]
    """Plaintext of all files together."""
    files: Annotated[Count, N(3)]
    blocks: Annotated[Count, N(4)]
    """Blocks of the whole graph, the root included."""
