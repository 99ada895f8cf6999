"""The simulated cloud's Terraform door: a provider plugin that serves hashicorp/aws's schema (protocol 6)."""
