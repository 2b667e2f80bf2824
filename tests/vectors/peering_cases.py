"""Vectors of records, heartbeats, proofs, synchronisation, and of what a node comes to believe of another."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core import presence as belief
from skyops_p2p.core.binding import make_binding
from skyops_p2p.core.machine import DeadlineReached, Event
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.core.sync_index import SyncIndex
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.peering import EquivocationProof, NodeRecord, Presence
from skyops_p2p.wire.model import encode_message
from tests.vectors.examples import PRESENCE, examples
from tests.vectors.people import ALICE, BOB, CAROL, DAY_MS, MALLORY, NOW, RULES, Person, person

Case = dict[str, Any]
SKEW = limits.CLOCK_SKEW_MS_MAX
(RECORD,) = [message for message in examples() if isinstance(message, NodeRecord)]
MAINNET = replace(RULES, is_testnet=False)


def record(who: Person, sequence: int = 1, *, signer: Person | None = None, **changes: Any) -> bytes:
    """Seal a record of `who`."""
    fields = {
        "peer": peer_id_to_bytes(who.node_key.peer_id),
        "sequence": sequence,
        "network": RULES.network,
        "issued_unix_ms": NOW,
        "expires_unix_ms": NOW + DAY_MS,
        "binding": who.binding,
        **changes,
    }
    return seal(RECORD.model_copy(update=fields), (signer or who).node_key, RULES.network)


def beat(who: Person, **changes: Any) -> bytes:
    fields = {"issued_unix_ms": NOW, "interval_ms": 30_000, **changes}
    return seal(PRESENCE.model_copy(update=fields), who.node_key, RULES.network)


def _case(name: str, data: bytes, *, rules: NetworkRules = RULES, **rest: Any) -> Case:
    place = {"network": rules.network, "chain_id": rules.chain_id, "is_testnet": rules.is_testnet}
    return {"name": name, **place, "now_unix_ms": NOW, "bytes": data.hex(), **rest}


def record_cases() -> list[Case]:
    good = {"peer": ALICE.node_key.peer_id, "wallet": ALICE.wallet.address}
    declared = RECORD.hardware.model_copy(update={"source": "declared"})
    long_gpu = RECORD.hardware.gpus[0].model_copy(update={"model": "g" * 64, "uuid": "u" * 64})
    long_hardware = RECORD.hardware.model_copy(update={"gpus": (long_gpu,) * 16})
    long_addrs = tuple(f"/dns4/{number:0>120}" for number in range(8))
    old_binding = make_binding(
        ALICE.node_key, ALICE.wallet, RULES, issued=type(NOW)(NOW - DAY_MS), lifetime_ms=DAY_MS
    )
    return [
        _case("good", record(ALICE), **good),
        _case("issued as late as it may", record(ALICE, issued_unix_ms=NOW + SKEW), **good),
        _case("in its last millisecond", record(ALICE, expires_unix_ms=NOW + 1), **good),
        _case("declared hardware on a test network", record(ALICE, hardware=declared), **good),
        _case(
            "declared hardware elsewhere",
            record(ALICE, hardware=declared),
            rules=MAINNET,
            code="declared_hardware",
        ),
        _case("from the future", record(ALICE, issued_unix_ms=NOW + SKEW + 1), code="not_yet_valid"),
        _case("expired", record(ALICE, expires_unix_ms=NOW), code="expired"),
        _case("lives too long", record(ALICE, expires_unix_ms=NOW + DAY_MS + 1), code="lifetime_too_long"),
        _case("somebody else's peer id", record(ALICE, signer=MALLORY), code="wrong_signer"),
        _case("somebody else's binding", record(ALICE, binding=BOB.binding), code="wrong_signer"),
        _case("expired binding", record(ALICE, binding=old_binding), code="expired"),
        _case("a heartbeat", beat(ALICE), code="wrong_type"),
        _case(
            "too long",
            record(ALICE, hardware=long_hardware, addrs=long_addrs, labels=("l" * 64,) * 16),
            code="oversized",
        ),
    ]


def presence_cases() -> list[Case]:
    good = {"peer": BOB.node_key.peer_id}
    return [
        _case("good", beat(BOB), **good),
        _case("issued as late as it may", beat(BOB, issued_unix_ms=NOW + SKEW), **good),
        _case("as old as it may be", beat(BOB, issued_unix_ms=NOW - 30_000 - SKEW), **good),
        _case("longest interval", beat(BOB, interval_ms=4_000_000), **good),
        _case("too long an interval", beat(BOB, interval_ms=4_000_001), code="lifetime_too_long"),
        _case("from the future", beat(BOB, issued_unix_ms=NOW + SKEW + 1), code="not_yet_valid"),
        _case("too old", beat(BOB, issued_unix_ms=NOW - 30_000 - SKEW - 1), code="expired"),
        _case("cut short", beat(BOB)[:-1], code="malformed"),
        _case("too long", beat(BOB).ljust(321, b"\0"), code="oversized"),
    ]


def proof_cases() -> list[Case]:
    def proof(first: bytes, second: bytes) -> bytes:
        return encode_message(EquivocationProof(kind="node-record", first=first, second=second))

    one, other = record(MALLORY, 5), record(MALLORY, 5, region="us")
    found = {"peer": MALLORY.node_key.peer_id}
    old = {"issued_unix_ms": NOW - 90 * DAY_MS, "expires_unix_ms": NOW - 89 * DAY_MS}
    return [
        _case("two records under one number", proof(one, other), **found),
        _case("long expired", proof(record(MALLORY, 5, **old), other), **found),
        _case("the same record twice", proof(one, one), code="proof_fails"),
        _case("two numbers", proof(one, record(MALLORY, 6, region="us")), code="proof_fails"),
        _case("two signers", proof(one, record(ALICE, 5)), code="proof_fails"),
        _case("a forged half", proof(one, other[:-1] + bytes([other[-1] ^ 1])), code="bad_signature"),
        _case("a heartbeat", proof(one, beat(MALLORY)), code="wrong_type"),
    ]


def sync_cases() -> list[Case]:
    crowd = [person(f"worker-{number}", 1 + number) for number in range(90)]
    few = [(ALICE, 1), (BOB, 2**53 - 1), (CAROL, 1_800_000_000_000)]
    many = [(someone, 10 + number) for number, someone in enumerate(crowd)]
    newer = [(someone, number + (someone is crowd[7])) for someone, number in many]
    return [
        _sync("empty map", few, []),
        _sync("equal maps", few, few),
        _sync("more than one answer", many, []),
        _sync("one newer record", newer, many),
        _sync("an older record is told too", many, newer),
    ]


def _sync(name: str, held: list[tuple[Person, int]], asker: list[tuple[Person, int]]) -> Case:
    """One synchronisation: the asker's digests, and the answers until it is complete."""
    index, other = SyncIndex(), SyncIndex()
    for someone, sequence in held:
        index.put(someone.node_key.peer_id, sequence, someone.name.encode())
    for someone, sequence in asker:
        other.put(someone.node_key.peer_id, sequence, someone.name.encode())
    key_of = {who.name: peer_id_to_bytes(who.node_key.peer_id) for who, _ in held}
    answers, after, is_complete = [], b"", False
    while not is_complete:
        told, is_complete = index.differing(
            other.digests(), after=after, count_max=limits.MAP_SYNC_ENTRIES_MAX
        )
        peers = [key_of[name.decode()].hex() for name in told]
        answers.append({"after": after.hex(), "peers": peers, "is_complete": is_complete})
        after = key_of[told[-1].decode()] if told else after
    return {
        "name": name,
        "held": [[peer_id_to_bytes(who.node_key.peer_id).hex(), number] for who, number in held],
        "digests": index.digests().hex(),
        "asker": other.digests().hex(),
        "answers": answers,
    }


