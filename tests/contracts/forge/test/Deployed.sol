// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// The cheat codes that are used here, of forge and of halmos.
interface Vm {
    function addr(uint256 secret) external pure returns (address);
    function assume(bool condition) external pure;
    function prank(address sender) external;
    function sign(uint256 secret, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function warp(uint256 unixS) external;
}

interface Token {
    function approve(address spender, uint256 amount) external returns (bool);
    function balanceOf(address owner) external view returns (uint256);
    function burn(uint256 amount) external;
    function totalSupply() external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address owner, address to, uint256 amount) external returns (bool);
}

interface Settlement {
    struct Voucher {
        address requester;
        uint96 cumulative;
        uint16 holdbackBps;
        bytes32 receiptsRoot;
        bytes32 r;
        bytes32 vs;
    }

    function allot(address worker, address token, uint256 amount) external;
    function collect(address token, address to) external returns (uint256);
    function credits(address owner, address token) external view returns (uint256);
    function deposit(address token, uint256 amount, address worker) external payable returns (uint256);
    function deposits(address owner, address token) external view returns (uint256);
    function fees(address token) external view returns (uint256);
    function pair_state(address requester, address worker, address token)
        external
        view
        returns (uint256 redeemed, uint256 held, uint256 allotted, uint256 until, uint256 disputes);
    function pay_fees(address token) external returns (uint256);
    function redeem_batch(address worker, address token, Voucher[] calldata vouchers) external returns (uint256);
    function release(address requester, address worker, address token) external returns (uint256);
    function request_return(address worker, address token) external;
    function request_withdrawal(address token, uint256 amount) external;
    function take_back(address worker, address token) external;
    function withdraw(address token, address to) external returns (uint256);
}

interface Registry {
    function bind_slashers(address disputes, address reservations) external;
    function lock(address owner, uint256 amount) external;
    function nodes(address owner)
        external
        view
        returns (
            uint256 state,
            uint256 stake,
            uint256 locked,
            uint256 unbonding,
            uint256 unbondedAt,
            uint256 holds,
            uint256 markedAt,
            uint256 registeredAt,
            bytes32 binding
        );
    function register(bytes32 binding, string calldata metadataUri, uint256 amount) external;
    function slash(address owner, uint256 amount, bool isFinal) external returns (uint256);
    function unstake(uint256 amount) external;
}

interface Reservations {
    function discount_of(uint256 term) external view returns (uint256);
    function price_of(uint256 rate, uint256 term) external view returns (uint256);
}

interface Parameters {
    function bounds(uint256 key) external view returns (uint256 least, uint256 most);
    function execute(uint256 key) external;
    function get(uint256 key) external view returns (uint256);
    function propose(uint256 key, uint256 amount) external;
}

/// Deploys the committed bytecode; test/Bytecode.sol is written from contracts/artifacts before each run.
abstract contract Deployed {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function deploy(bytes memory bytecode, bytes memory arguments) internal returns (address made) {
        bytes memory code = bytes.concat(bytecode, arguments);
        assembly {
            made := create(0, add(code, 32), mload(code))
        }
        require(made != address(0), "not deployed");
    }
}
