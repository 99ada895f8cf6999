"""What goes wrong in a history: drawn from the seed before it begins, each fault with its time."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

KINDS = (
    "kill",
    "kill-pod",
    "terminate",
    "cut",
    "freeze",
    "restart-database",
    "failover",
    "end-session",
    "flush-queue",
    "queue-away",
    "store-away",
    "kill-api",
)


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        at: seconds from the beginning.
        kind: one of `KINDS`.
        seconds: how long it lasts, where it does.
        pick: which of several is hit.
    """

    at: float
    kind: str
    seconds: float
    pick: int


@dataclass(frozen=True)
class Plan:
    """All that is drawn for a history.

    Attributes:
        lost_answers: how likely a commit's answer is lost.
        lost_statements: how likely a connection breaks before a statement.
        skew: how far hosts' clocks are off, as a share.
        pace: how long clouds take, as a share of what the catalog says.
        slow: how likely a part of an environment takes six times as long.
        failing: how likely one fails for good.
    """

    users: int
    environments: int
    workers: int
    window: float
    faults: tuple[Fault, ...]
    lost_answers: float
    lost_statements: float
    skew: float
    pace: float
    slow: float
    failing: float


_LONGEST = {
    "cut": (2.0, 50.0),
    "freeze": (1.0, 120.0),
    "restart-database": (0.5, 40.0),
    "failover": (2.0, 40.0),
    "queue-away": (5.0, 120.0),
    "store-away": (1.0, 60.0),
}


def draw(seed: int, kinds: Sequence[str] = KINDS, *, is_small: bool = False) -> Plan:
    """Draw a plan; some seeds have one kind of fault only, some have none, most have several."""
    chance = random.Random(f"plan {seed}")
    pace = chance.choice((0.3, 0.3, 0.3, 1.0))
    window = chance.choice((120.0, 200.0, 300.0)) * (2 if pace == 1.0 else 1)
    if is_small:
        pace, window = 0.3, 60.0
    mood = chance.random()
    if mood < 0.08 or not kinds:
        allowed: Sequence[str] = ()
    elif mood < 0.45:
        allowed = [chance.choice(list(kinds))]
    else:
        allowed = [one for one in kinds if chance.random() < 0.5] or list(kinds)
    often = chance.choice((12.0, 30.0, 60.0))
    faults = []
    now = chance.uniform(5.0, often)
    while allowed and now < window:
        kind = chance.choice(list(allowed))
        least, most = _LONGEST.get(kind, (0.0, 0.0))
        faults.append(
            Fault(round(now, 3), kind, round(chance.uniform(least, most), 3), chance.randrange(1000))
        )
        now += chance.expovariate(1 / often)
    return Plan(
        users=2 if is_small else chance.randint(2, 5),
        environments=3 if is_small else chance.randint(6, 24),
        workers=chance.randint(1, 3),
        window=window,
        faults=tuple(faults),
        lost_answers=chance.choice((0.0, 0.0, 0.002, 0.01)),
        lost_statements=chance.choice((0.0, 0.0, 0.001, 0.003)),
        skew=chance.choice((0.0, 0.0, 0.02, 0.05)),
        pace=pace,
        slow=chance.choice((0.0, 0.0, 0.05)),
        failing=chance.choice((0.0, 0.0, 0.0, 0.01)),
    )
