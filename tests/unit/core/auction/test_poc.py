"""AUC-24, AUC-25: an honest prover passes with every arithmetic; each way of not doing the work is found."""

import sys
from array import array
from dataclasses import replace

import pytest

from skyops_p2p.core.auction import poc, poc_memory
from skyops_p2p.core.auction.merkle import MerkleTree, is_in_tree, leaf_hash
from skyops_p2p.core.auction.poc import Opening, Parameters, Transcript
from skyops_p2p.core.auction.poc_arithmetic import (
    FOLD,
    Arithmetic,
    NumpyArithmetic,
    PlainArithmetic,
    best_arithmetic,
)
from skyops_p2p.core.auction.poc_memory import Layout, Place
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import RemoteProtocolError
from tests.unit.core.auction.market import Worker
from tests.unit.core.people import BOB, CAROL

CHALLENGE = poc.challenge_of(b"beacon", Worker(BOB).bidder)
SECRET = bytes([9] * 32)
PARAMETERS = Parameters(size=12, checkpoints=3, stride=2)
COUNT = 20
LAYOUT = Layout(lanes=4, rows=25)


def arithmetics() -> list[Arithmetic]:
    numpy = pytest.importorskip("numpy")
    return [PlainArithmetic(), NumpyArithmetic(numpy)]


# --- matrices ---------------------------------------------------------------------------------------------------
def answer(transcript: Transcript, secret: bytes = SECRET) -> list[Opening]:
    drawn = poc.draw_rows(transcript.tree.root, secret, transcript.parameters, count=COUNT)
    return list(poc.open_rows(transcript, drawn))


def verify(transcript: Transcript, openings: list[Opening], challenge: bytes = CHALLENGE) -> None:
    root = transcript.tree.root
    poc.check_openings(
        challenge, root, openings, parameters=transcript.parameters, secret=SECRET, count=COUNT
    )


def refused(transcript: Transcript, openings: list[Opening], challenge: bytes = CHALLENGE) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        verify(transcript, openings, challenge)
    assert (caught.value.code, caught.value.rule) == ("proof_fails", "AUC-24")
    return caught.value.message


def test_both_arithmetics_agree_with_the_definition() -> None:
    left, right = bytes(range(250, 256)) + bytes(range(6)), bytes(range(100, 136))
    a, b = array("b", left), array("b", right)
    wanted = [sum(a[i * 6 + k] * b[k * 6 + j] for k in range(6)) for i in range(2) for j in range(6)]
    folded = bytes(((c * FOLD) % 2**32) >> 24 for c in wanted)
    for unit in arithmetics():
        product = unit.multiply(left, right, 6)
        assert [
            int.from_bytes(product[at : at + 4], "little", signed=True) for at in range(0, 48, 4)
        ] == wanted
        assert unit.fold(product) == folded
        assert unit.apply(left, (1, 2, 3, 4, 5, 65_535), 1) == tuple(
            sum(a[i * 6 + k] * v for k, v in enumerate((1, 2, 3, 4, 5, 65_535))) for i in range(2)
        )


def test_extreme_entries_are_exact() -> None:
    lowest = b"\x80" * 64
    for unit in arithmetics():
        product = unit.multiply(lowest, lowest, 8)
        assert product == (8 * 128 * 128).to_bytes(4, "little") * 64


def test_every_arithmetic_gives_the_same_root() -> None:
    roots = {poc.run(CHALLENGE, PARAMETERS, arithmetic=unit).tree.root for unit in arithmetics()}
    assert len(roots) == 1


def test_without_numpy_plain_python_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert isinstance(best_arithmetic(), PlainArithmetic)
    transcript = poc.run(CHALLENGE, PARAMETERS)
    verify(transcript, answer(transcript))


def test_honest_prover_passes() -> None:
    for parameters in (PARAMETERS, Parameters(size=1, checkpoints=1), Parameters(size=40, checkpoints=2)):
        transcript = poc.run(CHALLENGE, parameters)
        verify(transcript, answer(transcript))


def test_challenges_differ_by_peer_and_beacon() -> None:
    bob, carol = Worker(BOB).bidder, Worker(CAROL).bidder
    seeds = {poc.challenge_of(beacon, peer) for beacon in (b"1", b"2") for peer in (bob, carol)}
    assert len(seeds) == 4
    transcript = poc.run(poc.challenge_of(b"beacon", carol), PARAMETERS)
    assert refused(transcript, answer(transcript))


def test_chain_that_begins_elsewhere() -> None:
    transcript = poc.run(bytes(32), Parameters(size=12, checkpoints=1))
    honest = poc.run(CHALLENGE, Parameters(size=12, checkpoints=1))
    mixed = replace(transcript, matrix=honest.matrix)
    first = mixed.checkpoints[0]
    unit = mixed.arithmetic
    second = unit.fold(unit.multiply(first, honest.matrix, 12))
    leaves = [leaf_hash(m[at : at + 12]) for m in (first, second) for at in range(0, 144, 12)]
    forged = replace(mixed, checkpoints=(first, second), tree=MerkleTree(leaves))
    assert refused(forged, answer(forged)) == "the chain does not begin with the challenge"


