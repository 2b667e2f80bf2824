"""The question of a witness and the signed answer to it. Pure. Spec: protocol/08b-probes.md, "Probing"."""

from skyops_p2p import limits
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.crypto.node_key import NodeKey, peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.probes import ProbeAnswer, ProbeChallenge
from skyops_p2p.wire.model import decode_message, encode_message


class Answerer:
    """Answers whoever asks, drawn or not: who answers witnesses alone would have to know them, and need not.

    Args:
        node_key: Signs.
        network: Name of the network.
        times: The network's.
    """

    def __init__(self, node_key: NodeKey, network: str, times: ProbeTimes) -> None:
        self.answered = 0
        """Questions in all."""
        self._node_key = node_key
        self._network = network
        self._times = times
        self._rates = PeerRates(
            burst=limits.PROBE_BURST, per_s=limits.PROBE_PER_S, peers_max=limits.ADDRESS_BOOK_PEERS_MAX
        )

    def answer(self, witness: PeerId, request: bytes, *, now: MonotonicS, unix_ms: UnixMs) -> bytes:
        """Return the enveloped answer.

        Args:
            witness: Who asks.
            request: Encoded ProbeChallenge.
            now: Monotonic clock.
            unix_ms: Wall clock.

        Raises:
            RemoteProtocolError: `flood`; `not_yet_valid` or `expired`: a slot that is not now; or what decoding raises.

        Rules: PRB-5.
        """
        if not self._rates.take(witness, now):
            raise RemoteProtocolError("asked too often", code="flood", rule="PRB-5", peer=witness)
        challenge = decode_message(ProbeChallenge, request)
        off = challenge.slot - self._times.slot_at(unix_ms)
        if abs(off) > limits.PROBE_SLOTS_OFF_MAX:
            code = "not_yet_valid" if off > 0 else "expired"
            raise RemoteProtocolError("a slot that is not now", code=code, rule="PRB-5", peer=witness)
        self.answered += 1
        reply = ProbeAnswer(slot=challenge.slot, nonce=challenge.nonce, witness=peer_id_to_bytes(witness))
        return seal(reply, self._node_key, self._network)


def challenge_of(slot: int, nonce: bytes) -> bytes:
    """Return a question, encoded."""
    return encode_message(ProbeChallenge(slot=slot, nonce=nonce))


def check_answer(
    data: bytes, *, slot: int, nonce: bytes, witness: PeerId, probed: PeerId, network: str
) -> None:
    """Check an answer.

    Args:
        data: As received.
        slot: That was asked for.
        nonce: Of the question.
        witness: Who has asked.
        probed: Who was asked.
        network: Name of the network.

    Raises:
        RemoteProtocolError: As the envelope raises; `wrong_signer`: somebody else's answer; `wrong_nonce`: the answer
            to another question.

    Rules: PRB-6.
    """
    signed = open_envelope(data, ProbeAnswer, network)
    if signed.signer != probed:
        raise RemoteProtocolError("somebody else answers", code="wrong_signer", rule="PRB-6", peer=probed)
    said = signed.message
    if (said.slot, said.nonce, said.witness) != (slot, nonce, peer_id_to_bytes(witness)):
        raise RemoteProtocolError(
            "an answer to another question", code="wrong_nonce", rule="PRB-6", peer=probed
        )
