"""Vectors of keys, signatures, typed data, session ciphers and sealing."""

from typing import Any

from skyops_p2p.crypto.node_key import NodeKey, peer_id_to_bytes
from skyops_p2p.crypto.sealing import seal_to
from skyops_p2p.crypto.session_keys import Ephemeral, derive_session
from skyops_p2p.crypto.typed_data import binding_digest, session_digest
from skyops_p2p.crypto.wallet import SECP256K1_ORDER, address_to_bytes
from tests.vectors.people import ALICE, BOB, CAROL, DAY_MS, MALLORY, NOW, RULES

Case = dict[str, Any]
PEOPLE = (ALICE, BOB, CAROL, MALLORY)


def key_cases() -> list[Case]:
    """Keys and what follows from them, the people of all vectors."""
    return [
        {
            "name": person.name,
            "seed": person.node_key.seed.hex(),
            "public_key": person.node_key.public_key.hex(),
            "peer_id": person.node_key.peer_id,
            "x25519_public": person.node_key.x25519_public.hex(),
            "wallet_secret": person.wallet.secret.hex(),
            "wallet": person.wallet.address,
            "text": b"skyops".hex(),
            "node_signature": person.node_key.sign(b"skyops").hex(),
        }
        for person in PEOPLE
    ]


def wallet_signature_cases() -> list[Case]:
    digest = bytes(range(32))
    good = ALICE.wallet.sign_digest(digest)
    s = int.from_bytes(good[32:64], "big")
    one = (1).to_bytes(32, "big")
    twin = good[:32] + (SECP256K1_ORDER - s).to_bytes(32, "big") + bytes([55 - good[64]])
    refused = {
        "high s": twin,
        "v of 0": good[:64] + b"\0",
        "v of 29": good[:64] + bytes([29]),
        "64 bytes": good[:64],
        "66 bytes": good + b"\0",
        "r of zero": bytes(32) + good[32:],
        "s of zero": good[:32] + bytes(32) + good[64:],
        "r of the order": SECP256K1_ORDER.to_bytes(32, "big") + good[32:],
        "s above half the order": good[:32] + (SECP256K1_ORDER // 2 + 1).to_bytes(32, "big") + good[64:],
        "r is no x of the curve": (5).to_bytes(32, "big") + one + bytes([27]),
    }
    return [
        {"name": "good", "digest": digest.hex(), "signature": good.hex(), "wallet": ALICE.wallet.address},
        *(
            {"name": name, "digest": digest.hex(), "signature": signature.hex(), "code": "bad_signature"}
            for name, signature in refused.items()
        ),
    ]


def typed_data_cases() -> list[Case]:
    binding = binding_digest(
        wallet=ALICE.wallet.address,
        peer_id=peer_id_to_bytes(ALICE.node_key.peer_id),
        x25519=ALICE.node_key.x25519_public,
        network=RULES.network,
        chain_id=RULES.chain_id,
        issued_unix_ms=NOW,
        expires_unix_ms=NOW + DAY_MS,
    )
    base = {"network": RULES.network, "chain_id": RULES.chain_id}
    first = {
        "name": "binding",
        **base,
        "wallet": address_to_bytes(ALICE.wallet.address).hex(),
        "peer": peer_id_to_bytes(ALICE.node_key.peer_id).hex(),
        "x25519": ALICE.node_key.x25519_public.hex(),
        "issued_unix_ms": NOW,
        "expires_unix_ms": NOW + DAY_MS,
        "digest": binding.hex(),
        "signature": ALICE.wallet.sign_digest(binding).hex(),
    }
    transcript = bytes(range(32))
    digests = {
        "initiator": session_digest(
            transcript=transcript, role="initiator", network=RULES.network, chain_id=RULES.chain_id
        ),
        "responder": session_digest(
            transcript=transcript, role="responder", network=RULES.network, chain_id=RULES.chain_id
        ),
    }
    return [
        first,
        *(
            {"name": "session", **base, "transcript": transcript.hex(), "role": role, "digest": digest.hex()}
            for role, digest in digests.items()
        ),
    ]


def session_cases() -> list[Case]:
    """One session: keys, then messages of both directions, with a rekey in between, and refusals."""
    one, two = Ephemeral.from_secret(bytes([1] * 32)), Ephemeral.from_secret(bytes([2] * 32))
    transcript = bytes(range(32))
    shared = one.agree(two.public)
    keys = derive_session(shared=shared, transcript=transcript, is_initiator=True)
    base = {
        "initiator_secret": "01" * 32,
        "responder_secret": "02" * 32,
        "initiator_public": one.public.hex(),
        "responder_public": two.public.hex(),
        "transcript": transcript.hex(),
        "session_id": keys.session_id.hex(),
    }
    sealed = []
    for epoch in (0, 1):
        for text in (b"", b"first", b"second"):
            from_responder = keys.receive.seal(text, b"aad")
            sealed.append(
                {
                    "epoch": epoch,
                    "counter": keys.send.messages,
                    "plaintext": text.hex(),
                    "aad": b"aad".hex(),
                    "from_initiator": keys.send.seal(text, b"aad").hex(),
                    "from_responder": from_responder.hex(),
                }
            )
        keys.send.rekey()
        keys.receive.rekey()
    order = [entry["from_initiator"] for entry in sealed[:3]]
    refused = {
        "replayed": [order[0], order[0]],
        "out of order": [order[1]],
        "one is missing": [order[0], order[2]],
        "cut short": [order[0][:-2]],
        "changed": ["00" + order[0][2:] if order[0][:2] != "00" else "01" + order[0][2:]],
        "reflected": [sealed[0]["from_responder"]],
        "shorter than a tag": ["00" * 15],
    }
    return [
        {"name": "a session", **base, "messages": sealed},
        *(
            {"name": name, **base, "receive": stream, "aad": b"aad".hex(), "code": "bad_ciphertext"}
            for name, stream in refused.items()
        ),
    ]


def sealing_cases() -> list[Case]:
    key: NodeKey = BOB.node_key
    sealed = seal_to(key.x25519_public, b"key of a job", ephemeral_secret=bytes([9] * 32))
    base = {"seed": key.seed.hex(), "x25519_public": key.x25519_public.hex()}
    refused = [
        ("for another", sealed.hex(), MALLORY.node_key, "bad_ciphertext"),
        ("changed", sealed[:-1].hex() + f"{sealed[-1] ^ 1:02x}", key, "bad_ciphertext"),
        ("point of small order", "00" * 48, key, "bad_key"),
        ("too short", sealed[:47].hex(), key, "malformed"),
    ]
    return [
        {"name": "sealed to bob", **base, "ephemeral_secret": "09" * 32, "sealed": sealed.hex(),
         "plaintext": b"key of a job".hex()},
        *(
            {"name": name, "seed": owner.seed.hex(), "x25519_public": owner.x25519_public.hex(),
             "sealed": data, "code": code}
            for name, data, owner, code in refused
        ),
    ]  # fmt: skip
