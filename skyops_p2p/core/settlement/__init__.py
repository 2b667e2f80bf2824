"""Settlement: amounts, meters, vouchers, receipts, and the machines of both sides. Pure."""
