"""Reproducible figures about the product: `make bench`, or `python -m benchmarks --help`.

Nothing here judges time: a run fails only when something does not work.
"""
