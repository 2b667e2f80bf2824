"""Vectors of whole handshakes: timed steps of event -> effects, one that succeeds and one for each refusal."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from skyops_p2p.core.binding import make_binding
from skyops_p2p.core.handshake import (
    AskStake,
    FailHandshake,
    FinishHandshake,
    FrameReceived,
    Handshake,
    HandshakeBegun,
    HandshakeContext,
    HandshakeState,
    SendFrame,
    StakeAnswered,
)
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.nonces import NonceCache
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.core.transcript import Role
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.limits import CLOCK_SKEW_MS_MAX, HANDSHAKE_TIMEOUT_S
from skyops_p2p.types import MonotonicS, UnixMs
from skyops_p2p.wire.messages.handshake import Accept, Confirm, Established, Hello, Refusal
from skyops_p2p.wire.model import Message, decode_fields, decode_message, encode_message
from skyops_p2p.wire.registry import message_of
from tests.vectors.examples import MANIFEST
from tests.vectors.message_cases import binding
from tests.vectors.notation import fields_written, named_fields
from tests.vectors.people import ALICE, BOB, CAROL, DAY_MS, NOW, RULES, Person

Case = dict[str, Any]
Change = Callable[[bytes], bytes]
STEP_MS = 20


@dataclass(frozen=True)
class Party:
    person: Person
    role: Role
    ephemeral_secret: bytes
    nonce: bytes
    versions: tuple[int, ...] = (1,)
    rules: NetworkRules = RULES
    seen_nonces: tuple[bytes, ...] = ()
    """Nonces that this side has seen a moment ago."""
    poor: bool = False
    """The chain will find this side's stake too small."""

    def machine(self, peer: Person) -> Handshake:
        nonces = NonceCache()
        for nonce in self.seen_nonces:
            nonces.is_fresh(nonce, NOW)
        manifest = MANIFEST.model_copy(update={"is_worker": self.role is Role.RESPONDER, "lifetime_s": 1800})
        context = HandshakeContext(
            node_key=self.person.node_key,
            wallet=self.person.wallet,
            rules=self.rules,
            binding=make_binding(
                self.person.node_key, self.person.wallet, self.rules, issued=NOW, lifetime_ms=30 * DAY_MS
            ),
            manifest=manifest if self.role is Role.INITIATOR else MANIFEST,
            nonces=nonces,
            ephemeral_secret=self.ephemeral_secret,
            nonce=self.nonce,
            versions=self.versions,
        )
        return Handshake(context, peer.node_key.peer_id)

    def written(self) -> Case:
        return {
            "name": self.person.name,
            "peer_id": self.person.node_key.peer_id,
            "wallet": self.person.wallet.address,
            "versions": list(self.versions),
            "ephemeral_secret": self.ephemeral_secret.hex(),
            "nonce": self.nonce.hex(),
            "seen_nonces": [nonce.hex() for nonce in self.seen_nonces],
        }


INITIATOR = Party(ALICE, Role.INITIATOR, bytes([0xE1] * 32), bytes([0x11] * 32))
RESPONDER = Party(BOB, Role.RESPONDER, bytes([0xE2] * 32), bytes([0x22] * 32))


