"""CIFAR-10 in its binary form, and images of the same shape that are made up, for trying a job without a download.

A record is a label from 0 to 9 and 3 x 32 x 32 bytes: red, green, blue, row by row. Standard library alone, so that it
can be tested where there is no PyTorch. Format: <https://www.cs.toronto.edu/~kriz/cifar.html>.
"""

import random
from pathlib import Path

CLASSES, SIDE = 10, 32
PIXELS = 3 * SIDE * SIDE
RECORD = 1 + PIXELS
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)


class DataError(Exception):
    """The data are not what CIFAR-10 is."""


def read_records(folder: Path, names: tuple[str, ...]) -> tuple[bytes, bytearray]:
    """Return the labels and the pixels of all records of some files, one after the other.

    Raises:
        DataError: A file is missing, cut off, or holds a label that is none.
    """
    labels, pixels = bytearray(), bytearray()
    for name in names:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is not there: see README.md for the download")
        data = path.read_bytes()
        if not data or len(data) % RECORD:
            raise DataError(f"{path} has {len(data)} bytes, which is no whole number of records of {RECORD}")
        for start in range(0, len(data), RECORD):
            labels.append(data[start])
            pixels += data[start + 1 : start + RECORD]
    if max(labels) >= CLASSES:
        raise DataError(f"there is a label {max(labels)}; labels go from 0 to {CLASSES - 1}")
    return bytes(labels), pixels


def made_up(count: int, seed: int) -> tuple[bytes, bytearray]:
    """Return labels and pixels of images that can be told apart: each class is a colour and a stripe, with noise.

    Args:
        count: How many images.
        seed: Equal seeds make equal images.
    """
    chance = random.Random(seed)
    labels = bytes(number % CLASSES for number in range(count))
    pixels = bytearray()
    for label in labels:
        for channel in range(3):
            base = 40 + 20 * ((label >> channel) & 1) + 15 * label
            for row in range(SIDE):
                light = base + (60 if row // 4 % CLASSES == label % 8 else 0)
                noise = chance.randbytes(SIDE)
                pixels += bytes(min(255, light + value % 48) for value in noise)
    return labels, pixels
