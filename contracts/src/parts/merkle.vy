# pragma version 0.4.3
"""
@title Trees of receipts, as in RFC 6962 with SHA-256: a leaf is H(0 | content), a node H(1 | left | right)
@license Apache-2.0
@notice A last node without a sibling moves up unchanged, as in skyops_p2p/core/auction/merkle.py.
"""

DEPTH_MAX: constant(uint256) = 32


@internal
@pure
def _contains(
    root: bytes32, leaf: bytes32, index: uint256, count: uint256, path: DynArray[bytes32, DEPTH_MAX]
) -> bool:
    """@return Whether the leaf stands at the index of the tree of `count` leaves."""
    if index >= count or count > 2**DEPTH_MAX:
        return False
    found: bytes32 = leaf
    at: uint256 = index
    width: uint256 = count
    used: uint256 = 0
    for _: uint256 in range(DEPTH_MAX):
        if width <= 1:
            break
        if at ^ 1 < width:
            if used == len(path):
                return False
            if at & 1 == 1:
                found = sha256(concat(b"\x01", path[used], found))
            else:
                found = sha256(concat(b"\x01", found, path[used]))
            used += 1
        at >>= 1
        width = (width + 1) >> 1
    return found == root and used == len(path)
