"""Receipts as evidence that everybody can have. Pure. Spec: protocol/07b-receipts.md."""
