"""Fills text templates of the catalog: ``$name`` is an attribute, ``$hex17`` and the like are random.

Random text is drawn once per context, so two templates of one object that say ``$alnum12`` agree.
"""

import random
import re
import string
import time
import uuid
from typing import Any

_ALPHABETS = {
    "hex": "0123456789abcdef",
    "digits": string.digits,
    "alnum": string.ascii_lowercase + string.digits,
    "upper": string.ascii_uppercase + "234567",
    "secret": string.ascii_letters + string.digits,
}
_RANDOM = re.compile(rf"({'|'.join(_ALPHABETS)})(\d*)")
_DEFAULT_LENGTH = 10
_random = random.SystemRandom()


class Context(dict[str, str]):
    """The values that templates of one object may use; a missing key may name random text."""

    def __missing__(self, key: str) -> str:
        if key == "uuid":
            self[key] = str(uuid.uuid4())
        elif key == "now":
            self[key] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        elif match := _RANDOM.fullmatch(key):
            self[key] = random_text(match[1], int(match[2] or _DEFAULT_LENGTH))
        else:
            raise KeyError(key)
        return self[key]

    def add(self, values: dict[str, Any]) -> "Context":
        """Make plain values available to templates: text, numbers, and lists of text joined by ``_``."""
        for key, value in values.items():
            if isinstance(value, bool):
                self[key] = str(value).lower()
            elif isinstance(value, int | float | str):
                self[key] = str(value)
            elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
                self[key] = "_".join(value)
        return self


def random_text(alphabet: str, length: int) -> str:
    """Return random text over a named alphabet: hex, digits, alnum, upper or secret."""
    return "".join(_random.choice(_ALPHABETS[alphabet]) for _ in range(length))


def render(template: Any, context: Context) -> Any:
    """Fill every text inside a template of any JSON shape; a ``$word`` that means nothing stays as it is."""
    if isinstance(template, str):
        return string.Template(template).safe_substitute(context)
    if isinstance(template, list):
        return [render(item, context) for item in template]
    if isinstance(template, dict):
        return {key: render(item, context) for key, item in template.items()}
    return template


def render_whole(template: str, context: Context) -> str | None:
    """Fill a template, or return None when the context lacks something it names."""
    try:
        return string.Template(template).substitute(context)
    except KeyError:
        return None
