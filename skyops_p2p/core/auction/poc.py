"""Proof of compute: a chain of exact integer matrix products that a verifier checks at a fraction of the work.

Spec: protocol/04-auction.md, "Proof of compute". It proves that a key can do so many operations a second now; not the
model's name, not exclusive use, not that the next job is computed. Integers make the result the same on every machine.

A_0 and B are drawn from the challenge; A_{k+1} = fold(A_k B), where `fold` takes a product's scrambled high byte, so
that no step can be skipped. Each `stride` steps the rows are committed to in a Merkle tree. The verifier draws rows
from the root and its own secret, and checks each of their steps by Freivalds' test (1977): c r = a (B r) for a random
r, which a wrong c passes with a probability of 2^-16. A prover that computed only a part p of the rows passes q drawn
rows with p^q. Source of the idea: the matrix challenge of PrimeIntellect's gpu-challenge.

Matrices are bytes: factors one signed byte an entry, products four, little-endian, row by row. The arithmetic is in
`poc_arithmetic`; a GPU is used by giving `run` the one that `adapters.cuda.fastest_arithmetic` finds.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.auction.merkle import MerkleTree, is_in_tree, leaf_hash
from skyops_p2p.core.auction.poc_arithmetic import Arithmetic, best_arithmetic
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import RemoteProtocolError

_DOMAIN = b"skyops/poc/1"


@dataclass(frozen=True, slots=True)
class Parameters:
    """How large a challenge is."""

    size: int
    """Rows and columns of the matrices, 1 to PROOF_SIZE_MAX."""
    checkpoints: int
    """Commitments after the first, at least 1."""
    stride: int = 1
    """Products from one commitment to the next."""

    @property
    def operations(self) -> int:
        """Multiplications and additions of the whole chain."""
        return 2 * self.size**3 * self.checkpoints * self.stride

    @property
    def leaves(self) -> int:
        """Rows committed to."""
        return self.size * (self.checkpoints + 1)


@dataclass(frozen=True, slots=True)
class Opening:
    """One row from one checkpoint to the next, with all products between."""

    index: int
    """Leaf where it begins: checkpoint times size plus row."""
    start: bytes
    """Row of a factor, `size` bytes."""
    start_path: tuple[bytes, ...]
    products: tuple[bytes, ...]
    """The row of each product, `stride` of them, 4 * `size` bytes each."""
    end_path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a prover keeps until the rows are drawn."""

    parameters: Parameters
    arithmetic: Arithmetic
    matrix: bytes
    """B."""
    checkpoints: tuple[bytes, ...]
    """A_0 and each `stride`-th factor after it."""
    tree: MerkleTree


def challenge_of(beacon: bytes, peer: bytes) -> bytes:
    """Return the seed of a peer's challenge at a common beacon: one device cannot answer for two peers at a time.

    Rules: AUC-24.
    """
    return sha256(_DOMAIN + sha256(beacon) + peer)


def run(challenge: bytes, parameters: Parameters, *, arithmetic: Arithmetic | None = None) -> Transcript:
    """Do the work; the root of the transcript's tree is the answer. Takes long: call it in a worker thread.

    Args:
        challenge: 32 bytes.
        parameters: How much.
        arithmetic: The fastest at hand if it is not given.

    Rules: AUC-24.
    """
    unit = arithmetic or best_arithmetic()
    first, matrix = matrices(challenge, parameters.size)
    checkpoints = [first]
    for _ in range(parameters.checkpoints):
        current = checkpoints[-1]
        for _ in range(parameters.stride):
            current = unit.advance(current, matrix, parameters.size)
        checkpoints.append(current)
    size = parameters.size
    leaves = [leaf_hash(part[at : at + size]) for part in checkpoints for at in range(0, len(part), size)]
    return Transcript(parameters, unit, matrix, tuple(checkpoints), MerkleTree(leaves))


def draw_rows(root: bytes, secret: bytes, parameters: Parameters, *, count: int) -> tuple[int, ...]:
    """Return the leaves that a prover must open, drawn after it gave its root.

    Args:
        root: The prover's answer.
        secret: 32 random bytes of the verifier, shown only now.
        parameters: Of the challenge.
        count: How many, 1 to PROOF_ROWS_MAX; some may be drawn twice.

    Rules: AUC-24.
    """
    assert 1 <= count <= limits.PROOF_ROWS_MAX
    drawn = (sha256(root + secret + n.to_bytes(4, "big")) for n in range(count))
    return tuple(int.from_bytes(d[:8], "big") % (parameters.size * parameters.checkpoints) for d in drawn)


