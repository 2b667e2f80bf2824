"""What a worker would earn in a day, mode by mode, if its time is sold as assumed. Integers, microcredits. Pure.

It says what follows from the published formula and from prices as they are set; what nobody can know beforehand, how
much of the time is sold and whether bids at that price win, is an input. Spec: protocol/08-reputation.md, "Earnings".
"""

from dataclasses import dataclass

from skyops_p2p.core.auction.class_index import REFERENCE_MILLI
from skyops_p2p.core.auction.prices import MODE_PERMILLE
from skyops_p2p.core.earnings.pay import Pay, gross_of, normalised_ms, pay_of
from skyops_p2p.core.settlement.prices import BP, HOUR_MS
from skyops_p2p.wire.messages.auction import ModeName

DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class ForecastTerms:
    """On what a forecast rests."""

    price: int
    """Microcredits for an idle hour of the best GPU, or of the machine without one, in mode `commit`."""
    classes_milli: tuple[int, ...]
    """Class index of each GPU in thousandths; empty for a machine without: it counts as one of the reference class."""
    load_permille: int
    """Part of the time that is sold, 0 to 1000."""
    credibility: int
    """C, millionths."""
    availability: int
    """U, millionths."""
    holdback_bps: int
    """What waits until the challenge window closes, hundredths of a per cent."""

    @property
    def class_milli(self) -> int:
        """Class index of all that is sold together, thousandths."""
        return sum(self.classes_milli) or REFERENCE_MILLI

    @property
    def rate(self) -> int:
        """Microcredits for an hour of the reference class, rounded up as the default pricing does."""
        return -(-self.price * REFERENCE_MILLI // max(self.classes_milli, default=REFERENCE_MILLI))


@dataclass(frozen=True, slots=True)
class Forecast:
    """A day in one mode; microcredits."""

    mode: ModeName
    hourly: int
    """For an hour of the whole machine."""
    pay: Pay
    """Of the day."""
    held: int
    """Of the day's gross, what waits for the challenge window."""

    @property
    def paid(self) -> int:
        """What the contracts pay for the day, the held part included: they keep the fee, and apply no multiplier."""
        return self.pay.gross - self.pay.fee


def forecast_day(terms: ForecastTerms, mode: ModeName) -> Forecast:
    """Return what a day in one mode would come to. Rules: REP-29, REP-30, SET-23."""
    sold = normalised_ms(terms.class_milli, DAY_MS * terms.load_permille // 1000)
    gross = gross_of(terms.rate, sold, mode)
    pay = pay_of(gross, credibility=terms.credibility, availability=terms.availability)
    hourly = gross_of(terms.rate, normalised_ms(terms.class_milli, HOUR_MS), mode)
    return Forecast(mode, hourly, pay, gross * terms.holdback_bps // BP)


def modes() -> tuple[ModeName, ...]:
    """Return all modes, the best paid first."""
    return tuple(sorted(MODE_PERMILLE, key=lambda mode: -MODE_PERMILLE[mode]))
