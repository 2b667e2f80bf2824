// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {NODE_REGISTRY, PARAMETERS, RESERVATIONS, SETTLEMENT, SKYOPS_TOKEN} from "./Bytecode.sol";
import {Deployed, Parameters, Registry, Reservations, Settlement, Token} from "./Deployed.sol";

/// What halmos proves for all arguments, not for some.
contract PropertiesTest is Deployed {
    address internal constant ALICE = address(0xA11CE);
    address internal constant BOB = address(0xB0B);
    address internal constant GOVERNOR = address(0x60);
    uint256 internal constant STAKE = 1000e18;
    Parameters internal parameters;
    Token internal token;
    Registry internal registry;
    Settlement internal settlement;
    Reservations internal reservations;

    function setUp() external {
        parameters =
            Parameters(deploy(PARAMETERS, abi.encode(GOVERNOR, address(0x6A), address(0xF0), address(0xFD))));
        token = Token(deploy(SKYOPS_TOKEN, abi.encode(address(this), 1e27, 0)));
        registry = Registry(deploy(NODE_REGISTRY, abi.encode(parameters, token)));
        settlement = Settlement(deploy(SETTLEMENT, abi.encode(parameters, token, registry)));
        reservations = Reservations(deploy(RESERVATIONS, abi.encode(parameters, registry, token)));
        registry.bind_slashers(address(this), address(reservations));
        token.transfer(ALICE, 10_000e18);
        token.approve(address(registry), type(uint256).max);
        token.approve(address(settlement), type(uint256).max);
        registry.register(bytes32(uint256(1)), "", STAKE + 5e18);
        settlement.deposit(address(token), 100e18, address(0));
    }

    /// A transfer moves exactly the amount, or nothing.
    function check_transfer_conserves(address to, uint256 amount) external {
        vm.assume(to != ALICE);
        (uint256 before, uint256 beforeTo) = (token.balanceOf(ALICE), token.balanceOf(to));
        vm.prank(ALICE);
        try token.transfer(to, amount) {
            assert(token.balanceOf(ALICE) == before - amount);
            assert(token.balanceOf(to) == beforeTo + amount);
        } catch {
            assert(token.balanceOf(ALICE) == before);
        }
        assert(token.totalSupply() == 1e27 - 5e18);
    }

    /// Without an allowance nobody moves what is another's.
    function check_transfer_from_needs_an_allowance(address thief, address to, uint256 amount) external {
        vm.assume(thief != ALICE && amount > 0);
        vm.prank(thief);
        try token.transferFrom(ALICE, to, amount) {
            assert(false);
        } catch {}
    }

    /// No proposal lies outside the bounds, whoever makes it, and only the governor makes any.
    function check_proposals_keep_to_their_bounds(address sender, uint256 amount) external {
        uint8[6] memory keys = [0, 10, 17, 26, 27, 31]; // fee, timelock, jurors, the last number, governor, the burn
        for (uint256 i = 0; i < keys.length; i++) {
            uint256 key = keys[i];
            (uint256 least, uint256 most) = parameters.bounds(key);
            bool isAllowed = sender == GOVERNOR && amount >= least && amount <= most;
            vm.prank(sender);
            try parameters.propose(key, amount) {
                assert(isAllowed);
            } catch {
                assert(!isAllowed);
            }
        }
    }

    /// Of a slash at least half is burned, and it never takes more than there is, nor twice.
    function check_slash_takes_what_there_is_and_burns_half(uint256 unbonding, uint256 amount, bool isFinal)
        external
    {
        vm.assume(unbonding > 0 && unbonding <= STAKE);
        registry.unstake(unbonding);
        (uint256 supply, uint256 has) = (token.totalSupply(), token.balanceOf(address(this)));
        uint256 passedOn = registry.slash(address(this), amount, isFinal);
        uint256 burned = supply - token.totalSupply();
        (, uint256 stake,, uint256 left,,,,,) = registry.nodes(address(this));
        assert(burned == passedOn || burned == passedOn + 1);
        assert(token.balanceOf(address(this)) == has + passedOn);
        assert(stake + left + burned + passedOn == STAKE);
        assert(burned + passedOn == (amount < STAKE ? amount : STAKE));
    }

    /// What is locked cannot be unstaked.
    function check_locked_stake_stays(uint256 locked, uint256 amount) external {
        vm.assume(locked <= STAKE);
        registry.lock(address(this), locked);
        try registry.unstake(amount) {
            (, uint256 stake, uint256 still,,,,,,) = registry.nodes(address(this));
            assert(still == locked && stake >= locked);
        } catch {}
    }

    /// No call of a stranger makes a deposit smaller, or takes anything out.
    function check_strangers_move_no_deposit(uint8 call, address sender, address other, uint256 amount) external {
        vm.assume(sender != address(this) && sender != address(settlement));
        uint256 has = token.balanceOf(address(settlement));
        vm.prank(sender);
        if (call == 0) try settlement.withdraw(address(token), other) {} catch {}
        if (call == 1) try settlement.request_withdrawal(address(token), amount) {} catch {}
        if (call == 2) try settlement.allot(other, address(token), amount) {} catch {}
        if (call == 3) try settlement.take_back(other, address(token)) {} catch {}
        if (call == 4) try settlement.collect(address(token), other) {} catch {}
        if (call == 5) try settlement.release(address(this), other, address(token)) {} catch {}
        assert(settlement.deposits(address(this), address(token)) == 100e18);
        assert(token.balanceOf(address(settlement)) == has);
    }

    /// A longer term never has a smaller discount, and none is more than half.
    function check_discounts_grow_to_a_half(uint256 term, uint256 longer) external view {
        vm.assume(term <= longer);
        assert(reservations.discount_of(term) <= reservations.discount_of(longer));
        assert(reservations.discount_of(longer) <= 5000);
    }
}