def open_rows(transcript: Transcript, drawn: Sequence[int]) -> tuple[Opening, ...]:
    """Show rows from their checkpoints to the next, in the order in which they were drawn.

    The products between are computed again, for all rows together: that costs hardly more than for one.

    Rules: AUC-24.
    """
    parameters, unit = transcript.parameters, transcript.arithmetic
    size, width = parameters.size, 4 * parameters.size
    starts = [transcript.checkpoints[index // size][index % size * size :][:size] for index in drawn]
    current, products = b"".join(starts), list[bytes]()
    for _ in range(parameters.stride):
        products.append(unit.multiply(current, transcript.matrix, size))
        current = unit.fold(products[-1])
    return tuple(
        Opening(
            index=index,
            start=start,
            start_path=transcript.tree.path(index),
            products=tuple(product[at * width : (at + 1) * width] for product in products),
            end_path=transcript.tree.path(index + size),
        )
        for at, (index, start) in enumerate(zip(drawn, starts, strict=True))
    )


def check_openings(
    challenge: bytes,
    root: bytes,
    openings: Sequence[Opening],
    *,
    parameters: Parameters,
    secret: bytes,
    count: int,
) -> None:
    """Refuse an answer whose drawn rows are not what the challenge gives.

    Args:
        challenge: 32 bytes.
        root: The answer.
        openings: As many as were drawn, in their order.
        parameters: Of the challenge.
        secret: What the rows were drawn with; the vector of Freivalds' test comes from it too.
        count: How many rows were drawn.

    Raises:
        RemoteProtocolError: Code `proof_fails`.

    Rules: AUC-24.
    """
    drawn = draw_rows(root, secret, parameters, count=count)
    if tuple(opening.index for opening in openings) != drawn:
        raise _refusal("not the rows that were drawn")
    size = parameters.size
    first, matrix = matrices(challenge, size)
    test = _Freivalds(best_arithmetic(), matrix, secret, size)
    for opening in openings:
        _check_opening(opening, parameters, root, test)
        if opening.index < size and opening.start != first[opening.index * size :][:size]:
            raise _refusal("the chain does not begin with the challenge")


def matrices(challenge: bytes, size: int) -> tuple[bytes, bytes]:
    """Return A_0 and B: SHAKE-128 (FIPS 202) over the challenge, row by row. Rules: AUC-24."""
    assert 1 <= size <= limits.PROOF_SIZE_MAX
    stream = hashlib.shake_128(_DOMAIN + challenge).digest(2 * size * size)
    return stream[: size * size], stream[size * size :]


def throughput_of(parameters: Parameters, elapsed_ms: int) -> int:
    """Return 10^6 operations a second, at least 1, from the challenge sent to the root received. Rules: AUC-39."""
    return max(1, parameters.operations // (max(1, elapsed_ms) * 1_000))


class _Freivalds:
    """The random vector r of one verification, and B r."""

    def __init__(self, arithmetic: Arithmetic, matrix: bytes, secret: bytes, size: int) -> None:
        self.arithmetic = arithmetic
        stream = hashlib.shake_128(_DOMAIN + b"/r" + secret).digest(2 * size)
        self._vector = tuple(int.from_bytes(stream[at : at + 2], "big") for at in range(0, 2 * size, 2))
        self._image = arithmetic.apply(matrix, self._vector, 1)

    def holds(self, row: bytes, product: bytes) -> bool:
        (left,) = self.arithmetic.apply(product, self._vector, 4)
        (right,) = self.arithmetic.apply(row, self._image, 1)
        return left == right


def _check_opening(opening: Opening, parameters: Parameters, root: bytes, test: _Freivalds) -> None:
    sizes = [len(product) for product in opening.products]
    if len(opening.start) != parameters.size or sizes != [4 * parameters.size] * parameters.stride:
        raise _refusal("a row of another length")
    current = opening.start
    for product in opening.products:
        if not test.holds(current, product):
            raise _refusal("a product is wrong")
        current = test.arithmetic.fold(product)
    ends = (
        (opening.index, opening.start, opening.start_path),
        (opening.index + parameters.size, current, opening.end_path),
    )
    for index, row, path in ends:
        if not is_in_tree(root, index, leaf_hash(row), path, count=parameters.leaves):
            raise _refusal("a row is not in the tree")


def _refusal(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code="proof_fails", rule="AUC-24")
