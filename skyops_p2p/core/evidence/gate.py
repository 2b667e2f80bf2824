"""Who is heard of receipts, and what is refused: rates, rests, and names that are not asked for again. Pure.

Spec: protocol/07b-receipts.md, "Gossip" and "Asking".
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

from skyops_p2p import limits
from skyops_p2p.core.evidence.items import Scope, check_proof
from skyops_p2p.core.evidence.shelf import Shelf
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.evidence import DoubleHistoryProof, ReceiptNames, VerdictNames
from skyops_p2p.wire.model import decode_fields, decode_message

CHAIN_AWAY = "chain_away"
"""Refused because nobody could be asked whether there is money: that says nothing of the pair."""
FOREIGN = frozenset({"wrong_network", "wrong_contract", "unsolicited"})
"""Refusals of a peer that belongs to another market, or was asked by mistake: it rests, and is not accused."""


class Gate:
    """What a node lets others tell it of receipts.

    Args:
        scope: Whose receipts are exchanged.
        shelf: What is held.
        proven: Accounts with a proof.
        is_member: Tells whether a wallet is that of a node on the map.
    """

    def __init__(
        self,
        scope: Scope,
        shelf: Shelf,
        proven: Mapping[bytes, DoubleHistoryProof],
        is_member: Callable[[bytes], bool],
    ) -> None:
        self.has_verdict: Callable[[bytes], bool] = lambda _name: True
        """Tells whether a verdict is held; before there is an exchange of verdicts, none is news."""
        self._scope = scope
        self._is_member = is_member
        self._shelf = shelf
        self._proven = proven
        peers_max = limits.ADDRESS_BOOK_PEERS_MAX
        self._rates = PeerRates(
            burst=limits.RECEIPT_GOSSIP_BURST, per_s=limits.RECEIPT_GOSSIP_PER_S, peers_max=peers_max
        )
        self._bogus = PeerRates(burst=limits.RECEIPT_BOGUS_BURST, per_s=1 / 60, peers_max=peers_max)
        self._resting: OrderedDict[PeerId, MonotonicS] = OrderedDict()
        """Until when a peer is neither heard nor asked."""
        self._refused: OrderedDict[bytes, MonotonicS] = OrderedDict()
        """Until when a name is not asked for."""
        self.refusals: Counter[str] = Counter()
        """What peers sent and was not taken, by code."""

    def judge(self, author: PeerId, payload: bytes, now: MonotonicS) -> Judgement:
        """Say whether gossip is delivered and forwarded; never raises.

        Args:
            author: Who signed the pubsub message.
            payload: As published.
            now: Monotonic clock.

        Rules: RCP-7, RCP-12.
        """
        if len(payload) > limits.GOSSIP_BYTES_MAX:
            return self._count("oversized", Judgement.REJECT)
        if not self._rates.take(author, now):  # RCP-7
            return self._count("flood", Judgement.IGNORE)
        if self.is_resting(author, now):
            return Judgement.IGNORE
        try:
            is_news = self._is_news(payload, now)
        except RemoteProtocolError as error:
            return self._count(error.code, Judgement.REJECT)
        return Judgement.ACCEPT if is_news else Judgement.IGNORE

    def _is_news(self, payload: bytes, now: MonotonicS) -> bool:
        number = decode_fields(payload)[0]
        if number == ReceiptNames.number:
            names = decode_message(ReceiptNames, payload).names
            return any(self._shelf.named(name) is None and not self.is_refused(name, now) for name in names)
        if number == VerdictNames.number:
            names = decode_message(VerdictNames, payload).names
            return any(not self.has_verdict(name) and not self.is_refused(name, now) for name in names)
        proof = decode_message(DoubleHistoryProof, payload)
        if proof.account in self._proven:
            return False
        check_proof(proof, self._scope)
        return self.concerns(proof.account)

    def concerns(self, account: bytes) -> bool:
        """Tell whether a proof against an account is taken: any new key can sign two histories. Rules: RCP-12."""
        return self._shelf.knows(account) or self._is_member(account)

    # --- peers ------------------------------------------------------------------------------------------------------
    def rest(self, peer: PeerId, code: str, now: MonotonicS) -> None:
        """Neither hear nor ask a peer for a while. Rules: RCP-8."""
        self.refusals[code] += 1
        self._resting[peer] = MonotonicS(now + limits.RECEIPT_REST_S)
        self._resting.move_to_end(peer)
        while len(self._resting) > limits.ADDRESS_BOOK_PEERS_MAX:
            self._resting.popitem(last=False)

    def is_resting(self, peer: PeerId, now: MonotonicS) -> bool:
        """Tell whether a peer rests."""
        return self._resting.get(peer, now) > now

    def named_in_vain(self, peer: PeerId, now: MonotonicS) -> None:
        """Note that a peer named a receipt which it does not have. Rules: RCP-8."""
        if not self._bogus.take(peer, now):
            self.rest(peer, "unknown_receipt", now)

    # --- names ------------------------------------------------------------------------------------------------------
    def refuse(
        self,
        names: frozenset[bytes],
        code: str,
        now: MonotonicS,
        *,
        rest_s: float = limits.RECEIPT_REFUSED_S,
    ) -> None:
        """Do not ask for these for `rest_s` seconds. Rules: RCP-6."""
        self.refusals[code] += 1
        for name in names:
            self._refused[name] = MonotonicS(now + rest_s)
            self._refused.move_to_end(name)
        while len(self._refused) > limits.RECEIPTS_REFUSED_MAX:
            self._refused.popitem(last=False)

    def is_refused(self, name: bytes, now: MonotonicS) -> bool:
        """Tell whether a name is not asked for now."""
        return self._refused.get(name, now) > now

    def _count(self, code: str, judgement: Judgement) -> Judgement:
        self.refusals[code] += 1
        return judgement
