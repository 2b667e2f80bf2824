"""Content: what an encrypted bundle consists of, and how its blocks are got together. Spec: protocol/05b-content.md."""
