"""Where test networks live, and which one is meant when none is named."""

import re
from pathlib import Path

from skyops_p2p.errors import TestnetError
from skyops_p2p.testnet.record import NAME_PATTERN, RECORD_NAME, TestnetRecord, read_record

DEFAULT_NAME = "local"


def state_root() -> Path:
    """Return the directory of everything about test networks, ~/.local/state/skyops."""
    import platformdirs

    return Path(platformdirs.user_state_dir("skyops", appauthor=False))


def testnets_root() -> Path:
    """Return the directory that holds one directory for each named test network."""
    return state_root() / "testnets"


testnets_root.__test__ = False  # type: ignore[attr-defined] # keeps pytest from collecting it by its name


def place_of(name: str | None, directory: Path | None) -> Path:
    """Return the directory of a test network that may not exist yet.

    Raises:
        TestnetError: `name_invalid`.
    """
    if directory is not None:
        return directory.expanduser().absolute()
    chosen = name or DEFAULT_NAME
    if not re.fullmatch(NAME_PATTERN, chosen):
        raise TestnetError(
            f"{chosen!r} is no name for a test network",
            code="name_invalid",
            hint="Use lower-case letters, digits and dashes, at most 32.",
        )
    return testnets_root() / chosen


def find_existing(name: str | None, directory: Path | None) -> Path:
    """Return the directory of the test network that is meant: the named one, else the only one, else "local".

    Raises:
        TestnetError: `testnet_unknown`, `testnet_ambiguous` or `name_invalid`.
    """
    if name is not None or directory is not None:
        place = place_of(name, directory)
        read_record(place)
        return place
    known = list_existing()
    if len(known) == 1:
        return known[0][0]
    if any(place.name == DEFAULT_NAME for place, _ in known):
        return testnets_root() / DEFAULT_NAME
    if not known:
        raise TestnetError(
            "there is no test network", code="testnet_unknown", hint="`skyops testnet up` starts one."
        )
    names = ", ".join(place.name for place, _ in known)
    raise TestnetError(
        f"there are several test networks: {names}",
        code="testnet_ambiguous",
        hint="Say which one with --name.",
    )


def list_existing() -> tuple[tuple[Path, TestnetRecord], ...]:
    """Return the named test networks that have a record, by name."""
    paths = sorted(testnets_root().glob(f"*/{RECORD_NAME}"))
    return tuple((path.parent, read_record(path.parent)) for path in paths)
