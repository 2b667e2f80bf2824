"""NodeCore's own decisions: start, records, beats, neighbours, probes, verdicts, goodbye."""

from dataclasses import replace

import pytest

from skyops_p2p import limits
from skyops_p2p.core import node_events as ev
from skyops_p2p.core.machine import DeadlineReached
from skyops_p2p.core.node_core import ANNOUNCE_AGAIN_S, SYNC_SOON_S, NodeCore
from skyops_p2p.core.peering import Dial, Disconnect
from skyops_p2p.core.presence import NodeState, PresenceTimes
from skyops_p2p.core.records import check_presence, check_record
from skyops_p2p.core.sequence_reserve import RETRY_S
from skyops_p2p.errors import LocalProtocolError
from skyops_p2p.types import MonotonicS, Multiaddr, UnixMs
from skyops_p2p.wire.messages.peering import EquivocationProof
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.core.desk import ADDR, SETTINGS, Desk, of, published
from tests.unit.core.people import (
    ALICE,
    BOB,
    CAROL,
    DAY_MS,
    HARDWARE,
    MALLORY,
    NOW,
    RULES,
    RUNTIMES,
    START,
)


@pytest.fixture
def desk() -> Desk:
    return Desk().ready()


# --- this node ----------------------------------------------------------------------------------------------
def test_unknown_event_is_our_own_bug(desk: Desk) -> None:
    with pytest.raises(LocalProtocolError):
        desk.core.handle(DeadlineReached(), desk.now)


def test_nothing_is_said_before_the_hardware_is_known() -> None:
    desk = Desk()
    assert published(desk.until(100)) == []
    desk.handle(ev.HardwareProbed(HARDWARE, RUNTIMES))
    assert published(desk.until(100)) == ["node-record", "presence"]


def test_hardware_known_before_the_start_is_announced_at_once() -> None:
    core = NodeCore(ALICE.node_key, lambda _: ALICE.binding, SETTINGS)
    core.handle(ev.HardwareProbed(HARDWARE, RUNTIMES), START)
    core.handle(ev.NodeStarted((ADDR,), 0, NOW), START)
    (asked,) = of(ev.RememberSequence, core.handle(ev.TimeCame(NOW), START))
    core.handle(ev.SequenceRemembered(asked.number), START)
    assert "node-record" in published(core.handle(ev.TimeCame(NOW), START))


def test_number_is_persisted_before_it_is_sent() -> None:
    desk = Desk()
    desk.handle(ev.HardwareProbed(HARDWARE, RUNTIMES))
    effects = desk.until(0)
    kinds = [type(effect) for effect in effects if isinstance(effect, ev.RememberSequence | ev.Publish)]
    assert kinds[0] is ev.RememberSequence  # PER-6: nothing is signed before the store confirmed
    assert kinds.count(ev.RememberSequence) == 1
    assert of(ev.RememberSequence, desk.until(300)) == []
    assert len(of(ev.RememberSequence, desk.until(1200))) >= 1


def test_nothing_is_signed_while_the_store_fails_and_all_is_when_it_works_again() -> None:
    desk = Desk()
    desk.is_disk_full = True
    desk.handle(ev.HardwareProbed(HARDWARE, RUNTIMES))
    effects = desk.until(60)
    assert desk.core.own_record is None
    assert not of(ev.Publish, effects)
    assert 2 <= len(of(ev.RememberSequence, effects)) <= 60 / RETRY_S + 1
    desk.is_disk_full = False
    assert {"node-record", "presence"} <= set(published(desk.until(70)))


def test_restart_goes_on_above_the_last_number() -> None:
    desk = Desk(last_sequence=NOW + 5_000_000).ready()
    assert desk.core.own_record is not None
    assert check_record(desk.core.own_record, RULES, now=NOW).record.sequence == NOW + 5_000_001


def test_own_record_and_beat_are_on_the_map_and_never_probed(desk: Desk) -> None:
    assert desk.state_of(ALICE) is NodeState.ACTIVE
    effects = desk.skip_to(10_000)
    assert desk.state_of(ALICE) is NodeState.ACTIVE
    assert ALICE.peer not in [effect.peer for effect in of(ev.PingPeer, effects)]


def test_record_is_said_again_while_the_mesh_forms(desk: Desk) -> None:
    effects = desk.until(ANNOUNCE_AGAIN_S[-1] + 0.1)
    assert published(effects).count("node-record") == len(ANNOUNCE_AGAIN_S)