def test_work_that_was_skipped() -> None:
    honest = poc.run(CHALLENGE, PARAMETERS)
    lazy = (*honest.checkpoints[:2], honest.checkpoints[1], honest.checkpoints[1])
    leaves = [leaf_hash(m[at : at + 12]) for m in lazy for at in range(0, 144, 12)]
    forged = replace(honest, checkpoints=lazy, tree=MerkleTree(leaves))
    assert refused(forged, answer(forged)) == "a row is not in the tree"


def test_product_that_is_made_to_fit_the_tree() -> None:
    transcript = poc.run(CHALLENGE, PARAMETERS)
    openings = answer(transcript)
    first = openings[0]
    wrong = bytes([first.products[0][0] ^ 1]) + first.products[0][1:]
    openings[0] = replace(first, products=(wrong, *first.products[1:]))
    assert refused(transcript, openings) == "a product is wrong"


@pytest.mark.parametrize(
    "changes",
    [
        {"start": b""},
        {"start": bytes(12)},
        {"products": ()},
        {"products": (bytes(48),)},
        {"products": (bytes(4), bytes(48))},
        {"start_path": ()},
        {"end_path": (bytes(32),) * 9},
        {"index": 1_000_000},
    ],
)
def test_openings_with_wrong_parts(changes: dict[str, object]) -> None:
    transcript = poc.run(CHALLENGE, PARAMETERS)
    openings = answer(transcript)
    openings[0] = replace(openings[0], **changes)
    assert refused(transcript, openings)


def test_rows_are_drawn_and_not_chosen() -> None:
    transcript = poc.run(CHALLENGE, PARAMETERS)
    assert refused(transcript, answer(transcript, bytes(32))) == "not the rows that were drawn"
    assert refused(transcript, answer(transcript)[:-1]) == "not the rows that were drawn"


def test_throughput_in_millions_a_second_and_never_nothing() -> None:  # AUC-39
    parameters = Parameters(size=1000, checkpoints=5, stride=2)
    assert parameters.operations == 20_000_000_000
    assert poc.throughput_of(parameters, 100) == 200_000
    assert poc.throughput_of(parameters, 0) == 20_000_000
    assert poc.throughput_of(Parameters(size=1, checkpoints=1), 1000) == 1


# --- memory -----------------------------------------------------------------------------------------------------
def places_of(filled: poc_memory.Filled, count: int = 12) -> list[Place]:
    drawn = poc_memory.draw_places(filled.tree.root, SECRET, filled.layout, count=count)
    return [poc_memory.show(filled, index) for index in drawn]


def check(filled: poc_memory.Filled, places: list[Place], challenge: bytes = CHALLENGE) -> None:
    poc_memory.check_places(challenge, filled.tree.root, places, layout=filled.layout, secret=SECRET)


def test_filled_memory_passes() -> None:
    for layout in (LAYOUT, Layout(lanes=1, rows=2), Layout(lanes=7, rows=3)):
        filled = poc_memory.fill(CHALLENGE, layout)
        check(filled, places_of(filled))


def test_memory_of_another_challenge_or_with_other_places() -> None:
    filled = poc_memory.fill(CHALLENGE, LAYOUT)
    places = places_of(filled)
    wrong_block = replace(places[0], block=replace(places[0].block, block=bytes(32)))
    wrong_before = replace(places[0], before=replace(places[0].before, index=0))
    for bad, challenge in (
        (places, bytes(32)),
        (places[::-1], CHALLENGE),
        ([], CHALLENGE),
        (places * 30, CHALLENGE),
        ([wrong_block, *places[1:]], CHALLENGE),
        ([wrong_before, *places[1:]], CHALLENGE),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            check(filled, list(bad), challenge)
        assert (caught.value.code, caught.value.rule) == ("proof_fails", "AUC-25")


def test_memory_that_was_not_filled_as_it_should() -> None:
    honest = poc_memory.fill(CHALLENGE, LAYOUT)
    blocks = tuple(sha256(bytes([n])) for n in range(LAYOUT.blocks))
    forged = replace(honest, blocks=blocks, tree=MerkleTree([leaf_hash(block) for block in blocks]))
    with pytest.raises(RemoteProtocolError, match="a block is wrong"):
        check(forged, places_of(forged))


# --- trees ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("count", range(1, 18))
def test_every_leaf_of_every_size_is_shown(count: int) -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(count)]
    tree = MerkleTree(leaves)
    for index in range(count):
        path = tree.path(index)
        assert is_in_tree(tree.root, index, leaves[index], path, count=count)
        assert not is_in_tree(tree.root, index, leaf_hash(b"x"), path, count=count)
        assert not is_in_tree(tree.root, index, leaves[index], (*path, bytes(32)), count=count)
        assert not is_in_tree(tree.root, count, leaves[index], path, count=count)
        assert count == 1 or not is_in_tree(tree.root, index, leaves[index], path[:-1], count=count)
        assert count == 1 or not is_in_tree(tree.root, (index + 1) % count, leaves[index], path, count=count)