@dataclass
class Conversation:
    """Two machines and what lies between them."""

    initiator: Party = INITIATOR
    responder: Party = RESPONDER
    changes: dict[str, Change] | None = None
    """Message name -> what mallory makes of it on the way."""
    delays_ms: dict[str, int] | None = None
    """Message name -> how much later the receiver's clock is."""
    lost: str = ""
    """A message that never arrives: its receiver's deadline comes instead."""

    def run(self) -> list[Case]:
        """Run to the end and return the steps."""
        parties = {"initiator": self.initiator, "responder": self.responder}
        machines = {
            "initiator": self.initiator.machine(self.responder.person),
            "responder": self.responder.machine(self.initiator.person),
        }
        steps: list[Case] = []
        at = int(NOW)
        queue: list[tuple[str, Event, Case]] = [
            (role.value, HandshakeBegun(role, UnixMs(at)), {"event": "begun"})
            for role in (Role.RESPONDER, Role.INITIATOR)
        ]
        while queue:
            who, event, described = queue.pop(0)
            if machines[who].state is HandshakeState.ESTABLISHED:
                continue  # a late Refusal is for the session to refuse
            if isinstance(event, DeadlineReached):
                at += round(HANDSHAKE_TIMEOUT_S * 1000)
            other = "responder" if who == "initiator" else "initiator"
            effects = machines[who].handle(event, MonotonicS((at - NOW) / 1000))
            steps.append(
                {"unix_ms": at, "who": who, **described, "effects": [effect_written(e) for e in effects]}
            )
            at += STEP_MS
            for effect in effects:
                if isinstance(effect, AskStake):
                    is_enough = not parties[other].poor
                    answer = {"event": "stake", "is_sufficient": is_enough}
                    queue.append((who, StakeAnswered(is_sufficient=is_enough), answer))
                elif isinstance(effect, SendFrame):
                    at += (self.delays_ms or {}).get(_name(effect.data), 0)
                    queue.append(self._arrival(effect.data, at, who, other))
        return steps

    def _arrival(self, data: bytes, at: int, sender: str, receiver: str) -> tuple[str, Event, Case]:
        """Return what a sent frame becomes at the other end, or the sender's deadline if it is lost."""
        name = _name(data)
        if name == self.lost:
            return sender, DeadlineReached(), {"event": "deadline"}
        arrived = (self.changes or {}).get(name, lambda same: same)(data)
        return receiver, FrameReceived(arrived, UnixMs(at)), {"event": "frame", "bytes": arrived.hex()}


def _name(data: bytes) -> str:
    """Return the name of a message of ours."""
    return message_of(decode_fields(data)[0]).name


def effect_written(effect: Effect) -> Case:
    match effect:
        case SendFrame():
            return {"send": effect.data.hex()}
        case AskStake():
            return {"ask_stake": effect.wallet}
        case FailHandshake():
            return {"fail": effect.code}
        case FinishHandshake():
            return {
                "finish": {
                    "peer": effect.peer,
                    "wallet": effect.binding.wallet,
                    "session_id": effect.keys.session_id.hex(),
                    "version": effect.version,
                    "lifetime_s": effect.lifetime_s,
                    "manifest": fields_written(named_fields(effect.manifest)),
                }
            }
    raise AssertionError(effect)


def changed(kind: type[Message], **fields: Any) -> Change:
    """Decode, change fields, encode again: mallory, who cannot sign."""

    def change(data: bytes) -> bytes:
        return encode_message(decode_message(kind, data).model_copy(update=fields))

    return change


def flipped(kind: type[Message], field: str) -> Change:
    """Flip the last bit of a bytes field."""

    def change(data: bytes) -> bytes:
        message = decode_message(kind, data)
        value = getattr(message, field)
        return encode_message(message.model_copy(update={field: value[:-1] + bytes([value[-1] ^ 1])}))

    return change


def refused() -> list[tuple[str, str, Conversation]]:
    """Return (name, code, conversation) for each way to fail by what is said."""
    flip = [
        (Accept, "nonce", "bad_signature"),
        (Accept, "ephemeral", "bad_signature"),
        (Accept, "node_signature", "bad_signature"),
        (Confirm, "node_signature", "bad_signature"),
        (Confirm, "manifest", "bad_ciphertext"),
        (Established, "manifest", "bad_ciphertext"),
    ]
    cases = [
        (f"{kind.name}: {field} changed", code, Conversation(changes={kind.name: flipped(kind, field)}))
        for kind, field, code in flip
    ]
    return cases + refused_hellos() + refused_answers() + refused_circumstances()


