"""A person's money: what a wallet has, what it can do with the contracts, and how each such act is carried out once.

`actions` says what can be asked for and `purse_views` what is shown; both are light, and travel over the control API.
`purse` carries out, in the steps that `money_steps`, `stake_steps` and `dispute_steps` make; `reading` only looks.
`opening` opens all of it where no node runs.
"""