# --- beliefs ------------------------------------------------------------------------------------------------
EVENTS: dict[str, Event] = {
    "record": belief.RecordAccepted(),
    "record_expired": belief.RecordExpired(),
    "stake": belief.StakeChecked(is_sufficient=True),
    "no_stake": belief.StakeChecked(is_sufficient=False),
    "beat": belief.BeatReceived(30.0, is_leaving=False),
    "goodbye": belief.BeatReceived(30.0, is_leaving=True),
    "life": belief.LifeSeen(),
    "contact_lost": belief.ContactLost(),
    "probe_failed": belief.ProbeFailed(),
    "witness_alive": belief.WitnessAnswered(is_alive=True),
    "witness_silent": belief.WitnessAnswered(is_alive=False),
    "proof": belief.EquivocationProven(),
    "deadline": DeadlineReached(),
}
EFFECTS = {
    belief.ProbeDirectly: "probe",
    belief.AskWitnesses: "ask_witnesses",
    belief.ExpireNode: "expire",
}
STORIES: dict[str, tuple[bool, str]] = {
    "a node comes and says goodbye": (False, "record beat beat life goodbye deadline"),
    "a beat before the record": (False, "beat record beat"),
    "nobody answers": (False, "record beat deadline probe_failed witness_silent witness_silent deadline"),
    "nobody can be asked": (False, "record beat contact_lost deadline deadline"),
    "a broken path": (False, "record beat contact_lost probe_failed witness_silent witness_alive beat"),
    "a restart while suspected": (False, "record beat contact_lost probe_failed record beat"),
    "an answer that was not asked for": (False, "record beat contact_lost witness_alive life"),
    "back from the dead": (False, "record beat contact_lost probe_failed deadline life"),
    "never seen": (False, "record deadline deadline probe_failed deadline"),
    "a record that runs out": (False, "record beat record_expired record"),
    "a record that runs out while suspected": (
        False,
        "record beat contact_lost probe_failed record_expired witness_alive record",
    ),
    "stake comes last": (True, "record beat stake"),
    "stake is lost": (True, "record beat stake no_stake beat stake"),
    "stake is lost while suspected": (True, "stake record beat contact_lost no_stake life stake"),
    "an equivocator": (False, "record beat proof beat record life contact_lost"),
}


def belief_cases() -> list[Case]:
    return [_story(name, needs_stake, events.split()) for name, (needs_stake, events) in STORIES.items()]


def _story(name: str, needs_stake: bool, events: Iterable[str]) -> Case:
    """Let the events come one a second, a deadline when it is due."""
    machine = belief.Presence(
        ALICE.node_key.peer_id, belief.PresenceTimes(), MonotonicS(0.0), needs_stake=needs_stake
    )
    now, steps = 0.0, []
    for event in events:
        deadline = machine.next_deadline()
        now = deadline if event == "deadline" and deadline is not None else now + 1.0
        effects = machine.handle(EVENTS[event], MonotonicS(now))
        steps.append(
            {
                "at_s": now,
                "event": event,
                "state": machine.state.value,
                "effects": [EFFECTS[type(effect)] for effect in effects if type(effect) in EFFECTS],
                "deadline_s": machine.next_deadline(),
            }
        )
    return {"name": name, "needs_stake": needs_stake, "steps": steps}


FAMILIES = {
    "records": ("03-peering.md, Node record", record_cases),
    "presence": ("03-peering.md, Presence", presence_cases),
    "proofs": ("03-peering.md, Equivocation", proof_cases),
    "sync": ("03-peering.md, Node map", sync_cases),
    "beliefs": ("03-peering.md, Belief", belief_cases),
}
assert isinstance(PRESENCE, Presence)
