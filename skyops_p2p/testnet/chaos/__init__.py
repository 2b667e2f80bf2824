"""Chaos campaigns: jobs run on a test network while it is hurt, and at the end nothing may be lost. docs/testnet.md."""
