"""Amounts, digests beside eth-account, receipts and their chains, and the small formulas."""

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data

from skyops_p2p.core.settlement import prices
from skyops_p2p.core.settlement.amounts import (
    ETH,
    SKYOPS,
    format_about,
    format_amount,
    parse_amount,
    wei_of_credits,
)
from skyops_p2p.core.settlement.receipts import (
    NO_LINK,
    RECEIPT_CHAIN,
    ChainPlace,
    DisputesDomain,
    ReceiptWatch,
    check_half,
    equivocation,
    follows,
    leaf_of,
    sign_half,
    with_half,
)
from skyops_p2p.core.settlement.vouchers import compact, digest_of
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.typed_data import statement_digest
from skyops_p2p.crypto.wallet import address_from_bytes, recover_account
from skyops_p2p.errors import ConfigError, RemoteProtocolError
from skyops_p2p.types import MicroCredits
from skyops_p2p.wire.model import encode_message
from tests.unit.core.settlement.pair_world import ALICE, BOB, PAIR
from tests.vectors.settlement_examples import settlement_examples

DOMAIN = DisputesDomain(31_337, bytes([0xD1] * 20))
(RECEIPT,) = [message for message in settlement_examples() if message.name == "receipt"]
DATA = encode_message(RECEIPT)
OTHER = encode_message(RECEIPT.model_copy(update={"outcome": "program_failed"}))


def typed(
    name: str, contract: bytes, kind: str, fields: list[tuple[str, str]], values: dict[str, object]
) -> bytes:
    """Return eth-account's digest and check its signature beside ours."""
    domain = {
        "name": name, "version": "1", "chainId": 31_337, "verifyingContract": address_from_bytes(contract)
    }  # fmt: skip
    members = {kind: [{"name": field, "type": kind_of} for field, kind_of in fields]}
    signable = encode_typed_data(domain_data=domain, message_types=members, message_data=values)
    signed = EthAccount.sign_message(signable, ALICE.secret)
    assert ALICE.sign_digest(bytes(signed.message_hash)) == bytes(signed.signature)
    return bytes(signed.message_hash)


@pytest.mark.parametrize("cumulative", [0, 1, 10**18, 2**96 - 1])
def test_voucher_digest_and_signature_are_those_of_eth_account(cumulative: int) -> None:  # SET-9
    root = sha256(b"root")
    fields = [("worker", "address"), ("token", "address"), ("cumulative", "uint96"), ("holdbackBps", "uint16"),
              ("receiptsRoot", "bytes32")]  # fmt: skip
    values = {"worker": address_from_bytes(PAIR.worker), "token": address_from_bytes(PAIR.token),
              "cumulative": cumulative, "holdbackBps": PAIR.holdback_bps, "receiptsRoot": root}  # fmt: skip
    digest = digest_of(PAIR, cumulative, root)
    assert typed("Skyops Settlement", PAIR.contract, "Voucher", fields, values) == digest
    signature = ALICE.sign_digest(digest)
    assert recover_account(digest, signature) == PAIR.requester
    r, vs = compact(signature)
    assert (r, int.from_bytes(vs, "big") >> 255) == (signature[:32], signature[64] - 27)


def test_statement_digest_is_that_of_eth_account() -> None:  # SET-15
    fields = [("lane", "bytes32"), ("sequence", "uint64"), ("content", "bytes32")]
    values = {"lane": RECEIPT_CHAIN, "sequence": 2**64 - 1, "content": sha256(b"x")}
    digest = statement_digest(
        chain_id=31_337,
        contract=DOMAIN.contract,
        lane=RECEIPT_CHAIN,
        sequence=2**64 - 1,
        content=sha256(b"x"),
    )
    assert typed("Skyops Disputes", DOMAIN.contract, "Statement", fields, values) == digest


def test_each_party_has_its_chain_and_a_half_is_checked_by_place_and_signer() -> None:  # SET-15, SET-16
    first, place = sign_half(DATA, ChainPlace(), BOB, DOMAIN)
    second, after = sign_half(OTHER, place, BOB, DOMAIN)
    assert check_half(DATA, first, PAIR.worker, DOMAIN) == place
    assert check_half(OTHER, second, PAIR.worker, DOMAIN) == after
    assert follows(first, ChainPlace())
    assert follows(second, place)
    assert not follows(second, ChainPlace())
    assert not follows(second, ChainPlace(1, NO_LINK))
    for receipt, half, account in ((DATA, second, PAIR.worker), (DATA, first, PAIR.requester)):
        with pytest.raises(RemoteProtocolError) as refused:
            check_half(receipt, half, account, DOMAIN)
        assert refused.value.code == "bad_signature"
    orphan, _ = sign_half(DATA, ChainPlace(1, NO_LINK), BOB, DOMAIN)
    with pytest.raises(RemoteProtocolError) as refused:
        check_half(DATA, orphan, PAIR.worker, DOMAIN)
    assert refused.value.code == "bad_receipt"


