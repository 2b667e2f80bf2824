"""Job specifications: what a person writes, checked and completed. Pure."""
