"""The codes that a handshake's Refusal may carry. Spec: protocol/01-identity.md, HSK-13.

Peers choose the text of a code; counters and metrics are kept by code, so a stranger's invention must not grow them.
"""

HANDSHAKE_CODES = frozenset(
    {
        "bad_ciphertext",
        "bad_key",
        "bad_signature",
        "busy",
        "declared_hardware",
        "downgrade",
        "expired",
        "insufficient_stake",
        "lifetime_too_long",
        "malformed",
        "no_common_version",
        "non_canonical",
        "not_yet_valid",
        "oversized",
        "replayed",
        "stale_nonce",
        "timeout",
        "unexpected_message",
        "wrong_network",
        "wrong_peer",
        "wrong_signer",
        "wrong_type",
    }
)
UNKNOWN_CODE = "remote_protocol"


def known_code(code: str) -> str:
    """Return the code, or `remote_protocol` for one that the specification does not have."""
    return code if code in HANDSHAKE_CODES else UNKNOWN_CODE
