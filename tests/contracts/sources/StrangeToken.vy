# pragma version 0.4.3
# A token that does not keep to ERC-20, in the way that its deployment says:
# 0 returns nothing; 1 keeps a hundredth of each transfer; 2 says that all went well and moves nothing; 3 says no;
# 4 takes twice as much from who pays out; 5 calls back before it moves anything.
balanceOf: public(HashMap[address, uint256])
decimals: public(uint8)

KIND: immutable(uint256)
victim: public(address)
call_data: public(Bytes[1024])
is_answered: public(bool)  # whether the call-back went through
was_called: public(bool)


@deploy
def __init__(kind: uint256, decimals: uint8):
    KIND = kind
    self.decimals = decimals


@external
def give(to: address, amount: uint256):
    self.balanceOf[to] += amount


@external
def arm(victim: address, call_data: Bytes[1024]):
    self.victim = victim
    self.call_data = call_data
    self.was_called = False


@external
def approve(spender: address, amount: uint256) -> bool:
    return True


@external
@raw_return
def transferFrom(sender: address, to: address, amount: uint256) -> Bytes[32]:
    self._move(sender, to, amount)
    return self._answer()


@external
@raw_return
def transfer(to: address, amount: uint256) -> Bytes[32]:
    self._move(msg.sender, to, amount)
    if KIND == 4:
        self.balanceOf[msg.sender] -= amount
    return self._answer()


@internal
def _move(sender: address, to: address, amount: uint256):
    if KIND == 5 and self.victim != empty(address) and not self.was_called:
        self.was_called = True
        self.is_answered = raw_call(self.victim, self.call_data, revert_on_failure=False)
    if KIND == 2 or KIND == 3:
        return
    self.balanceOf[sender] -= amount
    self.balanceOf[to] += amount - (amount // 100 if KIND == 1 else 0)


@internal
def _answer() -> Bytes[32]:
    if KIND == 0:
        return b""
    if KIND == 3:
        return abi_encode(False)
    return abi_encode(True)
