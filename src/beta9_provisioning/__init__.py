"""Beta9 Provisioning: a self-hosted control plane for complete Beta9 environments."""
