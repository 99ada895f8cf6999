"""Names that were probably meant to be others."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def misspelt(given: Iterable[str], known: Collection[str], *, closeness: float) -> dict[str, str]:
    """Return which of the `given` names resemble a known one that is not given: the name, and the likely one.

    `closeness` is difflib's, from 0 to 1. Case does not count.
    """
    names = {name.upper() for name in given}
    absent = [name for name in known if name not in names]
    found = {name: get_close_matches(name, absent, n=1, cutoff=closeness) for name in names - set(known)}
    return {name: likely[0] for name, likely in sorted(found.items()) if likely}
