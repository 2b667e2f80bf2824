"""Reputation: from co-signed receipts and verdicts to a score that every node computes alike. Pure."""
