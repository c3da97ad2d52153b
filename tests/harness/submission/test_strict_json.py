"""JSON that has one meaning, and documents compared value by value."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.core.errors import DataError
from harness.submission.differences import Difference, differences, n_numbers
from harness.submission.entry_document import parse_entry
from harness.submission.strict_json import shown, strict_json
from tests.harness.submission.forging import leaves

PRINTABLE = st.text(st.characters(codec="utf-8"), max_size=20).filter(str.isprintable)
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | PRINTABLE,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(PRINTABLE, children, max_size=4),
    max_leaves=20,
)


@settings(max_examples=50, deadline=None)
@given(DOCUMENTS)
def test_sound_documents_are_read_as_they_are(document: Any) -> None:
    assert strict_json(json.dumps(document).encode(), "x.json") == document


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_are_a_document_or_a_data_error(content: bytes) -> None:
    for read in (strict_json, parse_entry):
        said = "x.json"
        try:
            read(content, "x.json")
        except DataError as error:
            said = str(error)
        assert said.isprintable()
        assert said.startswith("x.json")


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"a": {"b": 1, "c": 2, "b": 3}}]', '{"a": 1, "\\u0061": 2}'])
def test_keys_stand_once_at_any_depth(text: str) -> None:
    with pytest.raises(DataError, match=r"x\.json cannot be read: the key [ab] occurs twice"):
        strict_json(text.encode(), "x.json")


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e400", "[-1e400]"])
def test_numbers_are_finite(text: str) -> None:
    with pytest.raises(DataError, match=r"x\.json cannot be read: it contains"):
        strict_json(text.encode(), "x.json")


@pytest.mark.parametrize("text", ["\x00", "a\nb", "\x1b[0m", "\u202e", "\u200b", "\ud800", "x" * 2001])
def test_texts_and_keys_are_printable(text: str) -> None:
    for document in (text, [text], {text: 1}):
        with pytest.raises(DataError, match=r"x\.json contains the text"):
            strict_json(json.dumps(document).encode(), "x.json")


@settings(max_examples=50, deadline=None)
@given(DOCUMENTS)
def test_a_document_does_not_differ_from_itself(document: Any) -> None:
    assert list(differences(document, json.loads(json.dumps(document)))) == []


@settings(max_examples=50, deadline=None)
@given(DOCUMENTS, st.data())
def test_one_changed_value_is_one_difference(document: Any, data: st.DataObject) -> None:
    whole = {"document": document}
    places = [path for path, _ in leaves(whole)]
    if not places:
        return
    path = data.draw(st.sampled_from(places))
    changed = json.loads(json.dumps(whole))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = ["changed"]
    (found,) = differences(changed, whole)
    assert found.place == ".".join(map(str, path))


def test_kinds_are_told_apart() -> None:
    assert len(list(differences(1, True))) == len(list(differences(1, 1.0))) == len(list(differences(0, None))) == 1
    assert [each.place for each in differences({"a": 1}, {"b": 1})] == ["b", "a"]
    assert [each.place for each in differences([1, 2], [1])] == [""]


@pytest.mark.parametrize(
    ("stated", "computed", "is_rounding"),
    [(1.0, 1.0 + 1e-12, True), (1.0, 1.0 + 1e-8, False), (0.0, 1e-13, True), (1e-6, 1.001e-6, False), (1, 2, False)],
)
def test_rounding_is_a_billionth(stated: Any, computed: Any, is_rounding: bool) -> None:
    assert Difference("x", stated, computed).is_rounding is is_rounding


def test_numbers_are_counted() -> None:
    assert n_numbers({"a": [1, 2.0, None, True, "3"], "b": {"c": 4}}) == 3


def test_values_of_others_are_shown_in_one_short_line() -> None:
    assert shown("a\n\x1b" + "b" * 100) == "a �" + "b" * 57 + "…"
    assert shown(10**5000) == "an integer of 16,610 bits"
