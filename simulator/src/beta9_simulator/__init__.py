"""Simulated AWS and Kubernetes APIs and stand-in charts: the outside world of the local stack."""