def test_record_goes_to_the_dht_under_its_key(desk: Desk) -> None:
    effects = desk.until(5 + limits.DHT_ANNOUNCE_DELAY_S)
    (put,) = of(ev.PutOwnRecord, effects)
    assert put.key == RULES.record_key(ALICE.peer)
    (keys,) = of(ev.ProvideKeys, effects)
    assert {"node", "worker", "gpu:a100", "vram:80", "runtime:wasm", "region:eu"} <= set(keys.keys)
    assert all(len(key.encode()) <= limits.DHT_KEY_BYTES_MAX for key in keys.keys)  # PER-14


def test_beats_come_at_their_interval(desk: Desk) -> None:
    desk.until(10)
    count = published(desk.until(10 + 300)).count("presence")
    assert 10 <= count <= 12


def test_record_that_others_would_refuse_is_not_sent_but_told(desk: Desk) -> None:
    desk.until(10)
    desk.binding = BOB.binding
    desk.handle(ev.AddrsChanged((Multiaddr("/ip4/127.0.0.1/tcp/5"),)))
    effects = desk.until(11)
    assert "node-record" not in published(effects)
    (note,) = of(ev.Notify, effects)
    assert "wrong_signer" in note.text
    desk.binding = ALICE.binding
    assert "node-record" in published(desk.until(75))


def test_goodbye_is_the_last_word(desk: Desk) -> None:
    effects = desk.handle(ev.NodeStopping(desk.unix))  # PER-28
    (beat,) = of(ev.Publish, effects)
    assert check_presence(beat.payload, RULES, now=desk.unix).message.is_leaving
    assert desk.core.next_deadline() is None
    assert desk.handle(ev.TimeCame(desk.unix)) == []
    assert desk.handle(ev.NodeStopping(desk.unix)) == []


def test_changes_are_written_and_forgotten_nodes_deleted() -> None:
    desk = Desk(replace(SETTINGS, times=PresenceTimes(inactive_expiry_s=20.0))).ready()
    desk.activate(BOB)
    effects = desk.until(limits.FLUSH_INTERVAL_S + 1)
    assert BOB.peer in {peer for effect in of(ev.RememberNodes, effects) for peer in effect.peers}
    desk.tell(BOB, BOB.beat(2, is_leaving=True))
    effects = desk.until(30)
    assert BOB.peer in {peer for effect in of(ev.ForgetNodes, effects) for peer in effect.peers}
    assert desk.state_of(BOB) is None


# --- our own key, heard from elsewhere (PER-26) ------------------------------------------------------------
@pytest.mark.parametrize("kind", ["record", "beat"])
def test_higher_number_of_our_own_key_is_outbid(desk: Desk, kind: str) -> None:
    foreign = ALICE.record(NOW + 900_000) if kind == "record" else ALICE.beat(NOW + 900_000)
    records, beats = ((foreign,), ()) if kind == "record" else ((), (foreign,))
    effects = desk.handle(ev.RecordsArrived(BOB.peer, records, beats, desk.unix))
    assert of(ev.Notify, effects)
    assert desk.core.own_record is not None
    assert desk.core.own_record != foreign
    desk.until(61)
    assert check_record(desk.core.own_record, RULES, now=desk.unix).record.sequence > NOW + 900_000


def test_older_word_of_our_own_is_no_news(desk: Desk) -> None:
    before = desk.core.own_record
    assert desk.handle(ev.RecordsArrived(None, (ALICE.record(5),), (ALICE.beat(5),), desk.unix)) == []
    assert desk.core.own_record == before


# --- links --------------------------------------------------------------------------------------------------
def test_bootstrap_peers_are_dialled_at_the_start() -> None:
    desk = Desk(replace(SETTINGS, bootstrap=((BOB.peer, (ADDR,)),)))
    assert of(Dial, desk.started) == [Dial(BOB.peer, (ADDR,))]


def test_new_connection_is_asked_for_its_record_and_map(desk: Desk) -> None:
    effects = desk.connect(BOB)
    assert of(ev.FetchRecord, effects) == [ev.FetchRecord(BOB.peer, BOB.peer)]
    assert of(ev.SyncMap, effects) == [ev.SyncMap(BOB.peer)]
    assert of(ev.SyncMap, desk.connect(CAROL, is_outbound=False)) == []
    assert desk.state_of(BOB) is NodeState.PENDING


def test_connection_to_ourselves_is_nobody(desk: Desk) -> None:
    assert desk.connect(ALICE) == []


