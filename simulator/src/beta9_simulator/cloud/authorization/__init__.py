"""Judges every call, of Terraform and of the worker, by the IAM policies of who makes it."""
