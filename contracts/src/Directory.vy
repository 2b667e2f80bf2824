# pragma version 0.4.3
"""
@title Where the versions of each contract are
@license Apache-2.0
@notice No contract of the market can be changed. A new version is a new address, published here under its name; who
        likes the old one stays there. Versions are only added, never changed or taken away.
@dev The governor is the value of that name in Parameters; nothing here moves money.
"""

interface Parameters:
    def governor() -> address: view

event Published:
    name: String[32]
    version: indexed(uint256)
    target: address

PARAMETERS: public(immutable(address))
count: public(HashMap[String[32], uint256])  # versions of a name
at: public(HashMap[String[32], HashMap[uint256, address]])  # name -> version, from 1 -> address


@deploy
def __init__(parameters: address):
    assert parameters != empty(address), "bad_address"
    PARAMETERS = parameters


@external
def publish(name: String[32], target: address) -> uint256:
    """@notice Add a version. @return Its number, from 1."""
    assert msg.sender == staticcall Parameters(PARAMETERS).governor(), "not_governor"
    assert len(name) > 0, "bad_name"
    assert target.is_contract, "bad_address"
    version: uint256 = self.count[name] + 1
    self.count[name] = version
    self.at[name][version] = target
    log Published(name=name, version=version, target=target)
    return version


@external
@view
def latest(name: String[32]) -> address:
    """@return The newest version's address, or zero for an unknown name."""
    return self.at[name][self.count[name]]
