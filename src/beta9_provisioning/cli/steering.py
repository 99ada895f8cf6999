"""Characters that would steer a terminal: a server's text must not reach it with them."""

import re

# Control characters but tab and newline, and those that turn the direction of writing.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_REPLACEMENT = "\ufffd"


def fit(text: str) -> str:
    """Return the text with every such character replaced."""
    return STEERING.sub(_REPLACEMENT, text)