def test_heard_of_peer_is_dialled(desk: Desk) -> None:
    desk.handle(ev.PeerHeardOf(BOB.peer, (ADDR,)))
    assert of(Dial, desk.until(1)) == [Dial(BOB.peer, (ADDR,))]
    desk.handle(ev.DialEnded(BOB.peer, "refused"))
    assert of(Dial, desk.until(5)) == [Dial(BOB.peer, (ADDR,))]


def test_neighbours_are_asked_for_peers_below_the_target_only() -> None:
    desk = Desk(replace(SETTINGS, peers_target=1)).ready()
    assert of(ev.AskPeers, desk.until(30)) == []
    desk = Desk(replace(SETTINGS, peers_target=2)).ready()
    desk.connect(BOB)
    assert {effect.peer for effect in of(ev.AskPeers, desk.until(30))} == {BOB.peer}
    desk.connect(CAROL)
    assert of(ev.AskPeers, desk.until(60)) == []


def test_misbehaving_peer_is_cut_off_and_not_probed(desk: Desk) -> None:
    desk.connect(MALLORY)
    desk.activate(MALLORY)
    effects = desk.handle(ev.PeerMisbehaved(MALLORY.peer, "flood"))
    assert of(Disconnect, effects) == [Disconnect(MALLORY.peer)]
    effects = desk.handle(ev.ConnectionDown(MALLORY.peer))
    assert of(ev.PingPeer, effects) == []
    assert of(Disconnect, desk.connect(MALLORY)) == [Disconnect(MALLORY.peer)]


# --- believing ----------------------------------------------------------------------------------------------
def test_lost_connection_is_probed_then_witnessed_then_believed(desk: Desk) -> None:
    for who in (BOB, CAROL, MALLORY):
        desk.connect(who)
    desk.activate(BOB)
    effects = desk.handle(ev.ConnectionDown(BOB.peer))
    assert of(ev.PingPeer, effects) == [ev.PingPeer(BOB.peer)]
    assert desk.state_of(BOB) is NodeState.SUSPECT
    effects = desk.handle(ev.PingEnded(BOB.peer, None))
    asked = of(ev.AskWitness, effects)
    assert {effect.witness for effect in asked} == {CAROL.peer, MALLORY.peer}
    for effect in asked:
        desk.handle(ev.WitnessReplied(effect.target, is_alive=False))
    desk.until(10)
    assert desk.state_of(BOB) is NodeState.INACTIVE
    desk.tell(BOB, BOB.beat(2, issued_unix_ms=desk.unix))
    assert desk.state_of(BOB) is NodeState.ACTIVE


def test_answered_probe_is_measured(desk: Desk) -> None:
    desk.activate(BOB)
    desk.handle(ev.PingEnded(BOB.peer, 0.02))
    entry = desk.core.nodes.get(BOB.peer)
    assert entry is not None
    assert entry.round_trip_s == 0.02


def test_beat_that_names_a_missing_record_asks_for_it_but_not_for_ever(desk: Desk) -> None:
    desk.connect(CAROL)
    desk.tell(BOB, BOB.beat(1, record_sequence=99))
    soon = desk.until(SYNC_SOON_S + ANNOUNCE_AGAIN_S[0])
    assert CAROL.peer in {effect.peer for effect in of(ev.SyncMap, soon)}  # whoever knows it tells
    desk.connect(BOB)
    asked = []
    for number in range(50):
        effects = desk.tell(BOB, BOB.beat(number + 2, record_sequence=99))
        asked += of(ev.FetchRecord, effects)
    assert 0 < len(asked) <= limits.RECORD_FETCH_BURST  # PER-31
    assert {effect.source for effect in asked} == {BOB.peer}
    desk.now = MonotonicS(START + 100)
    beat = BOB.beat(100, record_sequence=99, issued_unix_ms=desk.unix)
    assert of(ev.FetchRecord, desk.tell(BOB, beat)) == [ev.FetchRecord(BOB.peer, BOB.peer)]


def test_two_records_under_one_number_are_proven_and_spread(desk: Desk) -> None:
    desk.activate(MALLORY)
    effects = desk.tell(MALLORY, MALLORY.record(1, region="us"))
    assert desk.state_of(MALLORY) is NodeState.SLASHED
    (proof,) = of(ev.Publish, effects)
    other = Desk().ready()
    other.activate(MALLORY)
    other.tell(BOB, proof.payload)
    assert other.state_of(MALLORY) is NodeState.SLASHED


