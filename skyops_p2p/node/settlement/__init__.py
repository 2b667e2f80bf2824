"""Payments of a node: pairs that pay or are paid, their journal, redemption, and what is shown of them."""
