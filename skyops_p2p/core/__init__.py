"""The rules: pure state machines. (event, now) -> effects. No I/O, no clock, no randomness of their own."""
