"""The Terraform provider for AWS."""

from pathlib import Path

SCHEMA_FILE = Path(__file__).with_name("provider.json")
"""The schema of the provider version that stacks are written for, and that the local stack simulates."""
