"""Numbers of tables."""

import pytest

from harness.report.signs import decimal, interval, number
from harness.results.estimate import Estimate


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (12.34, 1, "12.3"),
        (9_999_999.0, 1, "9999999.0"),
        (1e7, 1, "1.0e+07"),
        (-6.6e35, 2, "-6.6e+35"),
        (0.0, 2, "0.00"),
    ],
)
def test_a_very_large_number_keeps_its_column(value: float, digits: int, text: str) -> None:
    assert decimal(value, digits) == text


def test_so_do_an_estimate_and_its_interval() -> None:
    found = Estimate(value=6.6e32, low=6.5e32, high=6.7e32, unit="eV/Å", reason=None)
    assert number(found, 1e-3, 1) == "6.6e+35"
    assert interval(found, 1e-3, 1) == "6.5e+35–6.7e+35"