def refused_hellos() -> list[tuple[str, str, Conversation]]:
    """Return what a responder refuses at once."""
    carol = peer_id_to_bytes(CAROL.node_key.peer_id)
    edge = CLOCK_SKEW_MS_MAX - 2 * STEP_MS  # the two beginnings take a step each
    expired = binding(issued_unix_ms=NOW - DAY_MS, expires_unix_ms=NOW)
    hello: list[tuple[str, str, Change]] = [
        ("hello: for another peer", "wrong_peer", changed(Hello, responder=carol)),
        ("hello: no common version", "no_common_version", changed(Hello, versions=(7,))),
        ("hello: nonce changed on the way", "bad_signature", flipped(Hello, "nonce")),
        ("hello: ephemeral key of small order", "bad_key", changed(Hello, ephemeral=bytes(32))),
        ("hello: another's binding", "wrong_signer", changed(Hello, binding=CAROL.binding)),
        ("hello: expired binding", "expired", changed(Hello, binding=expired)),
        ("hello: not canonical", "non_canonical", lambda data: b"\xde\x00\x07" + data[1:]),
        ("hello: cut short", "malformed", lambda data: data[:-1]),
        ("hello: ping instead", "unexpected_message", lambda _: bytes.fromhex("82000a01c4083132333435363738")),
    ]  # fmt: skip
    return [(name, code, Conversation(changes={"hello": change})) for name, code, change in hello] + [
        ("hello: too old", "stale_nonce", Conversation(delays_ms={"hello": edge + 1})),
        ("hello: as old as can be", "", Conversation(delays_ms={"hello": edge})),
    ]


def refused_answers() -> list[tuple[str, str, Conversation]]:
    """Return what is refused of Accept and Confirm, and downgrades."""
    return [
        ("accept: another's binding", "wrong_signer",
         Conversation(changes={"accept": changed(Accept, binding=CAROL.binding)})),
        ("accept: point of small order", "bad_signature",
         Conversation(changes={"accept": changed(Accept, ephemeral=bytes(32))})),
        ("accept: wallet signature of zeros", "bad_signature",
         Conversation(changes={"accept": changed(Accept, wallet_signature=bytes(65))})),
        ("accept: versions shortened on the way", "downgrade", Conversation(
            replace(INITIATOR, versions=(1, 2)), replace(RESPONDER, versions=(1, 2)),
            {"accept": changed(Accept, version=1)})),
        ("hello: versions shortened on the way", "downgrade", Conversation(
            replace(INITIATOR, versions=(1, 2)), replace(RESPONDER, versions=(1, 2)),
            {"hello": changed(Hello, versions=(1,))})),
        ("accept: hello instead", "unexpected_message",
         Conversation(changes={"accept": lambda _: encode_message(_hello())})),
        ("confirm: wallet signature of zeros", "bad_signature",
         Conversation(changes={"confirm": changed(Confirm, wallet_signature=bytes(64) + b"\x1b")})),
    ]  # fmt: skip


def refused_circumstances() -> list[tuple[str, str, Conversation]]:
    """Return what fails although every message is in order."""
    mainnet = replace(RULES, is_testnet=False)
    poor, seen = replace(RESPONDER, poor=True), replace(RESPONDER, seen_nonces=(INITIATOR.nonce,))
    lost = (Hello, Accept, Confirm)
    return [
        ("hello: replayed", "replayed", Conversation(responder=seen)),
        ("the responder's stake is too small", "insufficient_stake", Conversation(responder=poor)),
        ("the initiator's stake is too small", "insufficient_stake", Conversation(replace(INITIATOR, poor=True))),
        ("confirm: declared hardware outside a test network", "declared_hardware",
         Conversation(replace(INITIATOR, rules=mainnet), replace(RESPONDER, rules=mainnet))),
        *((f"{kind.name}: never arrives", "timeout", Conversation(lost=kind.name)) for kind in lost),
        ("accept: a refusal instead", "busy",
         Conversation(changes={"accept": lambda _: encode_message(Refusal(code="busy"))})),
    ]  # fmt: skip


def _hello() -> Hello:
    peer = peer_id_to_bytes(BOB.node_key.peer_id)
    return Hello(
        versions=(1,), responder=peer, nonce=bytes(32), ephemeral=bytes(32), issued_unix_ms=NOW, binding=b"x"
    )


def handshake_cases() -> list[Case]:
    talks = [("alice and bob", "", Conversation()), ("the higher of two versions", "", Conversation(
        replace(INITIATOR, versions=(1, 2)), replace(RESPONDER, versions=(1, 2, 3)))), *refused()]  # fmt: skip
    cases = []
    for name, code, talk in talks:
        case = {
            "name": name,
            "network": RULES.network,
            "chain_id": RULES.chain_id,
            "is_testnet": talk.initiator.rules.is_testnet,
            "initiator": talk.initiator.written(),
            "responder": talk.responder.written(),
            "steps": talk.run(),
        }
        cases.append(case | ({"code": code} if code else {}))
    return cases
