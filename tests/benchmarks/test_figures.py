"""What the benchmark's table says about samples."""

import pytest
from benchmarks.figures import Figure, Row, number, percentile


def test_a_percentile_is_a_sample_by_nearest_rank() -> None:
    samples = [float(value) for value in range(100, 0, -1)]
    assert percentile(samples, 99) == 99
    assert percentile(samples, 50) == 50
    assert percentile([7.0], 99) == 7


def test_a_figure_shows_its_value_with_the_extremes() -> None:
    assert str(Figure.median([3.0, 1.0, 2.0], "s")) == "2 s (1–3, n=3)"
    assert str(Figure.median([0.1234], "s")) == "0.123 s"


@pytest.mark.parametrize(
    ("value", "shown"), [(1234.56, "1235"), (99.95, "100"), (12.345, "12.3"), (0.00123, "0.00123")]
)
def test_numbers_are_shown_with_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_row_with_a_baseline_is_judged_by_the_ratio() -> None:
    row = Row("time", Figure.median([2.0, 4.0], "s"), Figure.median([4.0, 5.0], "s"), aim=0.7)
    assert row.ratio == pytest.approx(3 / 4.5)
    assert row.pairs == [0.5, 0.8]
    assert row.met is True
    assert row.document()["ratio_of_each_round"] == [0.5, 0.8]


def test_a_row_without_a_baseline_is_judged_by_its_figure() -> None:
    row = Row("p99", Figure.percentile([1.0, 101.0], 99, "ms"), aim=100)
    assert row.ratio is None
    assert row.pairs == []
    assert row.met is False


def test_an_aim_may_be_the_least() -> None:
    ours, base = Figure.median([300.0], "1/s"), Figure.median([200.0], "1/s")
    assert Row("rate", ours, base, aim=1.5, is_floor=True).met is True
    assert Row("rate", ours, base, aim=1.6, is_floor=True).met is False
    assert Row("rate", ours, base, aim=1.6, is_floor=True).document()["aim_is"] == "floor"


def test_a_number_has_no_unit() -> None:
    assert str(Figure(5.0, "", (5.0,))) == "5"


def test_a_row_without_an_aim_is_not_judged() -> None:
    assert Row("wall time", Figure.median([1.0], "s")).met is None
