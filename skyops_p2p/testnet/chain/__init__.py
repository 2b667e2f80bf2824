"""The embedded chain: a small EVM chain of this machine, in a process of its own, from pip alone.

It is for test networks and first steps: one validator, no reorganisations, nothing is worth money. `evm` is the chain
(py-evm), `disk` keeps it over restarts and kill -9, `rpc` is its JSON-RPC, `server` the loopback HTTP, `place` starts
and stops it; `market` gives a test network contracts and money. docs/chain.md compares it with anvil and public chains.
"""
