"""Measured figures: samples, what is told of them, and ratios to a baseline of the same run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One figure and the samples it was taken from.

    Attributes:
        value: the median of the samples, or the percentile that was asked for.
        unit: `s`, `ms`, `MiB` or `1/s`; empty for numbers.
        samples: in the order in which they were measured.
    """

    value: float
    unit: str
    samples: tuple[float, ...]

    @classmethod
    def median(cls, samples: Sequence[float], unit: str) -> Figure:
        """Return the median of the samples."""
        return cls(median(samples), unit, tuple(samples))

    @classmethod
    def percentile(cls, samples: Sequence[float], percent: float, unit: str) -> Figure:
        """Return the smallest sample that `percent` of all samples do not exceed (nearest rank)."""
        return cls(percentile(samples, percent), unit, tuple(samples))

    def __str__(self) -> str:
        """Return the value, with the extremes when there is more than one sample."""
        if len(self.samples) == 1:
            return f"{number(self.value)} {self.unit}".rstrip()
        low, high = number(min(self.samples)), number(max(self.samples))
        return f"{number(self.value)} {self.unit} ({low}–{high}, n={len(self.samples)})"

    def document(self) -> dict[str, Any]:
        """Return the figure as it is written to JSON."""
        return {
            "value": round(self.value, 6),
            "unit": self.unit,
            "samples": [round(sample, 6) for sample in self.samples],
        }


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        measure: what was measured.
        ours: the product's figure.
        baseline: what it is compared with; sample n of both was measured in the same round.
        aim: the greatest ratio, or without a baseline the greatest figure, that the project aims for.
        is_floor: the aim is the least instead.
    """

    measure: str
    ours: Figure
    baseline: Figure | None = None
    aim: float | None = None
    is_floor: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours divided by the baseline; None without one."""
        return self.ours.value / self.baseline.value if self.baseline else None

    @property
    def pairs(self) -> list[float]:
        """The ratio of each round; empty when there are no rounds."""
        if self.baseline is None or len(self.ours.samples) != len(self.baseline.samples):
            return []
        return [ours / base for ours, base in zip(self.ours.samples, self.baseline.samples, strict=True)]

    @property
    def met(self) -> bool | None:
        """Whether the aim was met; None when there is none."""
        if self.aim is None:
            return None
        reached = self.ours.value if self.ratio is None else self.ratio
        return reached >= self.aim if self.is_floor else reached <= self.aim

    def document(self) -> dict[str, Any]:
        """Return the row as it is written to JSON."""
        return {
            "measure": self.measure,
            "ours": self.ours.document(),
            "baseline": self.baseline.document() if self.baseline else None,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "ratio_of_each_round": [round(pair, 4) for pair in self.pairs],
            "aim": self.aim,
            "aim_is": "floor" if self.is_floor else "ceiling",
            "met": self.met,
        }


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that `percent` of all samples do not exceed (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def number(value: float) -> str:
    """Return a number with three significant digits, and whole ones with all of theirs."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
