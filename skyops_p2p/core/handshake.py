"""The application handshake: two wallets and two node keys prove themselves and agree on session keys.

Four messages on a stream of their own: Hello, Accept, Confirm, Established. libp2p's Noise secures the hop; this
authenticates *wallets* and keys the *session* end to end, also through relays. Both sides run this one machine.
The construction is SIGMA-like (Krawczyk 2003): signatures over the transcript of both nonces, both ephemeral keys,
both bindings and both peer ids. Spec: protocol/01-identity.md, "Handshake". Diagram: machines/handshake.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.binding import VerifiedBinding, check_binding
from skyops_p2p.core.machine import DeadlineReached, Effect, Event, Machine, Table, to
from skyops_p2p.core.nonces import NonceCache
from skyops_p2p.core.refusals import known_code
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.core.transcript import Role, Transcript, check_proof, make_proof, responder_part
from skyops_p2p.crypto.node_key import NodeKey, peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.crypto.session_keys import Ephemeral, SessionKeys, derive_session
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId, UnixMs, WalletAddress
from skyops_p2p.wire.messages.handshake import Accept, Confirm, Established, Hello, Manifest, Refusal
from skyops_p2p.wire.model import AnyMessage, decode_fields, decode_message, encode_message

VERSIONS = (1,)
"""Handshake versions that this program speaks, ascending."""


class HandshakeState(Enum):
    """Where a handshake is."""

    NEW = "new"
    HELLO_SENT = "hello_sent"
    HELLO_AWAITED = "hello_awaited"
    ACCEPT_SENT = "accept_sent"
    STAKE_ASKED_BY_INITIATOR = "stake_asked_by_initiator"
    STAKE_ASKED_BY_RESPONDER = "stake_asked_by_responder"
    CONFIRM_SENT = "confirm_sent"
    ESTABLISHED = "established"
    FAILED = "failed"


# --- events -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class HandshakeBegun(Event):
    """The stream is open."""

    role: Role
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class FrameReceived(Event):
    """The peer sent a frame."""

    data: bytes
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class StakeAnswered(Event):
    """The chain was asked about the peer's wallet."""

    is_sufficient: bool


@dataclass(frozen=True, slots=True)
class StreamClosed(Event):
    """The stream ended before the handshake did."""


