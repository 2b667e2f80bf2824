"""Messages of a pair over a session: what each side takes, as events of its machine.

Spec: protocol/07-settlement.md.
"""

from collections.abc import Mapping

from skyops_p2p.core.machine import Event
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.wire.messages.settlement import (
    LaneAnswer,
    LaneOffer,
    LaneStop,
    Meter,
    Voucher,
    VoucherAnswer,
)
from skyops_p2p.wire.model import Message

FROM_PAYER: Mapping[int, type[Message]] = {kind.number: kind for kind in (LaneOffer, Voucher, LaneStop)}
FROM_PAYEE: Mapping[int, type[Message]] = {
    kind.number: kind for kind in (LaneAnswer, Meter, VoucherAnswer, LaneStop)
}


def event_of(message: Message) -> Event:
    """Return what a message of the other side means to this side's machine."""
    match message:
        case LaneOffer():
            return ev.LaneOfferHeard(message)
        case LaneAnswer():
            return ev.LaneAnswerHeard(message)
        case LaneStop():
            return ev.LaneStopHeard(message)
        case Meter():
            return ev.MeterHeard(message)
        case Voucher():
            return ev.VoucherHeard(message)
        case VoucherAnswer():
            return ev.VoucherAnswerHeard(message)
        case _:
            raise AssertionError(f"the link lets no {message.name} pass")
