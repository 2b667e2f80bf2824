"""What the score depends on besides evidence: one set for a network, named by its digest. Pure.

Two nodes with the same evidence and the same digest have the same scores. Reasons stand in protocol/08-reputation.md,
"Parameters".
"""

from dataclasses import dataclass, fields

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire import canonical

_DOMAIN = b"skyops/reputation/1"


@dataclass(frozen=True, slots=True)
class Parameters:
    """The defaults are the protocol's."""

    unit: int = 1_000_000
    """The value that counts as one job, microcredits."""
    half_life: int = 25
    """Of all evidence but fraud, epochs."""
    fraud_half_life: int = 60
    """Of fraud memory, epochs."""
    propagation_permille: int = 250
    """Part of a voice that comes from others (alpha); the rest comes from stake."""
    rounds: int = 4
    """How often voices are passed on."""
    loudness: int = 2
    """Share of all counted evidence that a voice may fill, in multiples of itself (kappa)."""
    wrong_weight: int = 5
    """Good jobs that one wrong result outweighs (lambda)."""
    pair_cap: int = 5
    """What one rater's good jobs tend to at most, units."""
    prior_weight: int = 3
    """Units of evidence that the prior counts as."""
    prior: int = 200_000
    """Accuracy of a stranger without stake, millionths."""
    prior_of_stake: int = 250_000
    """Added to it for the whole reference stake, millionths."""
    stake_reference: int = 100_000_000
    """Stake that gets all of that, microcredits: the least stake of a registered node."""
    stake_epochs: int = 10
    """Epochs until a stake speaks in full."""
    gate: int = 400_000
    """Least accuracy and credibility for an award outside the probation lane, millionths."""
    uptime_half_life: int = 7
    """Of availability, epochs."""
    uptime_floor: int = 900_000
    """Answered part of the slots that counts as nothing, millionths."""
    uptime_full: int = 995_000
    """Answered part of the slots that counts as all, millionths."""
    uptime_prior_slots: int = 72
    """Slots that the prior counts as: half a day."""
    uptime_least: int = 100_000
    """Availability of who is seldom there, millionths: a good worker that is off at night stays above the gate."""
    own_weight: int = 10
    """Units of own evidence at which the personal view stands half-way between own and common."""

    @property
    def digest(self) -> bytes:
        """32 bytes that name the set. Rules: REP-2."""
        values = [getattr(self, field.name) for field in fields(self)]
        return sha256(_DOMAIN + canonical.encode(values))


DEFAULTS = Parameters()
