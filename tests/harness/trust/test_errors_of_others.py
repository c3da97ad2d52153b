"""The text of an error of foreign code in a result."""

import pytest

from harness.trust.errors_of_others import MOST_OF_A_CAUSE, cause_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no SCF\nafter 50 cycles", "no SCF after 50 cycles"),
        ("half a pair \ud800", "half a pair \N{REPLACEMENT CHARACTER}"),
        ("\x1b[31mred\u202e", "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}"),
        ("x" * 600, "x" * MOST_OF_A_CAUSE + "…"),
    ],
)
def test_a_text_is_one_printable_line(text: str, shown: str) -> None:
    assert cause_of(ValueError(text)) == f"ValueError: {shown}"


def test_an_error_without_text_has_its_name() -> None:
    assert cause_of(ZeroDivisionError()) == "ZeroDivisionError"
