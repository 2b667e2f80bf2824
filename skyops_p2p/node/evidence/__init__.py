"""Receipts of everybody, at one node: the shell around core/evidence. Spec: protocol/07b-receipts.md."""