def test_verdict_travels_by_synchronisation_and_survives_a_restart(desk: Desk) -> None:
    desk.activate(MALLORY)
    desk.tell(MALLORY, MALLORY.record(1, region="us"))
    neighbour = Desk().ready()
    neighbour.activate(MALLORY)
    told, is_complete = desk.core.nodes.differing(neighbour.core.nodes.digests(), after=b"", count_max=64)
    assert is_complete
    neighbour.handle(ev.RecordsArrived(ALICE.peer, tuple(told), (), neighbour.unix))
    assert neighbour.state_of(MALLORY) is NodeState.SLASHED  # PER-20
    entry = desk.core.nodes.get(MALLORY.peer)
    assert entry is not None
    assert entry.kept is not None
    restarted = Desk()
    restarted.handle(ev.RecordsArrived(None, (entry.kept,), (), UnixMs(NOW + 9 * DAY_MS)))
    assert restarted.state_of(MALLORY) is NodeState.SLASHED


def test_large_proof_is_believed_but_not_gossiped(desk: Desk) -> None:
    labels = tuple(f"{number:064}" for number in range(16))
    desk.tell(MALLORY, MALLORY.record(1, labels=labels))
    effects = desk.tell(MALLORY, MALLORY.record(1, labels=labels, region="us"))
    assert desk.state_of(MALLORY) is NodeState.SLASHED
    for effect in of(ev.Publish, effects):
        assert len(effect.payload) <= limits.GOSSIP_BYTES_MAX


def test_second_wallet_is_counted_and_not_believed(desk: Desk) -> None:
    desk.activate(BOB)
    record = BOB.record(2, binding=BOB.binding_for(CAROL.wallet))
    assert desk.handle(ev.RecordsArrived(BOB.peer, (record,), (), desk.unix)) == []
    assert desk.core.intake.refusals == {"binding_conflict": 1}  # IDN-9
    entry = desk.core.nodes.get(BOB.peer)
    assert entry is not None
    assert entry.wallet == BOB.wallet.address


def test_answer_full_of_rubbish_is_counted_and_the_good_part_taken(desk: Desk) -> None:
    records = (b"", b"x" * 5000, BOB.record()[:-1], CAROL.record(), BOB.beat())
    desk.handle(ev.RecordsArrived(MALLORY.peer, records, (b"?", CAROL.beat()), desk.unix))
    assert desk.state_of(CAROL) is NodeState.ACTIVE
    assert sum(desk.core.intake.refusals.values()) == 4


def test_bare_proof_about_a_stranger_is_left(desk: Desk) -> None:
    proof = encode_message(MALLORY.contradiction())
    desk.handle(ev.RecordsArrived(BOB.peer, (proof,), (), desk.unix))
    assert desk.state_of(MALLORY) is None
    assert decode_message(EquivocationProof, proof).kind == "node-record"


def test_record_runs_out_after_its_day(desk: Desk) -> None:
    desk.activate(BOB)
    desk.skip_to(DAY_MS / 1000 - 120)
    desk.tell(BOB, BOB.beat(5, issued_unix_ms=desk.unix))
    assert desk.state_of(BOB) is NodeState.ACTIVE
    desk.skip_to(DAY_MS / 1000 + 61)
    assert desk.state_of(BOB) is NodeState.PENDING  # PER-30


def test_stake_is_asked_before_a_node_is_active() -> None:
    desk = Desk(replace(SETTINGS, needs_stake=True)).ready()
    effects = desk.tell(BOB, BOB.record())
    assert of(ev.CheckStakeOfPeer, effects) == [ev.CheckStakeOfPeer(BOB.peer, BOB.wallet.address)]
    desk.tell(BOB, BOB.beat())
    assert desk.state_of(BOB) is NodeState.PENDING
    desk.handle(ev.StakeOfPeerChecked(BOB.peer, is_sufficient=True))
    assert desk.state_of(BOB) is NodeState.ACTIVE  # PER-21


def test_request_is_a_sign_of_life(desk: Desk) -> None:
    desk.tell(BOB, BOB.record())
    desk.handle(ev.PeerSpoke(BOB.peer))
    assert desk.state_of(BOB) is NodeState.ACTIVE


def test_load_is_told_sooner_than_the_slow_beat(desk: Desk) -> None:
    desk.until(10)
    desk.handle(ev.LoadChanged(slots_free=0, load_permille=900))
    assert "presence" in published(desk.until(11))
