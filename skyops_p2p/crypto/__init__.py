"""Keys, signatures and ciphers. Pure: randomness comes in as an argument. Spec: protocol/01-identity.md."""
