"""The auction, pure: from a tender to an award that anybody can re-run. Spec: protocol/04-auction.md."""
