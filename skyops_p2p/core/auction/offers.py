"""From a claim on the capacity to a bid: what the price may depend on, and what is offered."""

from skyops_p2p.core.auction.capacity import Capacity, Claim
from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.core.auction.prices import PriceAsk
from skyops_p2p.wire.messages.auction import Bid, Tender


def ask_of(tender: Tender, claim: Claim, capacity: Capacity) -> PriceAsk:
    """Return what a pricing strategy is asked with."""
    return PriceAsk(
        needs=tender.needs,
        mode=tender.mode,
        duration_s_max=tender.duration_s_max,
        price_max=tender.price_max,
        price_floor=tender.price_floor,
        devices=claim.devices,
        supply=capacity.supply,
        utilisation_permille=capacity.utilisation_permille(besides=claim.tender),
    )


def bid_of(tender: Tender, claim: Claim, price: int, *, cached_permille: int) -> Bid:
    """Return the bid that offers a claim; it stands until the tender expires."""
    gpus = [device.gpu for device in claim.devices]
    return Bid(
        price=price,
        devices=tuple(device.name for device in claim.devices),
        gpu_model=gpus[0].model if gpus else "",
        vram_mib=gpus[0].vram_mib if gpus else 0,
        speed_milli=sum(map(class_index_milli, gpus)),
        cached_permille=cached_permille,
        starts_in_ms=0,
        valid_until_unix_ms=tender.expires_unix_ms,
    )
