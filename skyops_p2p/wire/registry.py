"""Every message class by its number. Numbers are never reused; protocol/messages.toml lists them."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.wire.messages import (
    auction,
    content,
    evidence,
    execution,
    gang,
    handshake,
    identity,
    peering,
    probes,
    proof,
    session,
    settlement,
    verification,
)
from skyops_p2p.wire.model import Message


def build(kinds: Iterable[type[Message]]) -> Mapping[int, type[Message]]:
    """Return the classes by number.

    Raises:
        LocalProtocolError: A number or a name occurs twice, or a number is not 1 to 65535.
    """
    by_number: dict[int, type[Message]] = {}
    names: set[str] = set()
    for kind in kinds:
        if kind.number in by_number or kind.name in names or not 1 <= kind.number <= 65_535:
            raise LocalProtocolError(f"message {kind.number} {kind.name!r} clashes or is out of range")
        by_number[kind.number] = kind
        names.add(kind.name)
    return MappingProxyType(dict(sorted(by_number.items())))


MESSAGES = build(
    (
        identity.Binding,
        peering.NodeRecord,
        peering.Presence,
        peering.EquivocationProof,
        peering.Ping,
        peering.Pong,
        peering.ProbeRequest,
        peering.ProbeReply,
        peering.RecordRequest,
        peering.RecordReply,
        peering.MapSyncRequest,
        peering.MapSyncReply,
        peering.PeersRequest,
        peering.PeersReply,
        handshake.Hello,
        handshake.Accept,
        handshake.Confirm,
        handshake.Established,
        handshake.Refusal,
        handshake.Manifest,
        session.Data,
        session.Rekey,
        session.Close,
        auction.Tender,
        auction.Commit,
        auction.Decline,
        auction.CommitAck,
        auction.CommitSet,
        auction.Reveal,
        auction.RevealRequest,
        auction.BidBook,
        auction.Award,
        auction.Confirm,
        auction.Release,
        auction.BookRequest,
        auction.Received,
        proof.ProofChallenge,
        proof.ProofRoot,
        proof.ProofAnswer,
        proof.ProofAttestation,
        proof.AttestationRequest,
        proof.OpeningRequest,
        proof.Openings,
        execution.LeaseOpen,
        execution.LeaseAttach,
        execution.LeaseReady,
        execution.LeaseRefused,
        execution.Beat,
        execution.WorkerBeat,
        execution.LogBatch,
        execution.CheckpointReceipt,
        execution.CheckpointSaved,
        execution.ResultReceipt,
        execution.ResultReady,
        execution.ResultTaken,
        execution.LeaseStop,
        execution.PreemptionNotice,
        execution.TaskStart,
        execution.TaskEnded,
        gang.GangConnect,
        gang.GangReady,
        gang.GangData,
        gang.GangTaken,
        content.BlocksRequest,
        content.ChannelRequest,
        content.ChannelOffer,
        content.KeepRequest,
        content.KeepReply,
        content.CopiesRequest,
        content.CopiesReply,
        content.ForgetRequest,
        settlement.LaneOffer,
        settlement.LaneAnswer,
        settlement.Meter,
        settlement.Voucher,
        settlement.VoucherAnswer,
        settlement.LaneStop,
        settlement.Receipt,
        settlement.SignedReceipt,
        evidence.ReceiptNames,
        evidence.ReceiptsRequest,
        evidence.ReceiptRangeRequest,
        evidence.ReceiptsReply,
        evidence.ReceiptSyncRequest,
        evidence.ReceiptSyncReply,
        evidence.DoubleHistoryProof,
        verification.ResultCommit,
        verification.ResultCommitted,
        verification.RevealResult,
        verification.ResultReveal,
        verification.Verdict,
        evidence.VerdictNames,
        evidence.VerdictsRequest,
        evidence.VerdictsReply,
        evidence.VerdictSyncRequest,
        probes.ProbeChallenge,
        probes.ProbeAnswer,
        probes.ProbeStatement,
        probes.SignedStatement,
        probes.StatementSyncRequest,
        probes.StatementSyncReply,
        probes.StatementsRequest,
        probes.StatementsReply,
    )
)
"""Number -> class, ascending."""


def message_of(number: int) -> type[Message]:
    """Return the class of a message number that a peer sent.

    Raises:
        RemoteProtocolError: Code `wrong_type`: no such message.

    Rules: CNV-8.
    """
    kind = MESSAGES.get(number)
    if kind is None:
        raise RemoteProtocolError(f"there is no message {number}", code="wrong_type", rule="CNV-8")
    return kind
