"""The phase of a dispute by the clock: each border, and what stands still until somebody goes on."""

from dataclasses import replace

import pytest

from skyops_p2p.core.settlement.contract_facts import DisputeCase, JuryState
from skyops_p2p.node.wallet.dispute_phase import PhaseNow, phase_of
from skyops_p2p.types import Wei

NOBODY = bytes(20)
CASE = DisputeCase(
    challenger=NOBODY,
    requester=NOBODY,
    worker=NOBODY,
    token=NOBODY,
    job=bytes(32),
    amount=Wei(1),
    worth=Wei(1),
    bond=Wei(1),
    opened_at_unix_s=1,
    round=0,
    verdict=0,
    appeal_ends_unix_s=0,
    is_closed=False,
    juror_pay=Wei(0),
)
CALLED = JuryState(
    size=7,
    opened_at_unix_s=1,
    seed_block=3,
    seed=bytes(32),
    draw_ends_unix_s=100,
    commit_ends_unix_s=0,
    reveal_ends_unix_s=0,
    seat_stake=Wei(1),
    rights=0,
    wrongs=0,
)
SEEDED = replace(CALLED, seed=bytes([1]) * 32)
DRAWN = replace(SEEDED, commit_ends_unix_s=200, reveal_ends_unix_s=300)
RULED = replace(CASE, verdict=2, appeal_ends_unix_s=400)


@pytest.mark.parametrize(
    ("case", "jury", "now", "wanted"),
    [
        (CASE, CALLED, 99, PhaseNow("seed", 100)),
        (CASE, SEEDED, 99, PhaseNow("draw", 100)),
        (CASE, CALLED, 100, PhaseNow("drawn", 0)),
        (CASE, SEEDED, 100, PhaseNow("drawn", 0)),
        (CASE, DRAWN, 199, PhaseNow("commit", 200)),
        (CASE, DRAWN, 200, PhaseNow("reveal", 300)),
        (CASE, DRAWN, 300, PhaseNow("count", 0)),
        (RULED, DRAWN, 399, PhaseNow("appeal", 400)),
        (RULED, DRAWN, 400, PhaseNow("close", 0)),
        (replace(RULED, round=2), DRAWN, 399, PhaseNow("close", 0)),
        (replace(RULED, is_closed=True), DRAWN, 399, PhaseNow("closed", 0)),
    ],
)
def test_phase_follows_the_clock(case: DisputeCase, jury: JuryState, now: int, wanted: PhaseNow) -> None:
    assert phase_of(case, jury, now) == wanted
