"""The AWS side of the engine."""
