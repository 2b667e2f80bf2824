"""The contracts Parameters and Directory: the market's values, and where its contracts are."""

from enum import IntEnum

from skyops_p2p.adapters.contracts.calling import Contract
from skyops_p2p.core.chain.facts import Order


class Parameter(IntEnum):
    """Keys of Parameters. Fees and parts in hundredths of a per cent, times in seconds, amounts in wei of SKYOPS."""

    FEE_POOL = 0
    FEE_FUND = 1
    FEE_BURN = 2
    WINDOW_S = 3
    WINDOW_LARGE_S = 4
    LARGE_AMOUNT = 5
    HOLDBACK_LEAST = 6
    HOLDBACK_MOST = 7
    WITHDRAWAL_DELAY_S = 8
    SKYOPS_PER_ETH = 9
    TIMELOCK_S = 10
    STAKE_LEAST = 11
    UNBONDING_S = 12
    MARK_TIMEOUT_S = 13
    SLASH_MULTIPLE = 14
    CHALLENGER_BOND = 15
    DISPUTE_AGE_S = 16
    JURORS = 17
    TICKET_STAKE = 18
    JUROR_FEE = 19
    JUROR_LOSS = 20
    DRAW_S = 21
    COMMIT_S = 22
    REVEAL_S = 23
    APPEAL_S = 24
    EXIT_FEE = 25
    CHECK_IN_S = 26
    GOVERNOR = 27
    GUARDIAN = 28
    BONUS_POOL = 29
    VERIFICATION_FUND = 30
    REGISTRATION_BURN = 31


class Parameters(Contract):
    """What the market's values are, and who may change them."""

    async def value(self, key: Parameter) -> int:
        """Return a value that is in force."""
        return await self.number("get(uint256)", int(key))

    async def governor(self) -> bytes:
        """Return who may propose values and publish versions."""
        return await self.account_of("governor()")

    async def is_paused(self) -> bool:
        """Return whether new commitments are refused."""
        (found,) = await self.ask("is_paused()", ["bool"])
        return bool(found)


class Directory(Contract):
    """Which contract has which name."""

    def publish(self, name: str, target: bytes) -> Order:
        """Add a version of a contract; by the governor."""
        return self.order("publish(string,address)", name, target)

    async def latest(self, name: str) -> bytes:
        """Return the newest version's account; zero for an unknown name."""
        return await self.account_of("latest(string)", name)

    async def version_count(self, name: str) -> int:
        """Return how many versions a name has."""
        return await self.number("count(string)", name)

    async def version(self, name: str, number: int) -> bytes:
        """Return the account of one version, from 1; zero if there is none."""
        return await self.account_of("at(string,uint256)", name, number)

    async def parameters(self) -> bytes:
        """Return the Parameters whose governor publishes here."""
        return await self.account_of("PARAMETERS()")
