import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.shown import quoted, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\n b\x1b[31m", "a b\N{REPLACEMENT CHARACTER}[31m"),
        (10**5000, "an integer of 16,610 bits"),
        ([10**5000], "a list that cannot be shown"),
        ("x" * 61, "x" * 60 + "…"),
        (None, "None"),
    ],
    ids=range(5),
)
def test_values_of_others_are_one_short_line(value, text):
    assert shown(value) == text


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists), st.integers(1, 90))
def test_any_value_is_printable_and_short(value, length):
    text = shown(value, length)
    assert text.isprintable()
    assert len(text) <= max(length + 1, 40)


def test_text_is_quoted_where_it_could_be_something_else():
    assert [quoted("1"), quoted(1), quoted(True), quoted("x" * 9, 3)] == ["'1'", "1", "True", "'xxx…'"]
