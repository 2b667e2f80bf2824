"""The vectors of chapter 08b, by skyops_p2p and by the second reader that shares no code with it."""

from random import Random
from typing import Any

from skyops_p2p.core.probes.draw import StakeFacts, bar_of, lot_of, rank_of
from skyops_p2p.core.probes.shelf import StatementShelf
from skyops_p2p.core.probes.statements import check_date, open_statement
from skyops_p2p.core.probes.tally import Evidence, Tally
from skyops_p2p.core.reputation.voices import Stake
from tests.vectors import second_probes as second
from tests.vectors.people import NOW, RULES
from tests.vectors.probe_cases import TIMES, fields
from tests.vectors.test_vectors import Case, everything, expect, raw


@everything("probe-draws")
def test_probe_draws(case: Case) -> None:  # PRB-3
    beacon, account, witness = (raw(case, name) for name in ("beacon", "account", "witness"))
    lot = lot_of(beacon, case["watch"], probed=account, witness=witness)
    assert str(lot) == str(second.lot(beacon, case["watch"], account, witness)) == case["lot"]
    assert str(rank_of(lot, case["stake"])) == str(second.rank(lot, case["stake"])) == case["rank"]
    is_drawn = int(case["rank"]) < bar_of(case["total"])
    assert is_drawn is second.is_drawn(int(case["rank"]), case["total"]) is case["is_drawn"]


@everything("probe-statements")
def test_probe_statements(case: Case) -> None:  # PRB-1, PRB-7, PRB-9
    def ours(case: Case) -> Any:
        statement = open_statement(raw(case), network=case["network"], times=TIMES)
        check_date(statement, TIMES, case["now"])
        return fields(statement)

    def theirs(case: Case) -> Any:
        return second.open_statement(raw(case), case["network"], case["now"])

    names = ("is", "witness", "watch", "outcomes")
    expect(case, {name: case.get(name) for name in names}, ours, theirs)


@everything("probe-counts")
def test_probe_counts(case: Case) -> None:  # PRB-13, REP-17
    facts = StakeFacts(
        {
            bytes.fromhex(who): Stake(amount, 0, is_slashed, registered)
            for who, (amount, registered, is_slashed) in case["stakes"].items()
        },
        case["total"],
        frozenset(map(bytes.fromhex, case["out"])),
    )
    beacons = {int(watch): bytes.fromhex(beacon) for watch, beacon in case["beacons"].items()}
    statements = [
        open_statement(bytes.fromhex(data), network=RULES.network, times=TIMES) for data in case["statements"]
    ]
    tally = Tally(TIMES)
    for seed in range(3):  # in whatever order they came, and counted once more
        Random(seed).shuffle(statements)
        shelf = StatementShelf()
        for statement in statements:
            assert shelf.put(statement)[0]
        found = tally.days(Evidence(shelf.watches(), beacons, facts))
        assert {
            who.hex(): [[epoch, day.probed, day.answered, day.announced] for epoch, day in sorted(of.items())]
            for who, of in found.items()
        } == case["days"]
    assert second.days(case, RULES.network, NOW) == case["days"]
