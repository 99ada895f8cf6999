"""Who may do what: organizations, members, API keys, tokens of an OIDC issuer."""
