"""Clouds behind one interface: `cloud` says what every cloud offers, `registry` knows them all.

Only this folder knows a cloud by its name. A new one is one folder here and one line in the registry.
"""