# --- effects ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SendFrame(Effect):
    """Send a frame to the peer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class AskStake(Effect):
    """Ask the chain about a wallet; report StakeAnswered."""

    wallet: WalletAddress


@dataclass(frozen=True, slots=True)
class FinishHandshake(Effect):
    """Both sides are proven: hand over the session."""

    peer: PeerId
    binding: VerifiedBinding
    manifest: Manifest
    keys: SessionKeys
    version: int
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class FailHandshake(Effect):
    """Close the stream; the code says why."""

    code: str
    is_remote: bool
    """The peer refused us, rather than we the peer."""


@dataclass(frozen=True, slots=True)
class HandshakeContext:
    """What a side brings along."""

    node_key: NodeKey
    wallet: Wallet
    rules: NetworkRules
    binding: bytes
    """Our own enveloped Binding."""
    manifest: Manifest
    nonces: NonceCache
    """Shared by all inbound handshakes of the node."""
    ephemeral_secret: bytes = field(repr=False)
    """32 fresh random bytes."""
    nonce: bytes
    """32 fresh random bytes. Rules: HSK-1."""
    versions: tuple[int, ...] = VERSIONS
    timeout_s: float = limits.HANDSHAKE_TIMEOUT_S


_NEW, _HS, _HA, _AS = (
    HandshakeState.NEW,
    HandshakeState.HELLO_SENT,
    HandshakeState.HELLO_AWAITED,
    HandshakeState.ACCEPT_SENT,
)
_SI, _SR, _CS = (
    HandshakeState.STAKE_ASKED_BY_INITIATOR,
    HandshakeState.STAKE_ASKED_BY_RESPONDER,
    HandshakeState.CONFIRM_SENT,
)
_OK, _NO = HandshakeState.ESTABLISHED, HandshakeState.FAILED


class Handshake(Machine[HandshakeState]):
    """One side of one handshake.

    Args:
        context: Our keys, binding, manifest and fresh randomness.
        peer: The stream's authenticated remote peer.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_NEW, HandshakeBegun): to(_HS, _HA),
        (_HS, FrameReceived): to(_SI, _NO),
        (_SI, StakeAnswered): to(_CS, _NO),
        (_CS, FrameReceived): to(_OK, _NO),
        (_HA, FrameReceived): to(_AS, _NO),
        (_AS, FrameReceived): to(_SR, _NO),
        (_SR, StakeAnswered): to(_OK, _NO),
        **{(state, StreamClosed): to(_NO) for state in (_NEW, _HS, _HA, _AS, _SI, _SR, _CS)},
        **{(state, DeadlineReached): to(_NO) for state in (_NEW, _HS, _HA, _AS, _SI, _SR, _CS)},
        (_SI, FrameReceived): to(_NO),
        (_SR, FrameReceived): to(_NO),
    }

    def __init__(self, context: HandshakeContext, peer: PeerId) -> None:
        super().__init__(HandshakeState.NEW)
        self.peer = peer
        self._context = context
        self._ephemeral = Ephemeral.from_secret(context.ephemeral_secret)
        self._deadline: MonotonicS | None = None
        self._transcript: Transcript | None = None
        self._version = 0
        self._binding: VerifiedBinding | None = None
        self._keys: SessionKeys | None = None
        self._manifest: Manifest | None = None

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        return self._deadline

    def check_invariants(self) -> None:
        """See Machine."""
        is_over = self.state in (HandshakeState.ESTABLISHED, HandshakeState.FAILED)
        assert not (is_over and self._deadline is not None), "a finished handshake has no deadline"
        if self.state is HandshakeState.ESTABLISHED:
            assert self._binding is not None
            assert self._keys is not None

    # --- one method per event -------------------------------------------------------------------------------
    def _on_handshake_begun(self, event: HandshakeBegun, now: MonotonicS) -> list[Effect]:
        self._deadline = MonotonicS(now + self._context.timeout_s)  # HSK-11
        if event.role is Role.RESPONDER:
            self.state = HandshakeState.HELLO_AWAITED
            return []
        hello = encode_message(
            Hello(
                versions=self._context.versions,
                responder=peer_id_to_bytes(self.peer),
                nonce=self._context.nonce,
                ephemeral=self._ephemeral.public,
                issued_unix_ms=event.unix_ms,
                binding=self._context.binding,
            )
        )
        own = self._context.node_key.peer_id
        self._transcript = Transcript.begin(
            self._context.rules.network, initiator=own, responder=self.peer, hello=hello
        )
        self.state = HandshakeState.HELLO_SENT
        return [SendFrame(hello)]

    def _on_frame_received(self, event: FrameReceived, _now: MonotonicS) -> list[Effect]:
        try:
            match self.state:
                case HandshakeState.HELLO_AWAITED:
                    return self._take_hello(self._decode(Hello, event), event)
                case HandshakeState.HELLO_SENT:
                    return self._take_accept(self._decode(Accept, event), event)
                case HandshakeState.ACCEPT_SENT:
                    return self._take_confirm(self._decode(Confirm, event))
                case HandshakeState.CONFIRM_SENT:
                    return self._take_established(self._decode(Established, event))
                case _:
                    _heed_refusal(event.data)
                    raise _refusal("a message out of turn", "unexpected_message", "HSK-12")
        except RemoteProtocolError as error:
            return self._refuse(error)

    def _on_stake_answered(self, event: StakeAnswered, _now: MonotonicS) -> list[Effect]:
        if not event.is_sufficient:  # HSK-10
            return self._refuse(_refusal("stake is too small", "insufficient_stake", "HSK-10"))
        if self.state is HandshakeState.STAKE_ASKED_BY_INITIATOR:
            return self._confirm()
        return self._establish()

    def _on_stream_closed(self, _event: StreamClosed, _now: MonotonicS) -> list[Effect]:
        return self._fail("stream_closed", is_remote=True)

    def _on_deadline_reached(self, _event: DeadlineReached, _now: MonotonicS) -> list[Effect]:
        return self._refuse(_refusal("too slow", "timeout", "HSK-11"))

    # --- responder ------------------------------------------------------------------------------------------
    def _take_hello(self, hello: Hello, event: FrameReceived) -> list[Effect]:
        """Check a Hello and answer with Accept. Rules: HSK-2 to HSK-6."""
        own = self._context.node_key.peer_id
        if peer_id_from_bytes(hello.responder) != own:  # HSK-2
            raise _refusal("meant for another peer", "wrong_peer", "HSK-2")
        version = _highest_common(hello.versions, self._context.versions)
        if version is None:  # HSK-3
            raise _refusal("no common version", "no_common_version", "HSK-3")
        if abs(event.unix_ms - hello.issued_unix_ms) > limits.CLOCK_SKEW_MS_MAX:  # HSK-4
            raise _refusal("the Hello is too old or from the future", "stale_nonce", "HSK-4")
        if not self._context.nonces.is_fresh(hello.nonce, event.unix_ms):  # HSK-5
            raise _refusal("this nonce was seen before", "replayed", "HSK-5")
        self._binding = self._check_binding(hello.binding, event.unix_ms)
        self._version = version
        transcript = Transcript.begin(
            self._context.rules.network, initiator=self.peer, responder=own, hello=event.data
        )
        body = {
            "version": version,
            "versions": self._context.versions,
            "nonce": self._context.nonce,
            "ephemeral": self._ephemeral.public,
            "binding": self._context.binding,
        }
        unsigned = transcript.accepting(version, self._context.versions, responder_part(body))
        proof = make_proof(
            unsigned, Role.RESPONDER, self._context.node_key, self._context.wallet, rules=self._rules
        )
        accept = encode_message(
            Accept.model_validate({**body, "node_signature": proof.node, "wallet_signature": proof.wallet})
        )
        self._transcript = unsigned.accepted(accept)
        self._derive(hello.ephemeral, is_initiator=False)
        self.state = HandshakeState.ACCEPT_SENT
        return [SendFrame(accept)]

    def _take_confirm(self, confirm: Confirm) -> list[Effect]:
        """Check the initiator's proof, open its manifest, and ask for its stake. Rules: HSK-8, HSK-9."""
        assert self._transcript is not None
        assert self._binding is not None
        check_proof(self._transcript, Role.INITIATOR, self._binding, confirm, rules=self._rules)  # HSK-8
        self._manifest = self._open_manifest(confirm.manifest)
        self.state = HandshakeState.STAKE_ASKED_BY_RESPONDER
        return [AskStake(self._binding.wallet)]

    def _establish(self) -> list[Effect]:
        message = encode_message(Established(manifest=self._seal_manifest()))
        return [SendFrame(message), self._finish()]

    # --- initiator ------------------------------------------------------------------------------------------
    def _take_accept(self, accept: Accept, event: FrameReceived) -> list[Effect]:
        """Check an Accept, derive the keys, and ask for the responder's stake. Rules: HSK-6 to HSK-9."""
        if accept.version != _highest_common(self._context.versions, accept.versions):  # HSK-7
            raise _refusal("not the highest common version", "downgrade", "HSK-7")
        self._binding = self._check_binding(accept.binding, event.unix_ms)
        assert self._transcript is not None
        part = responder_part(accept.model_dump())
        unsigned = self._transcript.accepting(accept.version, accept.versions, part)
        check_proof(unsigned, Role.RESPONDER, self._binding, accept, rules=self._rules)  # HSK-8
        self._version = accept.version
        self._transcript = unsigned.accepted(event.data)
        self._derive(accept.ephemeral, is_initiator=True)
        self.state = HandshakeState.STAKE_ASKED_BY_INITIATOR
        return [AskStake(self._binding.wallet)]

    def _confirm(self) -> list[Effect]:
        assert self._transcript is not None
        proof = make_proof(
            self._transcript, Role.INITIATOR, self._context.node_key, self._context.wallet, rules=self._rules
        )
        message = Confirm(
            node_signature=proof.node, wallet_signature=proof.wallet, manifest=self._seal_manifest()
        )
        self.state = HandshakeState.CONFIRM_SENT
        return [SendFrame(encode_message(message))]

    def _take_established(self, established: Established) -> list[Effect]:
        self._manifest = self._open_manifest(established.manifest)
        return [self._finish()]

    # --- both -------------------------------------------------------------------------------------------------
    @property
    def _rules(self) -> NetworkRules:
        return self._context.rules

    def _decode(self, kind: type[AnyMessage], event: FrameReceived) -> AnyMessage:
        """Decode the awaited message; a Refusal in its place becomes the peer's code. Rules: HSK-12, HSK-13."""
        if _heed_refusal(event.data) != kind.number:
            raise _refusal(f"{kind.name} was awaited", "unexpected_message", "HSK-12")
        return decode_message(kind, event.data)

    def _check_binding(self, data: bytes, now: UnixMs) -> VerifiedBinding:
        return check_binding(data, self._rules, now=now, peer=self.peer)  # HSK-6

    def _derive(self, their_ephemeral: bytes, *, is_initiator: bool) -> None:
        assert self._transcript is not None
        shared = self._ephemeral.agree(their_ephemeral)
        self._keys = derive_session(
            shared=shared, transcript=self._transcript.digest, is_initiator=is_initiator
        )  # HSK-9

    def _seal_manifest(self) -> bytes:
        assert self._keys is not None
        return self._keys.send.seal(encode_message(self._context.manifest))

    def _open_manifest(self, sealed: bytes) -> Manifest:
        assert self._keys is not None
        manifest = decode_message(Manifest, self._keys.receive.open(sealed))
        if manifest.hardware.source == "declared" and not self._rules.is_testnet:  # HSK-14
            raise _refusal("declared hardware", "declared_hardware", "HSK-14")
        return manifest

    def _finish(self) -> FinishHandshake:
        assert self._keys is not None
        assert self._binding is not None
        assert self._manifest is not None
        self.state, self._deadline = HandshakeState.ESTABLISHED, None
        lifetime = min(self._manifest.lifetime_s, self._context.manifest.lifetime_s)
        return FinishHandshake(self.peer, self._binding, self._manifest, self._keys, self._version, lifetime)

    def _refuse(self, error: RemoteProtocolError) -> list[Effect]:
        """Say why in a coded refusal, and end. Rules: HSK-13."""
        if isinstance(error, _PeerRefusedError):
            return self._fail(error.code, is_remote=True)
        refusal = SendFrame(encode_message(Refusal(code=error.code)))
        return [refusal, *self._fail(error.code, is_remote=False)]

    def _fail(self, code: str, *, is_remote: bool) -> list[Effect]:
        self.state, self._deadline = HandshakeState.FAILED, None
        return [FailHandshake(code, is_remote)]


class _PeerRefusedError(RemoteProtocolError):
    """The peer sent a Refusal; `code` is the peer's."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the peer refused: {code}", code=code, rule="HSK-13")


def _heed_refusal(data: bytes) -> int:
    """Return a message's number, or raise the peer's code if it is a Refusal. Rules: HSK-13."""
    number: int = decode_fields(data)[0]
    if number == Refusal.number:
        raise _PeerRefusedError(known_code(decode_message(Refusal, data).code))
    return number


def _refusal(message: str, code: str, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, code=code, rule=rule)


def _highest_common(theirs: tuple[int, ...], ours: tuple[int, ...]) -> int | None:
    return max(set(theirs) & set(ours), default=None)
