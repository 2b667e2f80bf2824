# pragma version 0.4.3
# Says of whom it was told that they are active; stands in for NodeRegistry where stake is not the matter.
is_active: public(HashMap[address, bool])


@external
def set_active(owner: address, is_it: bool):
    self.is_active[owner] = is_it
