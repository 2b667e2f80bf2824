"""Verification of results: commitments, draws, comparisons and verdicts. Pure. Spec: protocol/06-verification.md."""
