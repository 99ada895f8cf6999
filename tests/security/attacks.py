"""The corpus of attacks: texts of which nothing may be evaluated, wherever somebody can send them.

One file for each kind, `corpus/<kind>.json`: a list of texts, or of pairs of a text and how often it is
repeated. A new one is sent to every field by itself.
"""

import json
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
KINDS = sorted(path.stem for path in CORPUS.glob("*.json"))


def attacks(kind: str) -> list[str]:
    """Return the attacks of a kind."""
    found = json.loads(CORPUS.joinpath(f"{kind}.json").read_text(encoding="utf-8"))
    return [entry if isinstance(entry, str) else entry[0] * entry[1] for entry in found]


def every_attack() -> list[str]:
    """Return the attacks of all kinds."""
    return [attack for kind in KINDS for attack in attacks(kind)]
