"""Write protocol/vectors and the tables of fields in protocol/*.md anew: `make vectors`.

The result is accepted only together with a change of the specification. Everything is deterministic.
"""

import json
from collections.abc import Callable
from typing import Any

from tests.vectors import (
    attestation_cases,
    auction_cases,
    chain_cases,
    class_cases,
    content_cases,
    conversation_cases,
    crypto_cases,
    evidence_cases,
    execution_cases,
    handshake_cases,
    message_cases,
    pace_cases,
    pair_cases,
    peering_cases,
    probe_cases,
    proof_cases,
    reputation_cases,
    schema,
    settlement_cases,
    signed_receipt_cases,
    verification_cases,
    wire_cases,
)

FORMAT = 1
FAMILIES: dict[str, tuple[str, Callable[[], list[dict[str, Any]]]]] = {
    "canonical": ("00-conventions.md, Encoding", wire_cases.canonical_cases),
    "framing": ("00-conventions.md, Frames", wire_cases.framing_cases),
    "identifiers": ("00-conventions.md, Identifiers", wire_cases.identifier_cases),
    "messages": ("00-conventions.md, Messages", message_cases.message_cases),
    "keys": ("01-identity.md, Node key and Wallet", crypto_cases.key_cases),
    "wallet-signatures": ("01-identity.md, Wallet", crypto_cases.wallet_signature_cases),
    "typed-data": ("01-identity.md, Typed data", crypto_cases.typed_data_cases),
    "bindings": ("01-identity.md, Binding", message_cases.binding_cases),
    "handshakes": ("01-identity.md, Handshake", handshake_cases.handshake_cases),
    "sessions": ("01-identity.md, Session keys", crypto_cases.session_cases),
    "sealing": ("01-identity.md, Sealing", crypto_cases.sealing_cases),
    "envelopes": ("02-envelope.md", message_cases.envelope_cases),
    **peering_cases.FAMILIES,
    **auction_cases.FAMILIES,
    **class_cases.FAMILIES,
    **proof_cases.FAMILIES,
    **attestation_cases.FAMILIES,
    **content_cases.FAMILIES,
    **conversation_cases.FAMILIES,
    **execution_cases.FAMILIES,
    **settlement_cases.FAMILIES,
    **signed_receipt_cases.FAMILIES,
    **pair_cases.FAMILIES,
    **evidence_cases.FAMILIES,
    **verification_cases.FAMILIES,
    **chain_cases.FAMILIES,
    **reputation_cases.FAMILIES,
    **pace_cases.FAMILIES,
    **probe_cases.FAMILIES,
}


def rendered(family: str) -> str:
    """Return the text of one family's file."""
    spec, cases = FAMILIES[family]
    document = {"format": FORMAT, "family": family, "spec": spec, "cases": cases()}
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


def main() -> None:
    for family in FAMILIES:
        path = schema.PROTOCOL / "vectors" / f"{family}.json"
        path.write_text(rendered(family), encoding="utf-8")
    document = schema.load()
    for path in sorted(schema.PROTOCOL.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        path.write_text(schema.with_tables(text, document), encoding="utf-8")


if __name__ == "__main__":
    main()
