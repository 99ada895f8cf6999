"""IAM's policies: their grammar, their conditions, and what they decide. Nothing here reads a store."""
