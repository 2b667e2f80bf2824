"""How long a program has run, as each side measures it."""

from skyops_p2p.node.settlement.run_clock import STALE_S, RunClock


def test_only_what_runs_counts() -> None:
    clock = RunClock(100.0)
    assert clock.read(105.0) == (0, 0)
    clock.turn(105.0, is_running=True)
    clock.turn(115.0, is_running=False)
    clock.turn(120.0, is_running=True)
    assert clock.read(121.5) == (11_500, 0)
    assert clock.read(121.0) == (11_500, 0)  # a clock never goes back


def test_a_requester_counts_what_it_hears_and_the_rest_apart() -> None:  # SET-20
    clock = RunClock(0.0, is_heard=True)
    clock.turn(0.0, is_running=True)
    assert clock.read(STALE_S) == (int(STALE_S * 1000), 0)
    assert clock.read(STALE_S + 4.0) == (int(STALE_S * 1000), 4000)
    clock.turn(10.0, is_running=True)
    clock.lose_sight(11.0)
    seen, unseen = clock.read(20.0)
    assert (seen, unseen) == (int(STALE_S * 1000) + 1000, 7000 + 9000)
