// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {NODE_REGISTRY, PARAMETERS, SETTLEMENT, SKYOPS_TOKEN} from "./Bytecode.sol";
import {Deployed, Settlement, Token} from "./Deployed.sol";

/// Three people who deposit, sign, redeem and leave, as often and in whatever order forge thinks of.
contract People is Deployed {
    uint256 internal constant COUNT = 3;
    bytes32 internal constant VOUCHER = keccak256(
        "Voucher(address worker,address token,uint96 cumulative,uint16 holdbackBps,bytes32 receiptsRoot)"
    );

    Settlement internal immutable settlement;
    Token internal immutable token;
    bytes32 internal immutable separator;
    address[COUNT] public people;
    mapping(uint256 => mapping(uint256 => uint256)) public promised;
    uint256 public surplus; // what nobody should have been able to take

    constructor(Settlement settlement_, Token token_) {
        (settlement, token) = (settlement_, token_);
        separator = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Skyops Settlement"),
                keccak256("1"),
                block.chainid,
                address(settlement_)
            )
        );
        for (uint256 i = 0; i < COUNT; i++) people[i] = vm.addr(i + 1);
    }

    function deposit(uint256 owner, uint256 worker, uint96 amount) external {
        owner %= COUNT;
        amount %= 1e21;
        vm.prank(people[owner]);
        settlement.deposit(address(token), amount, worker % 2 == 0 ? address(0) : people[worker % COUNT]);
    }

    function redeem(uint256 requester, uint256 worker, uint96 more, uint16 holdbackBps) external {
        (requester, worker) = (requester % COUNT, worker % COUNT);
        promised[requester][worker] += more % 1e20;
        uint96 cumulative = uint96(promised[requester][worker]);
        bytes32 content = keccak256(
            abi.encode(VOUCHER, people[worker], address(token), cumulative, holdbackBps, bytes32(uint256(1)))
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", separator, content));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(requester + 1, digest);
        bytes32 vs = bytes32(uint256(s) | (uint256(v - 27) << 255));
        Settlement.Voucher[] memory vouchers = new Settlement.Voucher[](2); // the second pays nothing more
        vouchers[0] = Settlement.Voucher(
            people[requester], cumulative, holdbackBps, bytes32(uint256(1)), r, vs
        );
        vouchers[1] = vouchers[0];
        vm.prank(people[worker]);
        settlement.redeem_batch(people[worker], address(token), vouchers);
    }

    function forge_(uint256 requester, uint256 worker, uint96 cumulative, bytes32 r, bytes32 vs) external {
        Settlement.Voucher[] memory vouchers = new Settlement.Voucher[](1);
        vouchers[0] = Settlement.Voucher(people[requester % COUNT], cumulative, 0, 0, r, vs);
        vm.prank(people[worker % COUNT]);
        surplus += settlement.redeem_batch(people[worker % COUNT], address(token), vouchers);
    }

    function release(uint256 requester, uint256 worker) external {
        settlement.release(people[requester % COUNT], people[worker % COUNT], address(token));
    }

    function allot(uint256 owner, uint256 worker, uint96 amount) external {
        owner %= COUNT;
        uint256 there = settlement.deposits(people[owner], address(token)); // half of the tries ask for more
        vm.prank(people[owner]);
        settlement.allot(people[worker % COUNT], address(token), amount % (2 * there + 1));
    }

    function take_back(uint256 owner, uint256 worker) external {
        vm.prank(people[owner % COUNT]);
        settlement.request_return(people[worker % COUNT], address(token));
        vm.warp(block.timestamp + 2 days);
        vm.prank(people[owner % COUNT]);
        settlement.take_back(people[worker % COUNT], address(token));
    }

    function withdraw(uint256 owner, uint96 amount) external {
        owner %= COUNT;
        uint256 there = settlement.deposits(people[owner], address(token));
        vm.prank(people[owner]);
        settlement.request_withdrawal(address(token), amount % (2 * there + 1));
        vm.warp(block.timestamp + 2 days);
        vm.prank(people[owner]);
        settlement.withdraw(address(token), people[owner]);
    }

    function collect(uint256 owner) external {
        owner %= COUNT;
        vm.prank(people[owner]);
        settlement.collect(address(token), people[owner]);
        vm.prank(people[owner]);
        surplus += settlement.collect(address(token), people[owner]);
    }

    function wait_(uint32 seconds_) external {
        vm.warp(block.timestamp + seconds_ % 3 days);
    }

    function pay_fees() external {
        settlement.pay_fees(address(token));
    }

    /// What everybody is owed, and whether no pair has been paid more than was promised.
    function owed() external view returns (uint256 total, bool isPromised) {
        isPromised = true;
        total = settlement.fees(address(token));
        for (uint256 i = 0; i < COUNT; i++) {
            total += settlement.deposits(people[i], address(token)) + settlement.credits(people[i], address(token));
            for (uint256 j = 0; j < COUNT; j++) {
                (uint256 redeemed, uint256 held, uint256 allotted,,) =
                    settlement.pair_state(people[i], people[j], address(token));
                total += held + allotted;
                if (redeemed > promised[i][j]) isPromised = false;
            }
        }
    }
}

contract SettlementTest is Deployed {
    Settlement internal settlement;
    Token internal token;
    People internal people;

    function setUp() external {
        address parameters =
            deploy(PARAMETERS, abi.encode(address(0xA1), address(0xA2), address(0xA3), address(0xA4)));
        token = Token(deploy(SKYOPS_TOKEN, abi.encode(address(this), 1e27, 0)));
        address registry = deploy(NODE_REGISTRY, abi.encode(parameters, address(token)));
        settlement = Settlement(deploy(SETTLEMENT, abi.encode(parameters, address(token), registry)));
        people = new People(settlement, token);
        for (uint256 i = 0; i < 3; i++) {
            token.transfer(people.people(i), 1e23);
            vm.prank(people.people(i));
            token.approve(address(settlement), type(uint256).max);
        }
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(people);
    }

    /// Deposits = payouts + fees + what is still owed; nothing was taken twice, forged, or beyond its promise.
    function invariant_money_is_conserved() external view {
        (uint256 owed, bool isPromised) = people.owed();
        require(token.balanceOf(address(settlement)) == owed, "not conserved");
        require(isPromised, "more than promised");
        require(people.surplus() == 0, "paid twice, or for a forged voucher");
    }
}
