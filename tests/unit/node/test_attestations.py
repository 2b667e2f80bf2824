"""Attestations between nodes over a simulated network: sought, made, shown, believed, and refused."""

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.auction.proven import Proven
from skyops_p2p.core.rules import AUCTION_PROTOCOL
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.node.attestations import Attestations
from skyops_p2p.node.runtime import Node
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.proof import AttestationRequest
from skyops_p2p.wire.model import encode_message
from tests.unit.node.proof_world import BOB, CAROL, QUICK, CountedProver, market, poc_job, seen


def desk(node: Node) -> Attestations:
    market_of_node = node._market
    assert market_of_node is not None
    return market_of_node.attestations


def proven(node: Node, peer: PeerId) -> Proven | None:
    assert node._market is not None
    return node._market.proofs.fresh(peer)


async def ask(node: Node, peer: PeerId, worker: PeerId) -> bytes:
    protocol = node._core.rules.protocol_id(AUCTION_PROTOCOL)
    request = encode_message(AttestationRequest(worker=peer_id_to_bytes(worker)))
    return await node._network.request(peer, protocol, request, timeout_s=60.0)


async def test_attested_worker_is_believed_and_not_challenged_again(
    autojump_clock: MockClock,
) -> None:  # AUC-44
    bob, carol = CountedProver(QUICK), CountedProver(QUICK)
    async with market(bob=bob, carol=carol) as (world, alice):
        assert await desk(world.nodes["bob"]).renew()
        assert len(bob.begun) == 1
        ended = await alice.match(poc_job())
        assert ended.is_matched, ended
        assert (len(bob.begun), len(carol.begun)) == (1, 1), "carol alone had to prove it to alice"
        assert all(one.throughput > 0 for one in seen(world, ended).values())


async def test_worker_has_itself_attested_when_it_is_up_for_a_while(autojump_clock: MockClock) -> None:
    bob = CountedProver(QUICK)
    async with market(bob=bob) as (_, alice):
        with pytest.raises(RemoteProtocolError) as refused:
            await ask(alice, BOB, BOB)
        assert refused.value.code == "attestation_missing"
        await trio.sleep(limits.ATTESTATION_FIRST_S + limits.ATTESTATION_ASK_S)
        assert await ask(alice, BOB, BOB)
        assert len(bob.begun) == 1


async def test_verifier_attests_nobody_for_another_nor_twice_in_half_an_hour(
    autojump_clock: MockClock,
) -> None:  # AUC-43
    async with market(bob=CountedProver(QUICK), carol=CountedProver(QUICK)) as (world, alice):
        bob = world.nodes["bob"]
        with pytest.raises(RemoteProtocolError) as refused:
            await ask(bob, alice.peer_id, CAROL)
        assert refused.value.code == "attestation_missing"
        assert await ask(bob, alice.peer_id, BOB)
        with pytest.raises(RemoteProtocolError) as refused:
            await ask(bob, alice.peer_id, BOB)
        assert refused.value.code == "proof_spent"


async def test_verifier_that_was_not_drawn_refuses_and_is_not_believed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:  # AUC-43, AUC-44
    async with market(bob=CountedProver(QUICK), carol=CountedProver(QUICK)) as (world, alice):
        bob = world.nodes["bob"]
        assert await desk(bob).renew()
        (reader,) = [node for node in (alice, world.nodes["carol"]) if proven(node, BOB) is None]
        (verifier,) = [node for node in (alice, world.nodes["carol"]) if node is not reader]
        monkeypatch.setattr("skyops_p2p.node.attestations.is_drawn", lambda _verifier, _drawn: False)
        with pytest.raises(RemoteProtocolError) as refused:
            await ask(bob, verifier.peer_id, BOB)
        assert refused.value.code == "not_drawn"
        await desk(reader).collect([BOB], timeout_s=5.0)
        assert proven(reader, BOB) is None
        monkeypatch.undo()
        await desk(reader).collect([BOB], timeout_s=5.0)
        assert proven(reader, BOB) is not None


async def test_worker_without_a_verifier_has_no_attestation(autojump_clock: MockClock) -> None:
    async with market(bob=CountedProver(QUICK)) as (world, _alice):

        async def nobody(*_args: object, **_more: object) -> bytes:
            raise RemoteProtocolError("not today", code="proof_busy")

        bob = desk(world.nodes["bob"])
        bob._request = nobody  # type: ignore[method-assign]
        assert not await bob.renew()
