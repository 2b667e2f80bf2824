"""The last block at or before an instant is found with few questions, on even chains and on odd ones."""

import random

import pytest

from skyops_p2p import limits
from skyops_p2p.core.chain.facts import Block
from skyops_p2p.core.chain.searching import BlockSearch
from skyops_p2p.errors import ChainError
from skyops_p2p.types import Wei


def block(number: int, unix_s: int) -> Block:
    return Block(number, number.to_bytes(32, "big"), bytes(32), unix_s, Wei(0))


def even(count: int) -> list[int]:
    return [1_700_000_000 + 12 * number for number in range(count)]


def odd(count: int) -> list[int]:
    draw = random.Random(count)
    gaps = [draw.choice((0, 1, 1, 2, 50_000)) for _ in range(count)]
    return [0, *(1_600_000_000 + sum(gaps[: number + 1]) for number in range(1, count))]  # block 0 is of 1970


def search(times: list[int], unix_s: int) -> tuple[int, int]:
    """Return the number that is found, and after how many questions."""
    found = BlockSearch(unix_s, first=block(0, times[0]), head=block(len(times) - 1, times[-1]))
    questions = 0
    while (number := found.wanted) is not None:
        found.take(block(number, times[number]))
        questions += 1
    return found.found.number, questions


@pytest.mark.parametrize("times", [even(1), even(2), even(1000), odd(400)], ids=len)
def test_every_instant_has_its_block(times: list[int]) -> None:
    instants = {t + d for t in times for d in (-1, 0, 1)}
    for unix_s in instants:
        wanted = max((number for number, at in enumerate(times) if at <= unix_s), default=0)
        assert search(times, unix_s)[0] == wanted


def test_few_questions_are_asked() -> None:
    times = even(100_000)
    assert max(search(times, times[0] + 997 * n)[1] for n in range(1000)) <= 4
    assert (
        max(search(odd(400), 1_600_000_000 + 40_000 * n)[1] for n in range(100)) < limits.BEACON_STEPS_MAX / 3
    )


def test_a_chain_that_moves_meanwhile_is_asked_again_later() -> None:
    found = BlockSearch(500, first=block(0, 0), head=block(10, 1000))
    with pytest.raises(ChainError) as caught:
        found.take(block(5, 2000))
    assert caught.value.code == "chain_moved"
    with pytest.raises(ChainError):
        found.take(block(11, 600))
