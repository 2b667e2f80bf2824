"""The compiled contracts, as they are committed under contracts/artifacts; an installed package has them inside."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import encode

IMMUTABLES_BYTES_MAX = 8 * 32
"""Behind a contract's code are the values with which it was deployed, a word each."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A contract that can be deployed."""

    name: str
    bytecode: bytes
    constructor: tuple[str, ...]
    """Types of what it is deployed with."""

    def creation(self, *values: Any) -> bytes:
        """Return the data of the transaction that deploys it."""
        return self.bytecode + encode(self.constructor, values)

    def is_code(self, code: bytes) -> bool:
        """Return whether what is at an account is this contract, whatever it was deployed with."""
        lengths = range(len(code) - IMMUTABLES_BYTES_MAX, len(code) + 1, 32)
        return len(code) > IMMUTABLES_BYTES_MAX and any(code[:size] in self.bytecode for size in lengths)


@cache
def artifact(name: str) -> Artifact:
    """Return a contract by its name."""
    tree = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    makers = [entry["inputs"] for entry in tree["abi"] if entry["type"] == "constructor"]
    types = tuple(item["type"] for inputs in makers for item in inputs)
    return Artifact(name, bytes.fromhex(tree["bytecode"].removeprefix("0x")), types)


def _folder() -> Path:
    """Return the folder: in the package if it was installed, else in the repository."""
    here = Path(__file__).resolve().parent
    inside = here / "artifacts"
    return inside if inside.is_dir() else here.parents[2] / "contracts" / "artifacts"
