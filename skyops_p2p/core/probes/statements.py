"""What a witness says of one watch: made, signed, read and checked. Pure.

Spec: protocol/08b-probes.md, "Statements".
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.reputation.conduct import Outcome
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes, recover_account
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.messages.probes import ProbedPart, ProbeStatement, SignedStatement
from skyops_p2p.wire.model import decode_message, encode_message

_DOMAIN = b"skyops/probe-statement/1"
_NAME_DOMAIN = b"skyops/probe-name/1"
STATEMENT_KEYS = "statement/"
"""How statements are kept: by their name, in hex."""
_QUADS = tuple(tuple(Outcome(byte >> shift & 3) for shift in (0, 2, 4, 6)) for byte in range(256))
"""Four outcomes for each byte."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that was checked."""

    data: bytes
    """Encoded SignedStatement: what is held and passed on."""
    name: bytes
    """32 bytes: what it is asked for by."""
    witness: bytes
    watch: int
    probed: tuple[tuple[bytes, bytes], ...]
    """Accounts, ascending, with their packed outcomes."""

    @property
    def key(self) -> str:
        """Under which it is kept."""
        return STATEMENT_KEYS + self.name.hex()


def packed(outcomes: Sequence[Outcome]) -> bytes:
    """Return outcomes of a watch's slots, four to a byte, the first in the lowest bits. Rules: PRB-7."""
    whole = sum(outcome << 2 * place for place, outcome in enumerate(outcomes))
    return whole.to_bytes(-(-len(outcomes) // 4), "little")


def unpacked(data: bytes, slots: int) -> tuple[Outcome, ...]:
    """Return the outcomes of `slots` slots."""
    return tuple(itertools.chain.from_iterable(_QUADS[byte] for byte in data))[:slots]


def make_statement(
    probed: Mapping[bytes, Sequence[Outcome]], watch: int, wallet: Wallet, network: str
) -> Statement | None:
    """Sign what a witness has seen in one watch.

    Args:
        probed: Account -> what came of each slot; beyond PROBED_MAX accounts those with the fewest are left out.
        watch: Counted from 1970.
        wallet: Of the witness.
        network: Name of the network.

    Returns:
        None if it has asked nobody.

    Rules: PRB-4, PRB-8.
    """
    said = {who: rows for who, rows in probed.items() if any(rows)}
    most = sorted(said, key=lambda who: (-sum(1 for row in said[who] if row), who))[: limits.PROBED_MAX]
    if not most:
        return None
    parts = tuple(ProbedPart(account=who, outcomes=packed(said[who])) for who in sorted(most))
    witness = address_to_bytes(wallet.address)
    statement = ProbeStatement(network=network, watch=watch, witness=witness, probed=parts)
    data = encode_message(statement)
    signed = SignedStatement(statement=data, signature=wallet.sign_digest(_digest(data)))
    return _held(encode_message(signed), data, statement)


def open_statement(data: bytes, *, network: str, times: ProbeTimes) -> Statement:
    """Decode and check a statement that a peer sent.

    Raises:
        RemoteProtocolError: As decoding raises; `wrong_network`; `malformed`: accounts out of order, the witness among
            them, or outcomes of another length or without any; `bad_signature`: not by the witness's wallet.

    Rules: PRB-9.
    """
    signed = decode_message(SignedStatement, data)
    statement = decode_message(ProbeStatement, signed.statement)
    if statement.network != network:
        raise RemoteProtocolError("a statement of another network", code="wrong_network", rule="PRB-9")
    accounts = [part.account for part in statement.probed]
    if accounts != sorted(set(accounts)) or statement.witness in accounts:
        raise RemoteProtocolError("accounts out of order", code="malformed", rule="PRB-9")
    for part in statement.probed:
        whole = int.from_bytes(part.outcomes, "little")
        if len(part.outcomes) != times.outcome_bytes or not 0 < whole < 1 << 2 * times.watch_slots:
            raise RemoteProtocolError("outcomes of other slots", code="malformed", rule="PRB-9")
    if recover_account(_digest(signed.statement), signed.signature) != statement.witness:
        raise RemoteProtocolError("not signed by its witness", code="bad_signature", rule="PRB-9")
    return _held(data, signed.statement, statement)


def check_date(statement: Statement, times: ProbeTimes, now: UnixMs) -> None:
    """Refuse a watch that is not over yet, or that counts no more.

    Raises:
        RemoteProtocolError: `not_yet_valid`, `expired`.

    Rules: PRB-9.
    """
    if times.watch_start(statement.watch + 1) > now + limits.CLOCK_SKEW_MS_MAX:
        raise RemoteProtocolError("a watch that is not over", code="not_yet_valid", rule="PRB-9")
    if times.is_old(statement.watch, now):
        raise RemoteProtocolError("a watch that counts no more", code="expired", rule="PRB-9")


def kept_statement(data: bytes) -> Statement:
    """Return a statement of the own store, which was checked before it was kept."""
    signed = decode_message(SignedStatement, data)
    return _held(data, signed.statement, decode_message(ProbeStatement, signed.statement))


def _held(data: bytes, inner: bytes, statement: ProbeStatement) -> Statement:
    return Statement(
        data,
        sha256(_NAME_DOMAIN + inner),
        statement.witness,
        statement.watch,
        tuple((part.account, part.outcomes) for part in statement.probed),
    )


def _digest(statement: bytes) -> bytes:
    return sha256(_DOMAIN + sha256(statement))
