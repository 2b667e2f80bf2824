"""Sealed chunks: equal content in an equal place gives the same block, and no block opens anywhere else."""

import pytest

from skyops_p2p.crypto import chunks
from skyops_p2p.crypto.chunks import Place, Purpose, chunk_keys, open_chunk, seal_chunk
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import CONTENT_CHUNK_BYTES, CONTENT_OBJECT_BYTES_MAX

KEYS = chunk_keys(bytes(range(32)))
OTHER_JOB = chunk_keys(bytes(32))
FIRST_OF_TWO = Place(Purpose.FILE, 0, 2)


def refused(keys: chunks.ChunkKeys, block: bytes, place: Place) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        open_chunk(keys, block, place)
    return caught.value.code


def test_a_chunk_opens_in_its_place() -> None:
    assert open_chunk(KEYS, seal_chunk(KEYS, b"weights", FIRST_OF_TWO), FIRST_OF_TWO) == b"weights"


def test_equal_content_in_an_equal_place_is_one_block() -> None:  # CON-3
    assert seal_chunk(KEYS, b"same", FIRST_OF_TWO) == seal_chunk(KEYS, b"same", FIRST_OF_TWO)


@pytest.mark.parametrize(
    "place",
    [
        Place(Purpose.FILE, 1, 2),
        Place(Purpose.FILE, 0, 1),
        Place(Purpose.FILE, 0, 3),
        Place(Purpose.MANIFEST, 0, 2),
    ],
    ids=["reordered", "cut short", "grown", "a list of files as a file"],
)
def test_a_chunk_opens_in_no_other_place(place: Place) -> None:  # CON-4
    assert refused(KEYS, seal_chunk(KEYS, b"weights", FIRST_OF_TWO), place) == "bad_ciphertext"


def test_every_difference_gives_another_nonce() -> None:  # CON-3
    sealed = [
        seal_chunk(KEYS, b"a", FIRST_OF_TWO),
        seal_chunk(KEYS, b"b", FIRST_OF_TWO),
        seal_chunk(KEYS, b"a", Place(Purpose.FILE, 1, 2)),
        seal_chunk(KEYS, b"a", Place(Purpose.FILE, 0, 3)),
        seal_chunk(KEYS, b"a", Place(Purpose.MANIFEST, 0, 2)),
        seal_chunk(OTHER_JOB, b"a", FIRST_OF_TWO),
    ]
    assert len({block[: chunks.NONCE_BYTES] for block in sealed}) == len(sealed)


def test_a_chunk_of_another_job_is_refused() -> None:  # CON-1
    assert refused(OTHER_JOB, seal_chunk(KEYS, b"weights", FIRST_OF_TWO), FIRST_OF_TWO) == "bad_ciphertext"


@pytest.mark.parametrize("at", [0, 23, 24, 30, -1])
def test_a_flipped_bit_is_refused(at: int) -> None:
    block = bytearray(seal_chunk(KEYS, b"weights", FIRST_OF_TWO))
    block[at] ^= 1
    assert refused(KEYS, bytes(block), FIRST_OF_TWO) == "bad_ciphertext"


def test_blocks_of_impossible_sizes_are_malformed() -> None:
    assert refused(KEYS, bytes(39), FIRST_OF_TWO) == "malformed"
    assert refused(KEYS, bytes(CONTENT_CHUNK_BYTES + 41), FIRST_OF_TWO) == "malformed"
    assert refused(KEYS, bytes(40), FIRST_OF_TWO) == "bad_ciphertext"


def test_a_full_chunk_makes_a_block_of_256_kib() -> None:  # CON-2
    assert len(seal_chunk(KEYS, bytes(CONTENT_CHUNK_BYTES), FIRST_OF_TWO)) == 256 * 1024


@pytest.mark.parametrize(
    ("size", "count", "last"),
    [(0, 1, 0), (1, 1, 1), (CONTENT_CHUNK_BYTES, 1, CONTENT_CHUNK_BYTES), (CONTENT_CHUNK_BYTES + 1, 2, 1)],
)
def test_chunks_are_full_but_the_last(size: int, count: int, last: int) -> None:  # CON-2
    assert chunks.chunk_count(size) == count
    assert chunks.chunk_size(size, count - 1) == last
    assert chunks.sealed_size(size) == size + 40 * count


def test_objects_have_a_bound() -> None:
    assert chunks.chunk_count(CONTENT_OBJECT_BYTES_MAX) > 0
    for size in (-1, CONTENT_OBJECT_BYTES_MAX + 1):
        with pytest.raises(LocalProtocolError):
            chunks.chunk_count(size)


def test_our_own_mistakes_are_told() -> None:
    for plaintext, place in (
        (bytes(CONTENT_CHUNK_BYTES + 1), FIRST_OF_TWO),
        (b"", Place(Purpose.FILE, 2, 2)),
        (b"", Place(Purpose.FILE, -1, 2)),
    ):
        with pytest.raises(LocalProtocolError):
            seal_chunk(KEYS, plaintext, place)
    with pytest.raises(LocalProtocolError):
        chunk_keys(bytes(31))


def test_keys_are_not_shown() -> None:
    assert KEYS.cipher.hex() not in repr(KEYS)
    assert repr(KEYS.cipher) not in repr(KEYS)