def test_two_receipts_at_one_place_prove_a_double_history_and_two_in_a_row_do_not() -> None:  # SET-17
    mine, place = sign_half(DATA, ChainPlace(), BOB, DOMAIN)
    twin, _ = sign_half(OTHER, ChainPlace(), BOB, DOMAIN)
    next_, _ = sign_half(OTHER, place, BOB, DOMAIN)
    first, second, third = (
        with_half(DATA, worker=mine),
        with_half(OTHER, worker=twin),
        with_half(OTHER, worker=next_),
    )
    proof = equivocation(first, second, DOMAIN)
    assert proof is not None
    for content, signature in zip(proof.contents, proof.signatures, strict=True):
        digest = statement_digest(
            chain_id=DOMAIN.chain_id, contract=DOMAIN.contract, lane=proof.lane, sequence=1, content=content
        )
        assert recover_account(digest, signature) == proof.account == PAIR.worker
    assert proof.contents[0] != proof.contents[1]
    assert equivocation(first, first, DOMAIN) is equivocation(first, third, DOMAIN) is None
    watch = ReceiptWatch(DOMAIN, places_max=2)
    assert [watch.see(data) for data in (first, first, third)] == [None] * 3
    assert watch.see(second) == proof
    assert len(watch) == 2


def test_leaf_is_the_abi_encoding_that_the_contract_hashes() -> None:  # SET-14
    from eth_abi import encode

    values = [RECEIPT.lane, RECEIPT.result, RECEIPT.log_head, RECEIPT.metering_root]
    numbers = [int.from_bytes(RECEIPT.amount, "big"), RECEIPT.ended_unix_ms // 1000]
    content = encode(["bytes32"] * 4 + ["uint256"] * 2, [*values, *numbers])
    assert leaf_of(RECEIPT) == sha256(b"\x00" + content)


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("1 SKYOPS", 10**18),
        ("0.1 skyops", 10**17),
        ("000.000000000000000001 SKYOPS", 1),
        ("5 wei", 5),
        ("2", 2 * 10**18),
    ],
)
def test_amount_is_read_exactly(text: str, wei: int) -> None:  # SET-1
    assert parse_amount(text, SKYOPS) == (wei, SKYOPS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.",
        ".5",
        "-1",
        "1e3",
        "1,5",
        "1 DOGE",
        "1 ETH",
        "0.5 wei",
        "0.0000000000000000001",
        "1 2",
        "9" * 79,
        "\u0661",
    ],
)
def test_what_is_no_amount_is_refused_with_its_code(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_amount(text, SKYOPS)
    assert refused.value.code == "amount_invalid"


def test_small_formulas() -> None:  # SET-2, SET-23
    assert wei_of_credits(MicroCredits(1_200_000)) == 12 * 10**17
    assert format_about(6_617_283_950_617_283, SKYOPS) == "about 0.006617 SKYOPS"
    assert format_about(5 * 10**17, SKYOPS) == "0.5 SKYOPS"
    assert format_about(-99_999, SKYOPS) == "about -0.0000000000001 SKYOPS"
    assert format_about(0, SKYOPS) == "0 SKYOPS"
    assert format_amount(-(10**17), ETH) == "-0.1 ETH"
    assert [prices.holdback_bps(trust) for trust in (0, 500, 700, 900, 1000)] == [2000, 2000, 1250, 500, 500]
    assert prices.late_start(3600 * 10**3, 10_001, 10_000) == 4000
    assert prices.late_start(3600 * 10**3, 10**9, 10_000) == 10_000
    assert prices.early_exit(1000, 100) == (630, 270)
    assert prices.preemption(60, 10**9) == prices.charge(60, 60_000) == 1
    assert prices.no_show(7) == 7
    assert prices.exposure(3600, 10_000, 5_000, 0) == (15, 0)
    assert prices.runway_s(100, 40, 3600) == 60
    assert prices.runway_s(100, 40, 0) is None
    found = prices.redemption(10 * 10**18 + 1, 0, 10**20, holdback_bps=1000, unit=10**9)
    assert (found.fee, found.held) == (3 * 10**17, 97 * 10**16)
