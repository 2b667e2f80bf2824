# pragma version 0.4.3
"""
@title EIP-712 digests and the accounts that signed them
@license Apache-2.0
@notice The domain is EIP712Domain(string name,string version,uint256 chainId,address verifyingContract) with version "1".
@dev Rule KEY-4 of protocol/01-identity.md: low s, v of 27 or 28. Contract wallets (EIP-1271) cannot sign here.
"""

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
VERSION_HASH: constant(bytes32) = keccak256("1")
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168
LOW_255_BITS: constant(uint256) = 2**255 - 1


@internal
@view
def _separator(name_hash: bytes32) -> bytes32:
    return keccak256(abi_encode(DOMAIN_TYPE, name_hash, VERSION_HASH, chain.id, self))


@internal
@pure
def _digest(separator: bytes32, struct_hash: bytes32) -> bytes32:
    return keccak256(concat(b"\x19\x01", separator, struct_hash))


@internal
@pure
def _signer(digest: bytes32, v: uint8, r: bytes32, s: bytes32) -> address:
    """@return The account that signed, or zero for a signature that no account can make."""
    if convert(s, uint256) > HALF_ORDER or (v != 27 and v != 28):
        return empty(address)
    return ecrecover(digest, convert(v, uint256), convert(r, uint256), convert(s, uint256))


@internal
@pure
def _compact_signer(digest: bytes32, r: bytes32, vs: bytes32) -> address:
    """@notice The same for the compact form of EIP-2098: v - 27 in the top bit of s."""
    s: uint256 = convert(vs, uint256) & LOW_255_BITS
    if s > HALF_ORDER:
        return empty(address)
    return ecrecover(digest, 27 + (convert(vs, uint256) >> 255), convert(r, uint256), s)
