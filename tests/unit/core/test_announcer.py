"""PER-3, PER-6, PER-9, PER-10: our own records and heartbeats."""

from dataclasses import replace

import pytest

from skyops_p2p import limits
from skyops_p2p.core.announcer import ADDR_CHARS_MAX, CHANGE_GAP, JITTER, Announcer, Load, Offer
from skyops_p2p.core.records import check_presence, check_record
from skyops_p2p.types import Multiaddr, UnixMs
from tests.unit.core.people import ALICE, DAY_MS, HARDWARE, NOW, RULES, RUNTIMES, at

OFFER = Offer(
    agent="skyops/test",
    is_worker=True,
    region="eu",
    labels=("fast",),
    slots=2,
    price_microcredits_per_hour=5,
)
ADDR = Multiaddr("/ip4/127.0.0.1/tcp/4001")


def announcer(offer: Offer = OFFER, *, is_ready: bool = True) -> Announcer:
    made = Announcer(ALICE.node_key, lambda _: ALICE.binding, RULES, offer=offer, beat_s=30.0)
    if is_ready:
        made.set_addrs((ADDR,))
        made.set_hardware(HARDWARE, RUNTIMES)
    return made


def record_of(made: Announcer, unix: int = NOW):  # type: ignore[no-untyped-def] # a NodeRecord
    return check_record(made.make_record(at(0), UnixMs(unix)), RULES, now=UnixMs(unix)).record


def beat_of(made: Announcer, unix: int = NOW, *, nodes: int = 1):  # type: ignore[no-untyped-def] # a Presence
    data = made.make_beat(at(0), UnixMs(unix), nodes=nodes)
    return check_presence(data, RULES, now=UnixMs(unix)).message


def test_record_says_what_was_offered_probed_and_listened_on() -> None:
    record = record_of(announcer())
    assert record.sequence == NOW
    assert record.expires_unix_ms == NOW + limits.RECORD_LIFETIME_MS_MAX
    assert (record.addrs, record.hardware, record.runtimes) == ((ADDR,), HARDWARE, RUNTIMES)
    assert (record.region, record.labels, record.slots) == ("eu", ("fast",), 2)


def test_node_that_sells_nothing_has_no_slots() -> None:
    made = announcer(replace(OFFER, is_worker=False))
    assert record_of(made).slots == 0
    assert beat_of(made).slots_free == 0


def test_numbers_only_rise_even_when_the_clock_goes_back() -> None:
    made = announcer()
    numbers = [record_of(made).sequence, beat_of(made, NOW - 5000).sequence]
    numbers += [record_of(made, NOW - 9000).sequence, beat_of(made, NOW + 1).sequence]
    assert numbers == sorted(set(numbers))


def test_numbers_go_on_after_a_restart() -> None:
    made = announcer()
    made.resume(NOW + 600_000, (ADDR,))
    assert record_of(made).sequence == NOW + 600_001


def test_number_used_elsewhere_is_outbid() -> None:
    made = announcer()
    record_of(made)
    assert not made.outbid(NOW)
    assert not made.is_record_due
    assert made.outbid(NOW + 500)
    assert made.is_record_due
    assert record_of(made).sequence == NOW + 501


def test_record_is_due_after_changes_only() -> None:
    made = announcer(is_ready=False)
    made.set_addrs((ADDR,))
    assert not made.is_record_due
    made.set_hardware(HARDWARE, RUNTIMES)
    assert made.is_record_due
    made.make_record(at(0), NOW)
    made.set_addrs((ADDR,))
    made.set_hardware(HARDWARE.model_copy(update={"disk_mib": 7}), RUNTIMES)
    assert not made.is_record_due
    made.set_hardware(HARDWARE, ())
    assert made.is_record_due


def test_too_many_and_too_long_addresses_are_left_out_and_change_nothing_twice() -> None:
    made = announcer()
    addrs = tuple(Multiaddr(f"/ip4/127.0.0.1/tcp/{port}") for port in range(1, 20))
    long = Multiaddr("/dns4/" + "x" * ADDR_CHARS_MAX)
    made.set_addrs((long, *addrs))
    assert record_of(made).addrs == addrs[: limits.RECORD_ADDRS_MAX]
    made.set_addrs((long, *addrs))
    assert not made.is_record_due


def test_new_price_is_told_in_a_new_record() -> None:
    made = announcer()
    made.make_record(at(0), NOW)
    made.reprice(99)
    assert made.is_record_due
    assert record_of(made).price_microcredits_per_hour == 99


def test_record_is_renewed_at_half_of_its_life() -> None:
    made = announcer()
    made.refresh_if_old(NOW)
    made.make_record(at(0), NOW)
    made.refresh_if_old(UnixMs(NOW + DAY_MS // 2))
    assert not made.is_record_due
    made.refresh_if_old(UnixMs(NOW + DAY_MS // 2 + 1))
    assert made.is_record_due


def test_beat_follows_a_record_at_once_and_then_a_little_early() -> None:
    made = announcer()
    assert made.next_deadline() is None
    made.make_record(at(0), NOW)
    assert made.next_deadline() == at(0)
    beat = beat_of(made)
    assert beat.record_sequence == NOW
    deadline = made.next_deadline()
    assert deadline is not None
    assert at(30 * (1 - JITTER)) <= deadline <= at(30)


@pytest.mark.parametrize(
    ("nodes", "interval_s"),
    [(0, 30.0), (150, 30.0), (1000, 200.0), (20_000, 4000.0), (10**6, limits.PRESENCE_INTERVAL_S_MAX)],
)
def test_interval_grows_with_the_network_up_to_what_others_take(nodes: int, interval_s: float) -> None:
    made = announcer()
    assert made.interval_s(nodes) == interval_s
    assert beat_of(made, nodes=nodes).interval_ms == interval_s * 1000


def test_changed_load_brings_the_beat_forward_but_not_too_far() -> None:
    made = announcer()
    made.make_record(at(0), NOW)
    made.make_beat(at(0), NOW, nodes=1)
    made.set_load(Load(slots_free=1, load_permille=0), at(1), interval_s=30.0)
    assert made.next_deadline() == at(CHANGE_GAP * 30)


def test_small_change_of_load_waits() -> None:
    made = announcer()
    made.make_record(at(0), NOW)
    made.make_beat(at(0), NOW, nodes=1)
    before = made.next_deadline()
    made.set_load(Load(slots_free=2, load_permille=99), at(1), interval_s=30.0)
    assert made.next_deadline() == before
    made.set_load(Load(slots_free=2, load_permille=100), at(20), interval_s=30.0)
    assert made.next_deadline() == at(20)


def test_last_beat_at_the_clocks_zero_counts() -> None:
    made = announcer()
    zero = type(at(0))(0.0)
    made.make_record(zero, NOW)
    made.make_beat(zero, NOW, nodes=1)
    made.set_load(Load(slots_free=0, load_permille=0), type(at(0))(1.0), interval_s=30.0)
    assert made.next_deadline() == CHANGE_GAP * 30


def test_goodbye_is_the_last_beat() -> None:
    made = announcer()
    made.make_record(at(0), NOW)
    data = made.make_beat(at(0), NOW, nodes=1, is_leaving=True)
    assert check_presence(data, RULES, now=NOW).message.is_leaving
    assert made.next_deadline() is None
