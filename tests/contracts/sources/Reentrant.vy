# pragma version 0.4.3
# An account that calls back when it is paid in ETH.
victim: address
call_data: Bytes[1024]
is_answered: public(bool)
was_called: public(bool)


@external
@payable
def act(target: address, call_data: Bytes[1024], amount: uint256):
    raw_call(target, call_data, value=amount)


@external
def arm(victim: address, call_data: Bytes[1024]):
    self.victim = victim
    self.call_data = call_data


@external
@payable
def __default__():
    if self.victim != empty(address):
        self.was_called = True
        self.is_answered = raw_call(self.victim, self.call_data, revert_on_failure=False)
