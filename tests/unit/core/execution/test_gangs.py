"""EXE-27, EXE-33: what a gang's lease must say, what a member sees, and from which checkpoints all go on."""

from typing import Any

import pytest

from skyops_p2p.core.execution.gangs import Gang, common_cut, gang_environment
from skyops_p2p.core.execution.opening import check_opening
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.gang import GangMemberPart, GangPart
from tests.unit.core.execution.offers import job, request_for, terms_of
from tests.unit.core.people import BOB, CAROL, MALLORY, NOW, RULES, Person

CREW = ((3, BOB), (5, CAROL))


def part(*crew: tuple[int, Person]) -> GangPart:
    members = [
        GangMemberPart(rank=rank, peer=peer_id_to_bytes(who.peer), addrs=("/ip4/127.0.0.1/tcp/4003",))
        for rank, who in crew
    ]
    return GangPart(token=bytes([0xD0] * 32), attempt=2, members=tuple(members))


def open_gang(gang: GangPart | None, *, is_gang: bool = True, **changes: Any) -> Gang | None:
    """Let alice open a lease of shard 3 with bob."""
    of = job(gang=is_gang)
    request = request_for(of, gang=gang, **changes)
    return check_opening(request, terms_of(of), network=RULES.network, own=BOB.peer, now=NOW).gang


def test_member_knows_the_others_and_its_own_rank() -> None:
    gang = open_gang(part(*CREW))
    assert gang is not None
    assert (gang.rank, gang.world_size, gang.attempt, gang.others()) == (3, 8, 2, (5,))
    assert gang.has(5, CAROL.peer)
    assert not gang.has(5, MALLORY.peer)
    assert not gang.has(4, CAROL.peer)
    assert not gang.has(3, BOB.peer), "nobody else is this member itself"
    assert gang.token.hex() not in repr(gang)


def test_gang_of_one_is_left_when_the_others_have_ended() -> None:
    gang = open_gang(part((3, BOB)))
    assert gang is not None
    assert gang.others() == ()


@pytest.mark.parametrize(
    "crew",
    [
        ((3, BOB), (8, CAROL)),
        ((5, CAROL), (3, BOB)),
        ((3, BOB), (3, CAROL)),
        ((3, CAROL), (5, BOB)),
        ((5, CAROL),),
    ],
    ids=["no such shard", "out of order", "twice", "another worker's shard", "without this one"],
)
def test_members_that_cannot_be_are_refused(crew: tuple[tuple[int, Person], ...]) -> None:  # EXE-27
    with pytest.raises(RemoteProtocolError) as refused:
        open_gang(part(*crew))
    assert (refused.value.code, refused.value.rule) == ("spec_refused", "EXE-27")


@pytest.mark.parametrize("is_gang", [True, False])
def test_members_without_a_gang_and_a_gang_without_members_are_refused(is_gang: bool) -> None:  # EXE-27
    with pytest.raises(RemoteProtocolError) as refused:
        open_gang(None if is_gang else part(*CREW), is_gang=is_gang)
    assert (refused.value.code, refused.value.rule) == ("spec_refused", "EXE-27")


def test_member_finds_its_gang_in_its_environment() -> None:  # EXE-33
    gang = open_gang(part(*CREW))
    assert gang is not None
    assert gang_environment(gang) == {
        "SKYOPS_GANG_DIR": "/skyops/gang",
        "SKYOPS_GANG_ATTEMPT": "2",
        "SKYOPS_GANG_MEMBERS": "3,5",
        "SKYOPS_RANK": "3",
        "SKYOPS_WORLD_SIZE": "8",
    }


@pytest.mark.parametrize(
    ("labels", "back"),
    [
        ([["step-10", "step-20"], ["step-10", "step-20"]], (0, 0)),
        ([["step-10", "step-20"], ["step-20", "step-30"], ["step-20"]], (0, 1, 0)),
        ([["step-10", "step-20"], ["step-0", "step-10"]], (1, 0)),
        ([["a", "b"], ["c", "d"]], (0, 0)),
        ([["step-10"], []], (0, 0)),
        ([["x", "x"], ["x", "y"]], (0, 1)),
        ([], ()),
    ],
)
def test_gang_goes_on_from_the_newest_label_that_all_have(
    labels: list[list[str]], back: tuple[int, ...]
) -> None:
    assert common_cut(labels) == back
